"""The people who ask: one for each role of the policy in each of two departments, and some who are two things.

How each stands to each record of the story is worked out here by itself, from the design's words; `test_closing`
compares it with what the services say of the stored records.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.access.policy import Policy, Relation, Role

UNIONS = ((Role.CLERK, Role.AGENT), (Role.AUDITOR, Role.ACCOUNT_MANAGER))
NORTH, SOUTH = "north", "south"


@dataclass(frozen=True, slots=True)
class Person:
    """`key` is also the first part of the e-mail address."""

    key: str
    roles: frozenset[Role]
    department: str | None


def people_of(policy: Policy) -> dict[str, Person]:
    """Everybody, by key."""
    found = []
    for role in Role:
        relations = {relation for _, relation in policy.grants_of([role])}
        if relations - {Relation.ANY}:
            found.append(Person(role.value.lower(), frozenset({role}), NORTH))
            found.append(Person(f"south_{role.value.lower()}", frozenset({role}), SOUTH))
        else:
            found.append(Person(role.value.lower(), frozenset({role}), None))
    found += [Person("_".join(role.value.lower() for role in roles), frozenset(roles), NORTH) for roles in UNIONS]
    return {person.key: person for person in found}


@dataclass(frozen=True, slots=True)
class CustomerPlan:
    """A customer of the story."""

    key: str
    owner: str


@dataclass(frozen=True, slots=True)
class CasePlan:
    """A case of the story, and how far it gets."""

    key: str
    customer: str
    assignee: str | None
    state: str


CUSTOMERS = (
    CustomerPlan("c1", "account_manager"),
    CustomerPlan("c2", "account_manager"),
    CustomerPlan("c3", "south_account_manager"),
    CustomerPlan("c4", "south_account_manager"),
    CustomerPlan("c5", "auditor_account_manager"),
)
CASES = (
    CasePlan("handling", "c1", "agent", "HANDLING"),
    CasePlan("raised", "c1", None, "RAISED"),
    CasePlan("assigned", "c1", "agent", "ASSIGNED"),
    CasePlan("answered", "c1", "agent", "ANSWERED"),
    CasePlan("closed", "c1", "agent", "CLOSED"),
    CasePlan("reviewed", "c1", "agent", "REVIEWED"),
    CasePlan("archived", "c1", "agent", "ARCHIVED"),
    CasePlan("double", "c2", "clerk_agent", "HANDLING"),
    CasePlan("south", "c3", "south_agent", "HANDLING"),
    CasePlan("across", "c4", "agent", "HANDLING"),
    CasePlan("fifth", "c5", "agent", "ASSIGNED"),
)


class Standing:
    """How one person stands to every record of the story."""

    def __init__(self, people: dict[str, Person], viewer: Person) -> None:
        self._people = people
        self._viewer = viewer

    def _department(self, key: str) -> str | None:
        return self._people[key].department

    def relations(self, record: str) -> frozenset[Relation]:
        """To a customer or a case, by its key."""
        customer = next((one for one in CUSTOMERS if one.key == record), None)
        if customer is not None:
            cases = [case for case in CASES if case.customer == record]
            owner = customer.owner
            agents = {case.assignee for case in cases if case.assignee}
            departments = {self._department(owner), *(self._of_case(case) for case in cases)}
        else:
            case = next(one for one in CASES if one.key == record)
            owner = next(one.owner for one in CUSTOMERS if one.key == case.customer)
            agents, departments = {case.assignee}, {self._of_case(case)}
        found = {Relation.ANY}
        if owner == self._viewer.key:
            found.add(Relation.OWNER)
        if self._viewer.key in agents:
            found.add(Relation.ASSIGNED)
        if self._viewer.department in departments:
            found.add(Relation.DEPARTMENT)
        return frozenset(found)

    def _of_case(self, case: CasePlan) -> str | None:
        owner = next(one.owner for one in CUSTOMERS if one.key == case.customer)
        return self._department(case.assignee or owner)
