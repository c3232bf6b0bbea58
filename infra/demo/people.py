"""Who works at the demo's manufacturer, 栖岳泵阀 (Qiyue Pumps and Valves), which is invented."""

from __future__ import annotations

from collections.abc import Sequence

from infra.demo.model import DemoDepartment, DemoPerson

COMPANY = "栖岳泵阀制造有限公司"
COMPANY_SHORT = "栖岳泵阀"
MAIL_DOMAIN = "qiyue.example"

DEPARTMENTS = (
    DemoDepartment("east", {"zh-CN": "华东客户服务部", "en": "Customer Service East"}),
    DemoDepartment("south", {"zh-CN": "华南客户服务部", "en": "Customer Service South"}),
    DemoDepartment("north", {"zh-CN": "北方客户服务部", "en": "Customer Service North"}),
    DemoDepartment("key-accounts", {"zh-CN": "大客户部", "en": "Key Accounts"}),
)

_S, _M, _A, _C = "SUPERVISOR", "ACCOUNT_MANAGER", "AGENT", "CLERK"


def _person(login: str, name: str, department: str | None, *roles: str, locale: str = "zh-CN") -> DemoPerson:
    return DemoPerson(f"{login}@{MAIL_DOMAIN}", name, roles, department, locale)


# East has one person of one role for each role of a department: they are shown as the demo's accounts.
PEOPLE = (
    _person("lin.jing", "林静", "east", _S),
    _person("zhou.wenbo", "周文博", "east", _S, _M),
    _person("chen.siyu", "陈思雨", "east", _M),
    _person("wu.haoran", "吴浩然", "east", _A),
    _person("xu.lei", "徐磊", "east", _A),
    _person("sun.jiayi", "孙佳怡", "east", _C),
    _person("liang.zhiqiang", "梁志强", "south", _S),
    _person("huang.meiling", "黄美玲", "south", _S, _M),
    _person("he.junjie", "何俊杰", "south", _A),
    _person("luo.xiaomin", "罗晓敏", "south", _C),
    _person("gao.jianguo", "高建国", "north", _S),
    _person("song.yaqin", "宋雅琴", "north", _M),
    _person("ma.tengfei", "马腾飞", "north", _A),
    _person("han.xue", "韩雪", "north", _C),
    _person("fang.yuan", "方圆", "key-accounts", _S),
    _person("tang.ruolan", "唐若兰", "key-accounts", _M),
    _person("shen.yifan", "沈一凡", "key-accounts", _A, _C),
    _person("qian.huizhen", "钱惠珍", None, "COMPLIANCE"),
    _person("david.lu", "陆大卫", None, "AUDITOR", locale="en"),
    _person("bai.lu", "白璐", None, "ADMIN"),
)


def having(role: str, department: str | None = None, people: Sequence[DemoPerson] = PEOPLE) -> list[DemoPerson]:
    """People with this role, in one department or everywhere."""
    return [p for p in people if role in p.roles and department in (None, p.department)]
