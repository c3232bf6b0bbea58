"""Loads the demo's content through the services, each step at its own time, as the person who took it.

The clock is set for this task's context alone, so stamps, numbers and deadlines are the story's, and ids come
from the content's seed: the same seed gives the same records. Ciphertexts, keys and passwords are random.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from infra.accounts import write_accounts
from infra.demo.content import SEED, Content, make_content
from infra.demo.drawing import Drawn, drawing
from infra.demo.model import (
    Archive,
    Assign,
    AttachScan,
    Close,
    Communicate,
    DemoCustomer,
    DemoPerson,
    Feedback,
    Measure,
    Note,
    Raise,
    Review,
    Step,
)
from infra.demo.scans import TOUR_SCAN, Scan
from infra.demo.unfinished import MARKER, MARKERS
from service.access.actor import SYSTEM, Actor, Caller
from service.access.policy import Policy, Role
from service.access.view import View
from service.cases.model import Direction, EventKind
from service.clock import SetClock, clock_set, new_id
from service.identity.model import USERS, Department
from service.storage import DuplicateKey
from service.system import System

CUSTOMERS_AT_ONCE = 8
"""Whose cases are told at the same time; one customer's are told one after another, so no two steps collide."""
EVERY = 50
"""Cases between two reports."""
_CHUNK = 256 * 1024
_BEFORE_CLOSING = timedelta(seconds=40)
# What people upload is read at 5: after the tour, before the rest.
_FIRST_READ, _READ_LATER = 1, 7

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Account:
    """Who can sign in, shown once."""

    role: str
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SeedReport:
    """LOADED now, PRESENT before (there were customers), or UNFINISHED: an earlier load was cut short.

    `accounts` has one person per role, and is empty unless LOADED.
    """

    state: Literal["LOADED", "PRESENT", "UNFINISHED"]
    accounts: tuple[Account, ...] = ()
    customers: int = 0
    cases: int = 0
    scans: int = 0


async def seed_demo(
    system: System, *, scale: float = 1.0, report: Report, accounts_file: Path | None = None, alone: bool = False
) -> SeedReport:
    """Loads the demo data into an empty system; where there are customers it does nothing, and says so.

    `report` gets a sentence per stage. `accounts_file` (mode 0600) gets {"url", "accounts": [{"role", "email",
    "password"}]}. `alone`: nobody else can write here before this returns, so a load that was cut short may be taken
    away (`infra.demo.unfinished`). Raises LookupError when the system was never prepared (`anjuan init`).
    """
    await system.epoch.refresh()
    policy = await system.policies.current()
    markers = system.database.collection(MARKERS)
    marker = await markers.find_one({"_id": MARKER})
    if marker is not None and marker["state"] == "LOADING":
        report("The demo data was cut short while it was loaded. Remedy: `make reset`, then `make up`.")
        return SeedReport("UNFINISHED")
    if marker is not None or await system.customers.count(Caller(SYSTEM, policy), {}):
        report("There are customers already: no demo data is loaded.")
        return SeedReport("PRESENT")
    alone = alone and not await system.identity.departments() and not await system.database.collection(USERS).count({})
    try:
        await markers.insert_one({"_id": MARKER, "state": "LOADING", "seed": SEED, "scale": scale, "alone": alone})
    except DuplicateKey:
        report("Another process is loading the demo data.")
        return SeedReport("PRESENT")
    content = await asyncio.to_thread(make_content, SEED, scale)
    report(
        f"Loading demo data: {len(content.people)} people, {len(content.customers)} customers, "
        f"{len(content.case_lives)} cases, {len(content.scans)} scans."
    )
    try:
        async with drawing(SEED, scale, (scan.key for scan in content.scans)) as drawn:
            accounts = await _Seeding(system, content, drawn, report).run()
    except asyncio.CancelledError:
        remedy = "the next `make up` begins it anew" if alone else "remedy: `make reset`, then `make up`"
        report(f"The demo data was cut short; {remedy}.")
        raise
    if accounts_file is not None:
        shown = [{"role": a.role, "email": a.email, "password": a.password} for a in accounts]
        write_accounts(accounts_file, system.settings.url, shown)
    await markers.update_one({"_id": MARKER}, {"$set": {"state": "DONE"}})
    report("The demo data is loaded.")
    lives, scans = len(content.case_lives), len(content.scans)
    return SeedReport("LOADED", accounts, len(content.customers), lives, scans)


