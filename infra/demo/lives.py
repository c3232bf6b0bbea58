"""How cases go: 600 lives of steps over two years, each cut off where it stands at REFERENCE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.demo.dice import Dice
from infra.demo.model import (
    Archive,
    Assign,
    CaseLife,
    Close,
    Communicate,
    DemoCustomer,
    Feedback,
    Measure,
    Note,
    Raise,
    Review,
    Step,
)
from infra.demo.people import PEOPLE, having
from infra.demo.stories import COMMON, PRODUCTS, STORIES, Story, Teller
from infra.demo.working_time import REFERENCE, START, later, opening

STANDINGS: Mapping[str, float] = {
    "ARCHIVED": 0.79,
    "REVIEWED": 0.025,
    "CLOSED": 0.035,
    "RETURNED": 0.02,
    "ANSWERED": 0.035,
    "HANDLING": 0.045,
    "ASSIGNED": 0.025,
    "RAISED": 0.025,
}
"""Shares of cases by where they stand; RETURNED is a case that a review gave back, handled again or not yet."""

_WAIT_DAYS = {
    "REVIEWED": 2,
    "CLOSED": 4,
    "RETURNED": 3,
    "ANSWERED": 3,
    "HANDLING": 6,
    "ASSIGNED": 1,
    "RAISED": 1,
}
"""How long the last step of an open case may be past, in days."""
TOUR_OWNER = next(p.email for p in PEOPLE if p.roles == ("ACCOUNT_MANAGER",))
TOUR_AGENT = next(p.email for p in PEOPLE if p.roles == ("AGENT",))
_NAMES = {person.email: person.name for person in PEOPLE}
_CITIES = {"east": "上海", "south": "广州", "north": "天津", "key-accounts": "武汉"}


@dataclass(frozen=True, slots=True)
class Team:
    """Who deals with one case."""

    owner: str
    assigner: str
    agent: str
    reviewer: str
    archivist: str


def make_lives(seed: int, count: int, customers: Sequence[DemoCustomer]) -> tuple[list[CaseLife], int]:
    """So many lives, in the order in which they were raised, and the index of the tour's."""
    standings: list[str] = []
    for standing, share in STANDINGS.items():
        standings += [standing] * max(1, round(count * share))
    standings = (["ARCHIVED"] * count + standings)[-count:]
    # A quarter of the customers raise more than half of the cases, as it goes.
    buyers = [i for i, customer in enumerate(customers) if customer.relation != "PROSPECT"] or [0]
    weights = [3.0 if index % 4 == 0 else 1.0 for index in buyers]
    tour = standings.index("HANDLING")
    lives = []
    for index, standing in enumerate(standings):
        dice = Dice(seed, "case", index)
        customer = dice.weighted(buyers, weights)
        if index == tour:
            customer = _tour_customer(customers)
            lives.append(make_life(dice, index, standing, customer, customers[customer], STORIES[0], TOUR_AGENT))
        else:
            lives.append(make_life(dice, index, standing, customer, customers[customer]))
    toured = lives[tour]
    lives.sort(key=lambda life: (life.raised.at, life.raised.attributes["order_number"]))
    return lives, lives.index(toured)


def _tour_customer(customers: Sequence[DemoCustomer]) -> int:
    """A company of the tour's account manager; the first file where there is none."""
    return next((i for i, c in enumerate(customers) if c.owner == TOUR_OWNER and c.kind == "ORGANISATION"), 0)


