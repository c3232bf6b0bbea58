"""What no two records may share: identity numbers, and the template's unique fields, of customers and of cases.

A claim is a blind token in the record's `unique` list, under one unique index. Uniqueness is a blind lookup: who
has that right is told DUPLICATE, which is an entry of the journal (B2); for others the value is stored without its
claim, and the duplicate goes to the supervisor's list. A record claims each value once: what it held before an edit,
with its claim or without, is not looked up again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from bson import Binary

from service.access.actor import Caller
from service.access.declared import Level, Sensitivity
from service.clock import new_id, now
from service.crypto import BlindIndex
from service.customers.lookups import Lookups
from service.customers.model import DUPLICATES
from service.customers.rules import blind_values
from service.errors import Code, Invalid, Problems
from service.journal.model import Work
from service.journal.service import Journal
from service.storage import Database, DuplicateKey, UnitOfWork
from service.templates.model import Template
from service.templates.rules import Attributes

UNIQUE_FIELDS = ("id_number", "registration_number")
ATTEMPTS = 4
T = TypeVar("T")


class Claim(NamedTuple):
    """A value that no two records may share: its blind token, its field in the input, the class it is of."""

    token: bytes
    path: str
    sensitivity: Sensitivity


def _allowed(claims: Sequence[Claim], tokens: set[bytes]) -> list[Binary]:
    """What is stored: each token once, in order."""
    return [Binary(token) for token in dict.fromkeys(claim.token for claim in claims) if token in tokens]


class ClaimStore(Protocol):
    """Where the claims of one noun's records are kept."""

    async def has_claim(self, token: bytes, but: str | None) -> bool:
        """Whether some other record has claimed this."""
        ...

    async def note_duplicate(self, unit: UnitOfWork, document: dict[str, Any]) -> None:
        """Puts a probable duplicate on the supervisor's list."""
        ...


class Uniqueness:
    """The claims of one noun's records, under the unique index of that name."""

    def __init__(
        self,
        database: Database,
        store: ClaimStore,
        journal: Journal,
        blind: BlindIndex,
        lookups: Lookups,
        *,
        noun: str,
        index: str,
    ) -> None:
        self._database = database
        self._store = store
        self._journal = journal
        self._blind = blind
        self._lookups = lookups
        self._noun = noun
        self._index = index

    def tokens(self, values: Mapping[str, Any]) -> dict[str, list[Binary]]:
        """A customer's `blind` tokens, by which it is found."""
        return {
            name: [Binary(self._blind.token(name, value)) for value in items]
            for name, items in blind_values(values).items()
        }

    def of_numbers(self, values: Mapping[str, Any]) -> list[Claim]:
        """What a customer's identity numbers claim."""
        found = blind_values(values)
        return [
            Claim(self._blind.token(f"unique/{name}", value), "identityNumbers", Sensitivity.IDENTITY)
            for name in UNIQUE_FIELDS
            for value in found.get(name, ())
        ]

    def of_attributes(self, template: Template, attributes: Attributes, purpose: str) -> list[Claim]:
        """What a record's template fields claim; `purpose` keeps nouns apart."""
        found = []
        for field in template.fields:
            value = attributes.get(field.sensitivity, {}).get(field.key)
            if field.unique and value is not None:
                token = self._blind.token(f"unique/{purpose}/{field.key}", value)
                found.append(Claim(token, f"attributes.{field.key}", field.sensitivity))
        return found

    async def claimed(
        self,
        caller: Caller,
        record: str,
        department: str,
        claims: Sequence[Claim],
        work: Callable[[UnitOfWork, list[Binary]], Awaitable[T]],
        *,
        former: Iterable[Claim] = (),
        held: Iterable[bytes] = (),
    ) -> T:
        """Runs the unit of work with the tokens to be stored.

        `former` are the claims of the values that the record had, `held` the tokens stored with it. Raises Invalid
        DUPLICATE.
        """
        known, kept = {claim.token for claim in former}, {bytes(token) for token in held}
        fresh = [claim for claim in claims if claim.token not in known]

        async def attempt(free: set[bytes]) -> T:
            unique = _allowed(claims, kept & known | free)

            async def noted(unit: UnitOfWork) -> T:
                result = await work(unit, unique)
                if len(free) < len(fresh):
                    await self._store.note_duplicate(unit, self._duplicate(record, department))
                return result

            return await self._database.transact(noted)

        return await self._until_free(caller, record, fresh, attempt)

    async def inserted(
        self,
        caller: Caller,
        record: str,
        department: str,
        claims: Sequence[Claim],
        unit: Callable[[list[Binary]], dict[str, list[dict[str, Any]]]],
    ) -> None:
        """The same for a unit of work that only inserts: documents by collection, with the tokens to be stored."""

        async def attempt(free: set[bytes]) -> None:
            documents = unit(_allowed(claims, free))
            if len(free) < len(claims):
                documents[DUPLICATES] = [self._duplicate(record, department)]
            await self._database.insert(documents)

        await self._until_free(caller, record, claims, attempt)

    def _duplicate(self, record: str, department: str) -> dict[str, Any]:
        return {"_id": new_id("dup"), self._noun: record, "department": department, "at": now()}

    async def _until_free(
        self, caller: Caller, record: str, claims: Sequence[Claim], attempt: Callable[[set[bytes]], Awaitable[T]]
    ) -> T:
        """Attempts it as if nobody else had claimed any of this; where the unique index says otherwise, looks who
        did, and attempts it without what the caller may not be told of. Raises Invalid for the others.
        """
        free = {claim.token for claim in claims}
        for _ in range(ATTEMPTS):
            try:
                return await attempt(free)
            except DuplicateKey as error:
                if error.index != self._index:
                    raise
            free = await self._free(caller, record, claims)
        raise await self._told(caller, {claim.path for claim in claims})

    async def _free(self, caller: Caller, record: str, claims: Sequence[Claim]) -> set[bytes]:
        """Tokens that nobody else has claimed. Raises Invalid for those of whose owner the caller may know, as long as
        they may look up values at all: beyond that they are told as little as whoever may not ask.
        """
        free, taken = set(), set()
        for token, path, sensitivity in claims:
            if not await self._store.has_claim(token, record):
                free.add(token)
            elif caller.level(sensitivity) >= Level.BLIND:
                taken.add(path)
        if taken and not await self._lookups.wait(caller):
            raise await self._told(caller, taken)
        return free

    async def _told(self, caller: Caller, paths: Iterable[str]) -> Invalid:
        """The refusal, once it is written down that the caller learned of a duplicate."""
        problems, fields = Problems(), sorted(paths)
        details = {"fields": fields, "outcome": "DUPLICATE"}
        await self._journal.record(caller, Work(f"{self._noun}.lookup", repeatable=False, details=details))
        for field in fields:
            problems.add(Code.DUPLICATE, field)
        return Invalid(problems.found)