def _seed_of(*parts: object) -> int:
    """A seed of its own for each part of the story, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr((SEED, *parts)).encode()).digest()[:8], "big")


@dataclass(slots=True)
class _Case:
    """A case in the making: `version` is the last one that a service gave back."""

    id: str
    version: int
    has_scan: bool

    def moved(self, view: View | None) -> None:
        """Remembers the version after a step. Raises LookupError when its author can't see the case."""
        if view is None:
            raise LookupError(f"{self.id} is out of its author's reach")
        self.version = view.document["version"]


class _Seeding:
    """One load: the people first, then the customers, the objections in the order of their raising, the rest."""

    def __init__(self, system: System, content: Content, drawn: Drawn, report: Report) -> None:
        """`drawn` is the scans' bytes by key, as they are finished."""
        self._system = system
        self._content = content
        self._drawn = drawn
        self._report = report
        self._policy: Policy
        self._actors: dict[str, tuple[Actor, str]] = {}
        self._customers: list[str] = []
        self._cases: list[_Case] = []
        self._told = 0

    async def run(self) -> tuple[Account, ...]:
        """Loads everything and returns one account per role."""
        began = min(customer.opened_at for customer in self._content.customers) - timedelta(days=30)
        self._policy = await self._system.policies.current()
        accounts = await self._hire(began)
        await self._publish(began + timedelta(days=1))
        await self._system.epoch.refresh()
        self._policy = await self._system.policies.current()
        await self._open_files()
        self._report(f"{len(self._customers)} customers are on file.")
        await self._raise_cases()
        self._report(f"{len(self._cases)} cases are raised.")
        await self._tell_lives()
        return accounts

    def _caller(self, email: str) -> Caller:
        """One request of this person."""
        actor, locale = self._actors[email]
        return Caller(actor, self._policy, request_id=new_id("req"), source="seed", locale=locale)

    # People and templates

    async def _hire(self, at: datetime) -> tuple[Account, ...]:
        """Departments and people. They share one random password, so that whoever shows the demo can be anybody."""
        password = secrets.token_urlsafe(15)
        identity = self._system.identity
        departments: dict[str, Department] = {}
        with clock_set(at, _seed_of("people")) as clock:
            for department in self._content.departments:
                named = {"key": department.key, "name": dict(department.name)}
                departments[department.key] = await identity.seed_department(named)
            for person in self._content.people:
                clock.advance(timedelta(minutes=7))
                of = departments[person.department].id if person.department else None
                values: dict[str, Any] = {
                    "email": person.email,
                    "name": person.name,
                    "roles": list(person.roles),
                    "department": of,
                    "locale": person.locale,
                }
                user = (await identity.seed_user(values, password)).user
                actor = Actor(user.id, user.name, frozenset(user.roles), user.department)
                self._actors[person.email] = actor, user.locale
        return tuple(Account(role.value, self._of_role(role).email, password) for role in Role)

    def _of_role(self, role: Role) -> DemoPerson:
        return next(person for person in self._content.people if person.roles == (role.value,))

    async def _publish(self, at: datetime) -> None:
        administrator = self._of_role(Role.ADMIN).email
        with clock_set(at, _seed_of("templates")):
            for template in (self._content.customer_template, self._content.case_template):
                await self._system.templates.publish(self._caller(administrator), template)

    # Customers and objections: one after another, so that uniqueness and case numbers come out the same

    async def _open_files(self) -> None:
        for index, customer in enumerate(self._content.customers):
            with clock_set(customer.opened_at, _seed_of("customer", index)):
                values = customer.as_input()
                values["attributes"] += self._parent_of(customer)
                view = await self._system.customers.create(self._caller(customer.owner), values)
                self._customers.append(view.id)

    def _parent_of(self, customer: DemoCustomer) -> list[dict[str, str]]:
        """A group's parent stands before its subsidiaries."""
        if customer.parent is None:
            return []
        return [{"key": "parent_company", "value": self._customers[customer.parent]}]

    async def _raise_cases(self) -> None:
        for index, life in enumerate(self._content.case_lives):
            step = life.raised
            values = {
                "customer": self._customers[step.customer],
                "title": step.title,
                "description": step.description,
                "category": step.category,
                "product": step.product,
                "disputed_amount": step.disputed_amount,
                "attributes": _items(step.attributes),
            }
            with clock_set(step.at, _seed_of("raise", index)):
                view = await self._system.cases.raise_case(self._caller(step.by), values)
            has_scan = any(isinstance(step, AttachScan) for step in life.steps)
            self._cases.append(_Case(view.id, view.document["version"], has_scan))

    # What happened then

    async def _tell_lives(self) -> None:
        """Customers side by side, the one with the most to tell first; the tour's scan is filed before all."""
        stories: dict[int, list[int]] = {}
        for index, life in enumerate(self._content.case_lives):
            stories.setdefault(life.raised.customer, []).append(index)
        queue = sorted(stories, key=lambda c: -sum(len(self._content.case_lives[i].steps) for i in stories[c]))
        toured = next(c for c in stories if any(self._has_tour(index) for index in stories[c]))
        queue.remove(toured)
        waiting = iter([toured, *queue])

        async def tell() -> None:
            for customer in waiting:
                await self._tell_customer(customer, stories[customer])

        await _all_of([tell() for _ in range(CUSTOMERS_AT_ONCE)])

    def _has_tour(self, index: int) -> bool:
        steps = self._content.case_lives[index].steps
        return any(isinstance(step, AttachScan) and step.scan == TOUR_SCAN for step in steps)

    async def _tell_customer(self, customer: int, lives: Sequence[int]) -> None:
        """All that happened with one customer, in the order of time."""
        for index in lives:
            steps = self._content.case_lives[index].steps[1:]
            with clock_set(self._content.case_lives[index].raised.at, _seed_of("life", customer, index)) as clock:
                for step in steps:
                    clock.at = step.at
                    await self._take(step, self._cases[index], clock)
            self._told += 1
            if self._told % EVERY == 0:
                self._report(f"{self._told} of {len(self._cases)} cases are told.")

    async def _take(self, step: Step, case: _Case, clock: SetClock) -> None:
        """One step. Raises what the services raise: the content keeps to their rules."""
        cases, by = self._system.cases, self._caller(step.by)
        record = partial(cases.record, by, case.id, version=case.version)
        match step:
            case Assign():
                assignee = self._actors[step.assignee][0].id
                case.moved(await cases.assign(by, case.id, case.version, assignee, None))
            case Measure():
                case.moved(await record(EventKind.MEASURE, text=step.text))
            case Communicate():
                direction = Direction(step.direction)
                case.moved(await record(EventKind.COMMUNICATION, text=step.text, direction=direction))
            case Note():
                case.moved(await record(EventKind.INTERNAL_NOTE, text=step.text))
            case Feedback():
                told = EventKind.CUSTOMER_FEEDBACK
                case.moved(await record(told, text=step.text, satisfaction=step.satisfaction))
            case AttachScan():
                await self._file(step, case)
            case Close():
                # What is found out by the end is entered just before the case is closed.
                clock.at = step.at - _BEFORE_CLOSING
                values = {"attributes": _items(step.attributes)}
                case.moved(await cases.update(by, case.id, case.version, values))
                clock.at = step.at
                closing = self._caller(step.by)
                case.moved(await cases.close(closing, case.id, case.version, step.resolution))
            case Review():
                case.moved(await cases.review(by, case.id, case.version, step.approved, step.opinion))
            case Archive():
                # A case can't be sealed before its scan is read, and nobody waits for that here: it stays reviewed.
                if not case.has_scan:
                    case.moved(await self._system.archive.archive(by, case.id, case.version))
            case Raise():
                raise ValueError("a case is raised once")

    async def _file(self, step: AttachScan, case: _Case) -> None:
        """Drawn first, so that nothing is announced whose bytes are late."""
        scan = self._content.scan(step.scan)
        body = await self._drawn[scan.key]
        room = self._system.evidence
        view = await room.create(self._caller(step.by), _announced(scan, body, case.id))
        priority = _FIRST_READ if scan.key == TOUR_SCAN else _READ_LATER
        if await room.put(self._caller(step.by), view.id, len(body), _chunks(body), priority=priority) is None:
            raise LookupError(f"{view.id} is out of its sender's reach")


def _items(attributes: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in attributes.items()]


def _announced(scan: Scan, body: bytes, case: str) -> dict[str, Any]:
    return {
        "case": case,
        "file_name": scan.file_name,
        "kind": scan.kind,
        "media_type": scan.media_type,
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK):
        yield body[start : start + _CHUNK]


async def _all_of(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Together; the first trouble ends them all and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as troubles:
        raise troubles.exceptions[0] from None