def make_life(
    dice: Dice,
    index: int,
    standing: str,
    customer: int,
    file: DemoCustomer,
    story: Story | None = None,
    agent: str | None = None,
) -> CaseLife:
    """One life. The file's owner raises it, an agent of the file's department handles it."""
    told = story or dice.weighted(
        [s for s in STORIES if s.persons or file.kind == "ORGANISATION"],
        [s.weight for s in STORIES if s.persons or file.kind == "ORGANISATION"],
    )
    days = (REFERENCE - START).days
    if standing == "ARCHIVED":
        # Business grows a little: later days are likelier.
        raised = START + timedelta(days=days * dice.share() ** 0.85)
    else:
        raised = REFERENCE - timedelta(days=dice.between(0, _WAIT_DAYS[standing]))
    throw = dice.whole(0, 1 << 40)
    while True:
        # The same throws, a day earlier each time, until the last step is past.
        steps = _Life(Dice(throw, index), index, told, customer, file, opening(raised), agent).until(standing)
        if steps[-1].at <= REFERENCE:
            return CaseLife(told.key, standing, tuple(steps))
        raised -= timedelta(days=1)


def _team(dice: Dice, file: DemoCustomer, agent: str | None) -> Team:
    agent = agent or dice.one(having("AGENT", file.department)).email
    supervisors = [person.email for person in having("SUPERVISOR", file.department)]
    assigner = dice.one([email for email in supervisors if email != agent])
    # Who owns the file gathers the feedback and closes: the review is another supervisor's, and half the time
    # not the one's who assigned it, where there is a third.
    free = [email for email in supervisors if email not in (agent, file.owner)]
    third = [email for email in free if email != assigner]
    reviewer = dice.one(third if third and dice.chance(0.5) else free)
    compliance = having("COMPLIANCE")[0].email
    return Team(file.owner, assigner, agent, reviewer, compliance if dice.chance(0.15) else reviewer)


