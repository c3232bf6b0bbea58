"""The demo's templates as `Templates.publish` takes them: further fields of customers and cases (R3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

STANDARD = "standard"

INDUSTRIES = (
    ("water", "市政供水", "Water supply"),
    ("chemical", "石油化工", "Petrochemicals"),
    ("food", "食品饮料", "Food and drink"),
    ("pharma", "生物制药", "Pharmaceuticals"),
    ("building", "建筑机电", "Building services"),
    ("power", "电力能源", "Power"),
    ("textile", "纺织印染", "Textiles"),
    ("farming", "农业灌溉", "Irrigation"),
    ("catering", "餐饮酒店", "Catering and hotels"),
    ("household", "家庭用户", "Households"),
)
TIERS = (("a", "重点客户", "Key"), ("b", "普通客户", "Standard"), ("c", "零散客户", "Occasional"))
CAUSES = (
    ("production", "生产制造", "Production"),
    ("material", "外购件", "Purchased parts"),
    ("packing", "包装防护", "Packing"),
    ("transport", "物流运输", "Transport"),
    ("planning", "排产计划", "Planning"),
    ("paperwork", "单据录入", "Paperwork"),
    ("service", "现场服务", "Field service"),
    ("use", "使用不当", "Use"),
    ("contract", "合同约定", "Contract"),
)


def _label(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


def choices(items: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Options or categories from (key, zh-CN, en)."""
    return [{"key": key, "label": _label(zh, en)} for key, zh, en in items]


def _field(key: str, kind: str, zh: str, en: str, sensitivity: str = "OPEN", **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "type": kind,
        "label": _label(zh, en),
        "sensitivity": sensitivity,
        "required_at": None,
        "pattern": None,
        "unique": False,
        "choices": None,
        "reference_to": None,
        **more,
    }


CUSTOMER_TEMPLATE: dict[str, Any] = {
    "of": "CUSTOMER",
    "key": STANDARD,
    "label": _label("标准客户档案", "Standard customer file"),
    "fields": [
        _field("industry", "CHOICE", "所属行业", "Industry", required_at="CREATE", choices=choices(INDUSTRIES)),
        _field("tier", "CHOICE", "客户等级", "Tier", choices=choices(TIERS)),
        _field(
            "contract_number",
            "TEXT",
            "框架合同编号",
            "Framework contract",
            pattern=r"QY-KJ-\d{4}-\d{5}",
            unique=True,
        ),
        _field("contract_until", "DATE", "合同到期日", "Contract until"),
        _field("on_site_service", "BOOLEAN", "含上门服务", "On-site service included"),
        _field("parent_company", "REFERENCE", "上级集团", "Parent company", reference_to="cus"),
        _field("wechat_group", "TEXT", "微信服务群", "WeChat service group", "CONTACT"),
        _field("credit_limit", "AMOUNT", "信用额度(元)", "Credit limit (CNY)", "FINANCIAL"),
        _field("payment_days", "NUMBER", "账期(天)", "Payment days", "FINANCIAL"),
        _field("memo", "TEXT", "偏好与备忘", "Preferences and memo", "NARRATIVE"),
    ],
    "categories": [],
    "schedule": [],
}

_CASE_FIELDS = [
    _field("order_number", "TEXT", "订单号", "Order number", required_at="RAISE", pattern=r"QY\d{6}-\d{5}"),
    _field("product_model", "TEXT", "产品型号", "Product model", required_at="RAISE"),
    _field("product_serial", "TEXT", "出厂编号", "Serial number", pattern=r"[A-Z0-9]{10,20}"),
    _field("quantity", "NUMBER", "涉及数量", "Quantity"),
    _field("promised_on", "DATE", "约定交付日", "Promised on"),
    _field("on_site", "BOOLEAN", "需要上门", "Visit needed"),
    _field("compensation", "AMOUNT", "补偿金额(元)", "Compensation (CNY)", "FINANCIAL"),
    _field("root_cause", "CHOICE", "根本原因", "Root cause", choices=choices(CAUSES)),
]

_SCHEDULE = (
    ("RAISE", 0, "AROUND_THE_CLOCK"),
    ("ASSIGN", 4, "BUSINESS_HOURS"),
    ("HANDLE", 24, "AROUND_THE_CLOCK"),
    ("FEEDBACK", 48, "AROUND_THE_CLOCK"),
    ("ARCHIVE", 72, "AROUND_THE_CLOCK"),
)


def case_template(categories: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """The case template with one category per storyline: (key, zh-CN, en)."""
    return {
        "of": "CASE",
        "key": STANDARD,
        "label": _label("客户异议", "Customer objection"),
        "fields": _CASE_FIELDS,
        "categories": choices(categories),
        "schedule": [{"node": node, "hours": hours, "clock": clock} for node, hours, clock in _SCHEDULE],
    }
