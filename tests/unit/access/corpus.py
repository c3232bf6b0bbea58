"""2,000 sentences, the same every time: some with identifiers in the spellings that people and scans use, some with
numbers that only look like one. `measured` says how many are found, and how many are found wrongly.

The generator knows nothing of the detector. `python -m tests.unit.access.corpus` writes the figures down beside it and
puts them into the README.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from stdnum import luhn
from stdnum.cn import ric, uscc

from service.access.declared import Kind
from service.access.identifiers import find

SENTENCES, SEED = 2_000, 20_261_124
FIGURES = Path(__file__).with_name("corpus.json")
README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- corpus: made by tests/unit/access/corpus.py -->", "<!-- end of corpus -->"

_FULL = str.maketrans({chr(code - 0xFEE0): chr(code) for code in range(0xFF01, 0xFF5F)})
_SPOKEN = [
    str.maketrans("0123456789", digits)
    for digits in ("〇一二三四五六七八九", "零幺二三四五六七八九", "零壹贰叁肆伍陆柒捌玖")
]
Spelling = Callable[[Random, str], str]


@dataclass(frozen=True)
class Sentence:
    """A text, the identifiers that were put into it (place, kind, value, spelling), and the near misses."""

    text: str
    planted: tuple[tuple[int, int, Kind, str, str], ...]
    near_misses: tuple[tuple[int, int, str], ...]


# Identifiers


def _digits(random: Random, count: int) -> str:
    return "".join(random.choice("0123456789") for _ in range(count))


def _mobile(random: Random) -> str:
    return random.choice(("13", "15", "17", "18", "19")) + _digits(random, 9)


def _landline(random: Random) -> str:
    area = random.choice(("010", "021", "0512", "0755", "0571", "023"))
    return area + random.choice("2345678") + _digits(random, 7 if len(area) == 3 or random.random() < 0.8 else 6)


def _id_card(random: Random) -> str:
    region = random.choice(("110105", "320506", "440305", "310104", "500103"))
    start = f"{region}{random.randint(1950, 2005)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}{_digits(random, 3)}"
    return start + ric.calc_check_digit(f"{start}0")


def _code(random: Random) -> str:
    start = f"91{random.choice(('320506', '110108', '440300', '310115'))}" + "".join(
        random.choice("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(9)
    )
    return start + uscc.calc_check_digit(start)


def _card(random: Random) -> str:
    start = random.choice(("622202", "621700", "622848", "4", "6228")) + _digits(random, 12)
    start = start[: random.choice((15, 18))].ljust(15, "7")
    return start + luhn.calc_check_digit(start)


def _email(random: Random) -> str:
    name = random.choice(("ming.zhang", "li_na", "wang88", "chen-siyu", "a", "service+qy"))
    return f"{name}@{random.choice(('example.com', 'mail.example.com.cn', 'qq.example', 'suzhou-water.example.org'))}"


def _grouped(*sizes: int, gap: str | tuple[str, ...] = " ") -> Spelling:
    def spelled(random: Random, value: str) -> str:
        by, parts, at = gap if isinstance(gap, str) else random.choice(gap), [], 0
        for size in sizes:
            parts.append(value[at : at + size])
            at += size
        return by.join(part for part in (*parts, value[at:]) if part)

    return spelled


def _plain(_: Random, value: str) -> str:
    return value


def _broken(random: Random, value: str) -> str:
    at = random.randint(2, len(value) - 2)
    return f"{value[:at]}\n{value[at:]}"


def _spoken(random: Random, value: str) -> str:
    return value.translate(random.choice(_SPOKEN))


def _mixed(random: Random, value: str) -> str:
    at = random.choice((3, 7))
    spoken = random.choice(_SPOKEN)
    return (
        value[:at] + value[at:].translate(spoken)
        if random.random() < 0.5
        else value[:at].translate(spoken) + value[at:]
    )


def _full_width(random: Random, value: str) -> str:
    return "".join(letter.translate(_FULL) if random.random() < 0.8 else letter for letter in value)


def _area(value: str) -> int:
    return 3 if value[:2] in ("01", "02") else 4


KINDS: list[tuple[Kind, Callable[[Random], str], dict[str, Spelling]]] = [
    (Kind.PHONE, _mobile, {
        "plain": _plain, "spaces": _grouped(3, 4, gap=(" ", "\u3000", "\u00a0", "  ")),
        "dashes": _grouped(3, 4, gap=("-", "–", "—", "－", " - ")), "other groups": _grouped(4, 3, gap=(" ", "-")),
        "country code": lambda random, value: random.choice(("+86 ", "+86", "0086", "86-", "(+86)", "＋86 ")) + value,
        "full width": _full_width, "Chinese numerals": _spoken, "mixed numerals": _mixed,
        "Chinese numerals in groups": lambda random, value: _grouped(3, 4, gap=(" ", "-", "，", "、"))(random, _spoken(random, value)),
        "digit by digit": lambda random, value: random.choice((" ", "-")).join(value), "line break": _broken,
        "full stops": _grouped(3, 4, gap="."), "brackets": lambda _, value: f"({value[:3]}){value[3:]}",
        "glued to a word": lambda random, value: random.choice(("tel", "Tel:", "VX", "手机", "QQ")) + value,
        "strokes": _grouped(3, 4, gap=("/", "_", ",")), "O for 0": lambda _, value: value.replace("0", "O", 4), "words between": _grouped(3, 4, gap=("再", "空格")),
    }),
    (Kind.PHONE, _landline, {
        "plain": _plain, "dash": lambda random, value: _grouped(_area(value), gap=("-", "—", " "))(random, value),
        "brackets": lambda _, value: f"({value[:_area(value)]}){value[_area(value):]}",
        "groups": lambda _, value: f"{value[:_area(value)]} {value[_area(value):-4]} {value[-4:]}",
        "country code": lambda _, value: f"+86 {value[1:_area(value)]} {value[_area(value):]}",
    }),
    (Kind.ID_NUMBER, _id_card, {
        "plain": _plain, "lower case": lambda _, value: value.lower(), "spaces": _grouped(6, 8), "dashes": _grouped(6, 4, 4, gap="-"),
        "full width": _full_width, "line break": _broken, "glued to a word": lambda _, value: f"ID{value}",
    }),
    (Kind.ID_NUMBER, _code, {
        "plain": _plain, "lower case": lambda _, value: value.lower(), "spaces": _grouped(2, 6, 9), "full width": _full_width,
        "line break": _broken,
    }),
    (Kind.BANK_CARD, _card, {
        "plain": _plain, "spaces": _grouped(4, 4, 4, 4), "dashes": _grouped(4, 4, 4, 4, gap="-"), "full width": _full_width,
        "line break": _broken,
    }),
    (Kind.EMAIL, _email, {
        "plain": _plain, "upper case": lambda _, value: value.upper(), "full width": lambda _, value: value.replace("@", "＠"),
        "spaces": lambda _, value: value.replace("@", " @ "), "line break": lambda _, value: value.replace("@", "@\n"),
    }),
]  # fmt: skip


# What only looks like one


def _date(random: Random) -> str:
    return f"{random.randint(2019, 2027)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"


NEAR: dict[str, Callable[[Random], str]] = {
    "order number": lambda r: r.choice((f"QY{_date(r)[:6]}-{_digits(r, 5)}", f"PO{_date(r)}{_digits(r, 6)}", f"SO-{_date(r)[:4]}-{_digits(r, 6)}", f"{_date(r)}{_digits(r, 10)}", f"{_date(r)}{_digits(r, 6)}", f"HT-{_date(r)[:4]}-{_date(r)[4:]}-{_digits(r, 4)}")),
    "amount": lambda r: r.choice((f"{r.randint(1, 999)},{_digits(r, 3)}.{_digits(r, 2)} 元", f"¥{r.randint(1, 9)},{_digits(r, 3)},{_digits(r, 3)}.50", f"{_digits(r, 8)}.{_digits(r, 2)}", "人民币壹拾叁万捌仟伍佰元整", f"RMB {r.randint(10, 99)}0000", f"一千三百{r.choice('二三四五')}十元")),
    "date": lambda r: r.choice((f"{_date(r)[:4]}-{_date(r)[4:6]}-{_date(r)[6:]} 13:05:07", "二〇二六年十一月二十四日", f"{_date(r)}130507", f"{_date(r)[:4]}年{r.randint(1, 12)}月{r.randint(1, 28)}日", f"{_date(r)}-{_date(r)}", f"{_date(r)[:4]}.{_date(r)[4:6]}.{_date(r)[6:]}", "13:00-15:30")),
    "tracking number": lambda r: r.choice((f"SF{_digits(r, 13)}", f"YT{_digits(r, 13)}", f"JDVA{_digits(r, 11)}", f"EA{_digits(r, 9)}CN", f"{r.choice('789')}{_digits(r, 11)}", f"ZTO{_digits(r, 12)}")),
    "version": lambda r: r.choice((f"v3.13.8.{_digits(r, 4)}", f"1.38.{_digits(r, 4)}", f"192.168.{r.randint(1, 254)}.{r.randint(1, 254)}", f"固件 {_digits(r, 2)}.{_digits(r, 2)}.{_digits(r, 6)}")),
    "model or serial": lambda r: r.choice((f"QW-150-{_digits(r, 5)}", f"SN:{_digits(r, 7)}-A", f"泵号 {_digits(r, 8)}", f"ISBN 978-7-111-{_digits(r, 5)}-6", f"M8×{r.randint(20, 90)}-{_digits(r, 3)}")),
    "invoice or bar code": lambda r: r.choice((f"2532200000{_digits(r, 10)}", f"690{_digits(r, 10)}", f"{_digits(r, 8)}", f"0{_digits(r, 6)}{_digits(r, 5)}")),
    "service number": lambda r: r.choice(("400-820-8820", "95588", "12315", "400 610 0000", "800-810-1234")),
    "column of figures": lambda r: r.choice(("13\n800\n1234", f"{_digits(r, 3)} {_digits(r, 4)} {_digits(r, 3)} 12", f"150\n{_digits(r, 4)}\n35", f"{r.randint(10, 99)} × {r.randint(100, 999)} = {_digits(r, 5)}", f"120.{_digits(r, 6)},31.{_digits(r, 4)}", f"{_digits(r, 2)}.5%-{_digits(r, 2)}.8%")),
    "wrong number": lambda r: r.choice((_mobile(r)[:10], f"{_mobile(r)}{_digits(r, 2)}", f"12{_digits(r, 9)}", _wrong_card(r), _wrong_id(r), "ming@localhost", "5000pcs@2.5")),
}  # fmt: skip


def _wrong_id(random: Random) -> str:
    right = _id_card(random)
    return right[:17] + random.choice([digit for digit in "0123456789" if digit != right[17]])


def _wrong_card(random: Random) -> str:
    right = _card(random)
    return right[:-1] + str((int(right[-1]) + random.randint(1, 9)) % 10)


AROUND_ONE = (
    "客户来电说水泵外壳开裂,请回电{}。", "联系人钱小姐,{},下午三点后方便", "已通知仓库换货。\n收货人:{}\n请尽快发出", "他留下的是{}和地址",
    "证件号码:{}", "付款到{}(开户行不变)", "发票抬头附{},谢谢!", "{}", "第二次沟通,对方改口,称应联系{}再议", "文件_{}_合同.pdf",
    "Please call back at {} before noon.", "Customer gave {} as contact.", "详见邮件{}。", "「{}」已核对",
)  # fmt: skip
AROUND_NEAR = (
    "订单{}已发货", "金额共计{},请核对", "运单号:{}", "本次检验编号{},合格", "日期{},地点苏州", "See {} for details.", "设备信息:{}。",
    "参数为{},与合同不符", "{}", "热线{}无人接听", "扫描件第3页:\n{}\n以上为准", "型号/编号:{};数量2",
)  # fmt: skip


def sentences() -> list[Sentence]:
    """The corpus."""
    random = Random(SEED)
    spelled = [(kind, make, name, spelling) for kind, make, spellings in KINDS for name, spelling in spellings.items()]
    found = []
    for number in range(SENTENCES):
        parts: list[str] = []
        planted: list[tuple[int, int, Kind, str, str]] = []
        near: list[tuple[int, int, str]] = []
        with_one, with_near = number % 2 == 0, number % 2 == 1 or random.random() < 0.25
        if with_one:
            kind, make, name, spelling = spelled[(number // 2) % len(spelled)]
            value = make(random)
            text = spelling(random, value)
            before, after = random.choice(AROUND_ONE).split("{}")
            start = len(before)
            value = value.lower() if kind is Kind.EMAIL else value
            planted.append((start, start + len(text), kind, value, name))
            parts.append(before + text + after)
        if with_near:
            if parts:
                parts.append(";")
            name = random.choice(list(NEAR))
            text = NEAR[name](random)
            before, after = random.choice(AROUND_NEAR).split("{}")
            start = sum(map(len, parts)) + len(before)
            near.append((start, start + len(text), name))
            parts.append(before + text + after)
        found.append(Sentence("".join(parts), tuple(planted), tuple(near)))
    return found


def measured() -> dict[str, object]:
    """The figures: identifiers that were found with their value, and what was found where there was none."""
    missed: Counter[str] = Counter()
    wrongly: Counter[str] = Counter()
    corpus = sentences()
    for sentence in corpus:
        spans = list(find(sentence.text))
        for start, end, kind, value, name in sentence.planted:
            if not any(
                span.start < end
                and span.end > start
                and _hides(span, sentence.text, start, end)
                and (kind, value) in span.readings
                for span in spans
            ):
                missed[f"{kind.value}, {name}"] += 1
        for start, end, name in sentence.near_misses:
            if any(span.start < end and span.end > start for span in spans):
                wrongly[name] += 1
    planted, near = sum(len(s.planted) for s in corpus), sum(len(s.near_misses) for s in corpus)
    return {
        "sentences": len(corpus), "identifiers": planted, "found": planted - missed.total(), "near_misses": near,
        "false_alarms": wrongly.total(), "missed": dict(sorted(missed.items())), "wrongly": dict(sorted(wrongly.items())),
    }  # fmt: skip


def _hides(span: object, text: str, start: int, end: int) -> bool:
    """Whether every digit and letter of the identifier itself is inside the span; a word before it need not be."""
    begin, stop = span.start, span.end  # type: ignore[attr-defined]
    rest = text[start : max(start, begin)] + text[min(end, stop) : end]
    return not any(letter.isdigit() or letter in "〇零一二三四五六七八九幺壹贰叁肆伍陆柒捌玖@" for letter in rest)


def told(figures: dict[str, object]) -> str:
    """The figures as the README has them."""
    identifiers, near = int(str(figures["identifiers"])), int(str(figures["near_misses"]))
    found, alarms = int(str(figures["found"])), int(str(figures["false_alarms"]))
    missed, wrongly = (
        ", ".join(f"{name} {count}" for name, count in dict(figures[key]).items()) or "none"  # type: ignore[call-overload]
        for key in ("missed", "wrongly")
    )
    return (
        f"Of {identifiers:,} identifiers in {int(str(figures['sentences'])):,} generated sentences {found:,} are found "
        f"({found / identifiers:.1%}; missed: {missed}).\nOf {near:,} order numbers, amounts, dates and the like {alarms} are taken for one "
        f"({alarms / near:.1%}: {wrongly})."
    )


def main() -> None:
    """Writes the figures down."""
    figures = measured()
    FIGURES.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")
    text = README.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{told(figures)}\n{END}{after}", "utf-8")
    sys.stdout.write(told(figures) + "\n")


if __name__ == "__main__":
    main()