class _Life:
    """Writes one case's steps from its raising on."""

    def __init__(
        self,
        dice: Dice,
        index: int,
        story: Story,
        customer: int,
        file: DemoCustomer,
        raised: datetime,
        agent: str | None,
    ) -> None:
        """`agent` is who handles it; somebody of the file's department when None."""
        self._dice = dice
        self._story = story
        self._team = _team(dice, file, agent)
        self._at = raised
        self._steps: list[Step] = []
        self._amount: str | None = None
        self._teller = self._begin(index, customer, file)

    def _begin(self, index: int, customer: int, file: DemoCustomer) -> Teller:
        dice, story = self._dice, self._story
        private = file.kind == "PERSON"
        product = dice.one([p for p in PRODUCTS if p.household] if private else PRODUCTS)
        model = dice.one(product.models)
        quantity = 1 if private else dice.weighted((2, 3, 4, 6, 8, 12, 20), (24, 20, 18, 14, 10, 8, 6))
        total = dice.whole(*product.price) * quantity
        if story.disputed:
            self._amount = f"{max(50, round(total * dice.between(*story.disputed), -1)):.0f}.00"
        days = dice.whole(3, 35)
        promised = (self._at - timedelta(days=days)).astimezone(REFERENCE.tzinfo)
        order = f"QY{promised - timedelta(days=30):%y%m%d}-{10_000 + index * 37 % 90_000:05d}"
        serial = f"{model.replace('-', '')}{promised:%y%m}{dice.whole(1, 9999):04d}"
        slots = {
            "product": product.name,
            "model": model,
            "order": order,
            "serial": serial,
            "quantity": str(quantity),
            "promised": f"{promised.month}月{promised.day}日",
            "days": str(days),
            "amount": f"{float(self._amount or 0):,.0f}",
            "total": f"{total:,}",
            "contact": _contact(dice, file),
            "carrier": dice.one(COMMON["carriers"]),
            "city": _city(file),
            "engineer": f"{_NAMES[self._team.agent][0]}工",
            "part": dice.one(story.sentences["parts"]),
        }
        teller = Teller(story, dice, slots)
        attributes = {
            "order_number": order,
            "product_model": model,
            "product_serial": serial,
            "quantity": str(quantity),
            "promised_on": promised.date().isoformat(),
            "on_site": "true" if story.key in ("installation", "quality_defect", "performance") else "false",
        }
        text = teller.describe()
        if dice.chance(0.12):
            text += f"{COMMON['callback']}{_phone(file)}。"
        title, product_name = teller.say("titles"), f"{product.name} {model}"
        self._steps.append(
            Raise(
                self._at,
                self._team.owner,
                customer,
                title,
                text,
                story.key,
                product_name,
                self._amount,
                attributes,
            )
        )
        return teller

    def _later(self, low: float, high: float) -> datetime:
        self._at = later(self._at, self._dice.between(low, high))
        return self._at

    def until(self, standing: str) -> list[Step]:
        """The steps up to where the case stands."""
        dice, say, team, steps = self._dice, self._teller.say, self._team, self._steps
        if standing == "RAISED":
            return steps
        steps.append(Assign(self._later(0.2, 3.5), team.assigner, team.agent))
        if standing == "ASSIGNED":
            return steps
        for _ in range(dice.weighted((1, 2, 3), (35, 45, 20))):
            if dice.chance(0.65):
                steps.append(Communicate(self._later(0.2, 3), team.agent, "TO_CUSTOMER", say("out")))
            steps.append(Measure(self._later(0.5, 6), team.agent, say("measures")))
            if dice.chance(0.5):
                steps.append(
                    Communicate(self._later(0.3, 5), dice.one((team.agent, team.owner)), "FROM_CUSTOMER", say("in"))
                )
            if dice.chance(0.35):
                steps.append(Note(self._later(0.2, 3), dice.one((team.agent, team.owner, team.assigner)), say("notes")))
        if standing == "HANDLING":
            return steps
        self._answer()
        if standing == "ANSWERED":
            return steps
        self._close()
        if standing == "CLOSED":
            return steps
        if standing == "RETURNED" or (standing == "ARCHIVED" and dice.chance(0.09)):
            steps.append(Review(self._later(2, 20), team.reviewer, False, say("returns")))
            if standing == "RETURNED" and dice.chance(0.5):
                return steps
            steps.append(Measure(self._later(2, 10), team.agent, say("reworked")))
            if standing == "RETURNED":
                return steps
            self._answer(say("reflections"))
            self._close()
        steps.append(Review(self._later(1, 22), team.reviewer, True, say("approvals")))
        if standing == "ARCHIVED":
            steps.append(Archive(self._later(0.2, 12), team.archivist))
        return steps

    def _answer(self, reflection: str = "") -> None:
        stars = self._dice.weighted((5, 4, 3, 2, 1), (34, 32, 18, 10, 6))
        if reflection:
            stars = max(3, stars)
        group = "good" if stars >= 4 else "middling" if stars == 3 else "poor"
        text = self._teller.say(group) + reflection
        # Most customers are asked within the two days allowed; some can't be reached.
        at = self._later(1, 7) if self._dice.chance(0.75) else self._later(8, 40)
        self._steps.append(Feedback(at, self._team.owner, text, stars))

    def _close(self) -> None:
        attributes = {"root_cause": self._dice.one(self._story.causes)}
        if self._amount and self._dice.chance(0.6):
            attributes["compensation"] = f"{float(self._amount) * self._dice.one((0.3, 0.5, 0.8, 1)):.0f}.00"
        text = self._teller.say("resolutions")
        self._steps.append(Close(self._later(0.3, 6), self._team.owner, text, attributes))


def _contact(dice: Dice, file: DemoCustomer) -> str:
    if file.kind == "PERSON":
        return file.name[0] + dice.one(("先生", "女士"))
    contact = dice.one(file.contacts)
    return contact["name"][0] + dice.one(("经理", "主管", "工", contact["title"][-2:]))


def _phone(file: DemoCustomer) -> str:
    return next(channel["value"] for channel in file.channels if channel["kind"] == "PHONE")


def _city(file: DemoCustomer) -> str:
    return file.name[:2] if file.kind == "ORGANISATION" else _CITIES[file.department]
