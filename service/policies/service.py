"""The policy in force, remembered for one epoch; and the way to another: proposed by one, confirmed by somebody else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Protocol

from service.access.actor import SYSTEM, Caller
from service.access.policy import Policy
from service.clock import new_id, now
from service.errors import Code, Invalid, NotPermitted, Problems
from service.journal.model import Touched, Work
from service.journal.service import Journal
from service.policies.model import (
    CONTENT,
    POLICIES,
    PREFIX,
    PROPOSAL_PREFIX,
    PROPOSALS,
    PolicyProposal,
    PolicyVersion,
    ProposalState,
    proposal_of,
    version_of,
)
from service.policies.repository import POLICIES_VERSION, PolicyRepository
from service.policies.rules import (
    CONFIRM,
    PROPOSE,
    READ,
    Staff,
    check_lockout,
    compared,
    read_policy,
    read_reason,
    revised,
)
from service.storage import Database, DuplicateKey, UnitOfWork
from service.storage.epoch import Epoch

PENDING_MOST = 50


class StaffSource(Protocol):
    """What is known of the people to whom a policy gives rights."""

    async def staff(self, unit: UnitOfWork) -> Staff:
        """How many active accounts there are of each set of roles, as the unit of work sees them."""
        ...


class Policies:
    """`current()` is valid for the epoch that the caller refreshed."""

    def __init__(self, database: Database, epoch: Epoch, journal: Journal) -> None:
        self._database = database
        self._repository = PolicyRepository(database)
        self._journal = journal
        self._current: Policy | None = None
        self._epoch = epoch
        self._people: StaffSource | None = None
        epoch.on_change(self._forget)

    def for_staff(self, people: StaffSource) -> None:
        """Who works here; they stand beside policies, so they come afterwards."""
        self._people = people

    def _forget(self) -> None:
        self._current = None

    async def current(self) -> Policy:
        """The policy in force. Raises LookupError when none was ever seeded (run `anjuan init`)."""
        current = self._current
        if current is None:
            began = self._epoch.value
            document = await self._repository.newest()
            if document is None:
                raise LookupError("no policy; run `anjuan init`")
            current = read_policy(document)
            if self._epoch.value == began:  # what was read while the epoch rose is never remembered
                self._current = current
        return current

    # Reading

    async def in_force(self, caller: Caller) -> PolicyVersion:
        """The policy in force, as people read it. Raises NotPermitted, LookupError."""
        caller.require(READ)
        return version_of(await self._newest())

    async def pending(self, caller: Caller, base: int) -> list[PolicyProposal]:
        """What waits to be confirmed or rejected of a version's changes, oldest first, PENDING_MOST at most."""
        caller.require(READ)
        return [proposal_of(document) for document in await self._repository.open_proposals(base, PENDING_MOST)]

    async def proposal(self, caller: Caller, proposal: str) -> PolicyProposal | None:
        """One proposal, however it went; None when there is none that the caller may see."""
        document = await self._repository.proposal(proposal) if caller.may(READ) else None
        return proposal_of(document) if document else None

    async def table(self) -> dict[str, Any] | None:
        """Version and content of the policy in force, for the command line; None when there is none."""
        document = await self._repository.newest()
        return {name: document[name] for name in ("version", *CONTENT)} if document else None

    # The way to another

    async def propose(self, caller: Caller, values: Mapping[str, Any]) -> PolicyProposal:
        """Stores a proposal. `values`: `version` (the one in force), `reason`, and what `rules.revised` takes.

        Raises NotPermitted; Invalid CONFLICT with the version in force, VALIDATION by field, REQUIRED, TOO_LONG.
        """
        caller.require(PROPOSE)

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            current = await self._newest(unit)
            if current["version"] != values["version"]:
                raise Invalid.because(Code.CONFLICT, "version", current=current["version"])
            problems = Problems()
            reason = read_reason(values.get("reason"), problems)
            content = revised(current, values, seed_data()["steps"], problems)
            problems.raise_if_any()
            await self._require_open_doors(unit, content)
            before, after = compared(current, content)
            document: dict[str, Any] = {
                "_id": new_id(PROPOSAL_PREFIX),
                "base": current["version"],
                "state": ProposalState.OPEN.value,
                "reason": reason,
                "proposed_by": caller.actor.id,
                "proposed_at": now(),
                "before": before,
                "after": after,
                **content,
            }
            await self._repository.propose(unit, document)
            await self._journal.append(unit, caller, _decision("policy.propose", document, reason=reason))
            return document

        return proposal_of(await self._database.transact(work))

    async def confirm(self, caller: Caller, proposal: str) -> PolicyProposal:
        """Puts a proposal in force, at the next query in every process. Never by who proposed it.

        Raises NotPermitted; Invalid NOT_FOUND, NOT_ALLOWED_IN_STATE when it was decided before, CONFLICT when its base
        is no longer in force, VALIDATION when it would lock everybody out by now.
        """

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            document, current = await self._undecided(unit, caller, proposal)
            content, at = {name: document[name] for name in CONTENT}, now()
            await self._require_open_doors(unit, content)
            version = {
                "_id": new_id(PREFIX),
                "version": current["version"] + 1,
                **content,
                "created_at": at,
                "proposed_by": document["proposed_by"],
                "confirmed_by": caller.actor.id,
                "reason": document["reason"],
                "proposal": proposal,
            }
            decided = await self._decide(unit, caller, proposal, ProposalState.CONFIRMED)
            await self._repository.insert(unit, version)
            await Epoch.raise_in(unit)
            made = Touched(version["_id"], version["version"], version, collection=POLICIES)
            await self._journal.append(unit, caller, _decision("policy.confirm", decided, made))
            return decided

        try:
            return proposal_of(await self._database.transact(work))
        except DuplicateKey as error:
            if error.index != POLICIES_VERSION:
                raise
            raise Invalid.because(Code.CONFLICT, "id", current=(await self._newest())["version"]) from None

    async def reject(self, caller: Caller, proposal: str, reason: str | None) -> PolicyProposal:
        """Ends a proposal, with a reason. Raises what `confirm` raises; Invalid REQUIRED, TOO_LONG."""

        async def work(unit: UnitOfWork) -> dict[str, Any]:
            await self._undecided(unit, caller, proposal)
            problems = Problems()
            text = read_reason(reason, problems)
            problems.raise_if_any()
            decided = await self._decide(unit, caller, proposal, ProposalState.REJECTED, rejection_reason=text)
            await self._journal.append(unit, caller, _decision("policy.reject", decided, reason=text))
            return decided

        return proposal_of(await self._database.transact(work))

    async def _undecided(
        self, unit: UnitOfWork, caller: Caller, proposal: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A proposal that this caller may decide, and the policy in force."""
        caller.require(CONFIRM, record=proposal)
        document = await self._repository.proposal(proposal, unit)
        if document is None:
            raise Invalid.because(Code.NOT_FOUND, "id")
        if document["proposed_by"] == caller.actor.id:
            raise NotPermitted(f"{CONFIRM}.own", proposal)
        if document["state"] != ProposalState.OPEN.value:
            raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "id", state=document["state"])
        current = await self._newest(unit)
        if document["base"] != current["version"]:
            raise Invalid.because(Code.CONFLICT, "id", current=current["version"])
        return document, current

    async def _decide(
        self, unit: UnitOfWork, caller: Caller, proposal: str, state: ProposalState, **further: str
    ) -> dict[str, Any]:
        change = {"state": state.value, "decided_by": caller.actor.id, "decided_at": now(), **further}
        decided = await self._repository.decide(unit, proposal, change)
        assert decided is not None  # noqa: S101 - read as open in this unit, whose snapshot stands
        return decided

    async def _require_open_doors(self, unit: UnitOfWork, content: Mapping[str, Any]) -> None:
        """Raises Invalid VALIDATION. An account that is disabled at the same moment raises the epoch as a confirmation
        does, so one of the two is tried again after the other and counts correctly.
        """
        assert self._people is not None  # noqa: S101 - wired by `service.system`
        problems = Problems()
        check_lockout(content, await self._people.staff(unit), problems)
        problems.raise_if_any()

    async def _newest(self, unit: UnitOfWork | None = None) -> dict[str, Any]:
        document = await self._repository.newest(unit)
        if document is None:
            raise LookupError("no policy; run `anjuan init`")
        return document

    # The first, and what a newer program adds

    async def seed(self) -> None:
        """Puts version 1 in force when there is none; completes the one that there is."""
        if await self._repository.newest() is not None:
            await self.complete()
            return
        data = seed_data()
        document = {"_id": new_id(PREFIX), **data, "created_at": now()}
        await self._put(document, "policy.seed")

    async def complete(self) -> None:
        """Steps that the stored policy does not know, because a newer program brought them, become what the seed says of
        them, as a further version of the system's. What people decided of known steps, rows and denials stays.
        """
        current = await self._repository.newest()
        if current is None:
            return
        missing = {step: grants for step, grants in seed_data()["steps"].items() if step not in current["steps"]}
        if not missing:
            return
        document = {
            "_id": new_id(PREFIX),
            "version": current["version"] + 1,
            **{name: current[name] for name in CONTENT},
            "steps": {**current["steps"], **missing},
            "created_at": now(),
        }
        try:
            await self._put(document, "policy.complete", current)
        except DuplicateKey as error:
            if error.index != POLICIES_VERSION:
                raise  # otherwise another process that starts was faster, or somebody confirmed: seen at the next start

    async def _put(self, document: dict[str, Any], action: str, current: Mapping[str, Any] | None = None) -> None:
        """A version of the system's own."""
        policy = read_policy(document)
        before, after = compared(current, document) if current else ({}, {})
        details = {"before": before, "after": after} if current else {}

        async def work(unit: UnitOfWork) -> None:
            await self._repository.insert(unit, document)
            await Epoch.raise_in(unit)
            touched = Touched(str(document["_id"]), policy.version, document, collection=POLICIES)
            await self._journal.append(unit, Caller(SYSTEM, policy), Work(action, (touched,), details=details))

        await self._database.transact(work)


def _decision(action: str, proposal: Mapping[str, Any], *further: Touched, reason: str | None = None) -> Work:
    """A step of a proposal, as the journal tells it: what differs, before and after. A repeat finds the proposal."""
    touched = Touched(proposal["_id"], None, proposal, collection=PROPOSALS)
    details = {"base": proposal["base"], "before": proposal["before"], "after": proposal["after"]}
    return Work(action, (touched, *further), reason=reason, details=details)


def seed_data() -> dict[str, Any]:
    """The policy that a new system starts with."""
    data: dict[str, Any] = json.loads((files("service.policies") / "seed.json").read_text("utf-8"))
    return data
