"""What an index may hold of a record: open fields, and texts without the identifiers that stand in them (B10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from search import port
from search.document import case_document
from search.keyed import KeyedTokens
from service.access.declared import Sensitivity
from service.crypto import BlindIndex

AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
KEYED = KeyedTokens(BlindIndex(lambda purpose: purpose.encode().ljust(32)))
CASE = {
    "number": "AJ2026-000001", "state": "RAISED", "department": "dep_e", "category": "damaged_goods", "customer": "cus_1",
    "assignee": None, "owner": "usr_m", "raised_at": AT, "updated_at": AT, "search_version": 3,
}  # fmt: skip


@dataclass
class Record:
    """An opened record."""

    id: str
    document: Mapping[str, Any]
    sections: dict[Sensitivity, dict[str, Any]] = field(default_factory=dict)

    def section(self, sensitivity: Sensitivity) -> Mapping[str, Any]:
        return self.sections.get(sensitivity, {})


def document(**narrative: str) -> port.IndexDocument:
    return case_document(Record("cas_1", CASE, {Sensitivity.NARRATIVE: narrative}), (), (), None, SHANGHAI, KEYED)


def test_the_product_is_found_by_its_words_and_is_no_keyword() -> None:
    found = document(title="外壳开裂", product="QW-150 排污泵 13812341234")
    assert found.texts[port.TITLE] == ["外壳开裂", f"QW-150 排污泵 {KEYED.hide('13812341234')}"]
    assert not any("QW-150" in value for name in found.keywords for value in found.values(name))


def test_no_identifier_of_a_text_reaches_the_index() -> None:
    secrets = ("13812341234", "11010519491231002X", "ming@example.com", "6200000000000000018", "0512-62881234")
    found = document(
        title=f"电话{secrets[0]}", product=secrets[3], description=" ".join(secrets), resolution=secrets[2]
    )
    held = str(found)
    assert not any(secret in held for secret in secrets)


def test_a_month_is_the_companys() -> None:
    late = {**CASE, "raised_at": datetime(2026, 11, 30, 17, 0, tzinfo=UTC)}
    found = case_document(Record("cas_1", late), (), (), None, SHANGHAI, KEYED)
    assert found.values(port.MONTH) == ["2026-12"]
