"""Forty scans, each of a page that belongs to one case, and drawn only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.demo.dice import Dice
from infra.demo.documents import KINDS, WORDS, Sheet
from infra.demo.model import AttachScan, CaseLife, DemoCustomer
from infra.demo.people import having

TOUR_SCAN = "scan-01"
TOUR_WORD: str = WORDS["places"][0]
"""Stands in the tour's scan and nowhere else."""

_PLAN = (
    [("CONTRACT", "image/jpeg")] * 12
    + [("DELIVERY_NOTE", "image/jpeg")] * 10
    + [("COMPLAINT_LETTER", "image/jpeg")] * 10
    + [("CONTRACT", "application/pdf")] * 4
    + [("DELIVERY_NOTE", "application/pdf")] * 2
    + [("OTHER", "application/pdf")] * 2
)
SCANS = len(_PLAN)
_NAMES = {"CONTRACT": "买卖合同", "DELIVERY_NOTE": "送货单", "COMPLAINT_LETTER": "异议函", "OTHER": "对账单"}
_STORIES = {
    "CONTRACT": ("late_delivery", "warranty", "wrong_model", "quality_defect", "payment", "installation"),
    "DELIVERY_NOTE": ("late_delivery", "damaged_goods", "missing_parts", "wrong_model"),
    "COMPLAINT_LETTER": ("service_attitude", "performance", "quality_defect", "warranty", "installation"),
    "OTHER": ("invoice_amount", "payment"),
}


@dataclass(frozen=True, slots=True)
class Scan:
    """One file: kind is CONTRACT, DELIVERY_NOTE, COMPLAINT_LETTER or OTHER; `word` stands only inside it."""

    key: str
    file_name: str
    media_type: str
    kind: str
    word: str
    sheet: Sheet
    seed: int

    def draw(self) -> bytes:
        """The file's bytes, always the same; a photographed page takes about half a second."""
        # Imported here: whoever only wants the words needs neither imaging nor PDF libraries.
        if self.media_type == "application/pdf":
            from infra.demo.born_digital import print_pdf

            return print_pdf(self.sheet)
        from infra.demo.paper import photograph

        return photograph(self.sheet, Dice(self.seed, "paper", self.key))


def attach_scans(
    seed: int, lives: Sequence[CaseLife], customers: Sequence[DemoCustomer], tour: int
) -> tuple[list[Scan], list[CaseLife]]:
    """The scans, and the lives with the clerks' steps that file them. `tour` is the index of a life."""
    dice = Dice(seed, "scans")
    attached, scans, used = list(lives), [], {tour}
    for number, (kind, media_type) in enumerate(_PLAN):
        index = tour if number == 0 else _choose(dice, kind, lives, customers, used)
        used.add(index)
        key, place = f"scan-{number + 1:02d}", WORDS["places"][number]
        life = lives[index]
        customer = customers[life.raised.customer]
        sheet = KINDS[kind](Dice(seed, key), life, customer, place)
        ending = "pdf" if media_type == "application/pdf" else "jpg"
        name = f"{_NAMES[kind]}-{life.raised.attributes['order_number']}.{ending}"
        scans.append(Scan(key, name, media_type, kind, place, sheet, seed))
        attached[index] = _filed(dice, life, customer, key)
    return scans, attached


def _choose(dice: Dice, kind: str, lives: Sequence[CaseLife], customers: Sequence[DemoCustomer], used: set[int]) -> int:
    free = [n for n, life in enumerate(lives) if n not in used and len(life.steps) > 2]
    # A case can't be sealed before its scan is read, and who loads the demo waits for no reading: cases that are
    # not archived come first.
    free = [n for n in free if lives[n].standing != "ARCHIVED"] or free
    companies = [n for n in free if customers[lives[n].raised.customer].kind == "ORGANISATION"]
    fitting = [n for n in (free if kind == "COMPLAINT_LETTER" else companies) if lives[n].story in _STORIES[kind]]
    return dice.one(fitting or companies or free)


def _filed(dice: Dice, life: CaseLife, customer: DemoCustomer, key: str) -> CaseLife:
    """Between the assignment and what comes next."""
    assigned, following = life.steps[1], life.steps[2]
    at = assigned.at + (following.at - assigned.at) * 0.5
    clerk = dice.one(having("CLERK", customer.department)).email
    step = AttachScan(at.replace(microsecond=0), clerk, key)
    return replace(life, steps=(*life.steps[:2], step, *life.steps[2:]))
