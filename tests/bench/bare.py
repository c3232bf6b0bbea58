"""Two bare servers in one app: Starlette, PyMongo's asyncio API and orjson; nothing else on the way.

`/plain/…` answers from a plaintext collection with as many bytes as the product, and inserts one document with
majority. `/protected/…` opens the same sealed sections by hand with `service.crypto`, masks by hand, and writes
the same journal entry by group commit; its insert is the product's unit of work (data key, sealed record, journal
entry in one majority transaction). Neither knows users, policies, templates, GraphQL or an epoch.

Both take the product's own request bodies, and collect garbage as the product does.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from bson import Binary, CodecOptions
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.clock import new_id, now
from service.crypto import DataKey, Keyring, Place, open_section
from service.keys.rules import CURRENT_LAYOUT
from service.storage.grouping import TOGETHER_SECONDS, GroupCommit
from tests.bench.sealing import CLASSES, FIELDS, File, Sealer

PLACES = {name: {CURRENT_LAYOUT: Place("customers", name, FIELDS[name])} for name in CLASSES}
JSON = {"content-type": "application/json"}
_CURSOR = 64
"""Characters that fill in for a cursor, until `/ready` is told how long the product's are."""


def _answer(data: Any) -> Response:
    return Response(orjson.dumps({"data": data}), 200, JSON)


class Bare:
    """The database, and what both servers share."""

    def __init__(self, database: Any, file: File, keyring: Keyring) -> None:
        options = {"read_concern": ReadConcern("majority"), "write_concern": WriteConcern("majority")}
        self.client = database.client
        self.plain = database.get_collection("plain_customers", **options)
        self.customers = database.get_collection("customers", **options)
        self.keys = database.get_collection("keys", **options)
        self.journal = database.get_collection("journal", **options)
        self.owner = file.owner
        self.keyring = keyring
        self.sealer = Sealer(keyring, file)
        self.cursor = "c" * _CURSOR
        self.known: dict[str, dict[int, DataKey]] = {}
        self.entries: GroupCommit[dict[str, Any]] = GroupCommit(self._insert_entries, spacing=TOGETHER_SECONDS)

    async def ready(self, request: Request) -> Response:
        """Also takes the length of the product's cursors."""
        self.cursor = "c" * int(request.query_params.get("cursor", _CURSOR))
        return Response(b"ok")

    # Plain

    async def plain_get(self, request: Request) -> Response:
        """W1."""
        asked = orjson.loads(await request.body())["variables"]
        found = await self.plain.find_one({"_id": asked["id"], "owner": self.owner}, {"_id": 0, "owner": 0})
        return _answer({"customer": found})

    async def plain_list(self, request: Request) -> Response:
        """W2, W3."""
        first = orjson.loads(await request.body())["variables"]["first"]
        cursor = self.plain.find(
            {"owner": self.owner}, {"_id": 0, "owner": 0}, sort=[("_id", -1)], limit=first + 1, batch_size=first + 2
        )
        return self._page(await cursor.to_list(None), first)

    async def plain_create(self, request: Request) -> Response:
        """W4."""
        values = orjson.loads(await request.body())["variables"]["input"]
        customer, at = new_id("cus"), now()
        await self.plain.insert_one(
            {"_id": customer, "owner": self.owner, "id": customer, **values, "createdAt": at, "updatedAt": at}
        )
        return self._created(customer, values["name"])

    def _page(self, nodes: list[dict[str, Any]], first: int) -> Response:
        page = {"hasNextPage": len(nodes) > first, "endCursor": self.cursor}
        return _answer({"customers": {"nodes": nodes[:first], "pageInfo": page}})

    @staticmethod
    def _created(customer: str, name: str) -> Response:
        return _answer({"createCustomer": {"customer": {"id": customer, "version": 1, "name": name}, "userErrors": []}})

    # Protected

    async def protected_get(self, request: Request) -> Response:
        """W1."""
        asked = orjson.loads(await request.body())["variables"]
        found = await self.customers.find_one({"_id": asked["id"], "owner": self.owner})
        nodes = await self._opened([found])
        return _answer({"customer": nodes[0]})

    async def protected_list(self, request: Request) -> Response:
        """W2, W3."""
        first = orjson.loads(await request.body())["variables"]["first"]
        cursor = self.customers.find({"owner": self.owner}, sort=[("_id", -1)], limit=first + 1, batch_size=first + 2)
        found = await cursor.to_list(None)
        nodes = await self._opened(found[:first])
        return self._page([*nodes, *found[first:]], first)

    async def _opened(self, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        missing = [document["_id"] for document in documents if document["_id"] not in self.known]
        if missing:
            async for stored in self.keys.find({"_id": {"$in": missing}}):
                self.known[stored["_id"]] = {
                    item["version"]: self._key(stored["_id"], item) for item in stored["versions"]
                }
        nodes = [self._node(document) for document in documents]
        shown = {document["_id"]: ["CONTACT"] for document in documents}
        await self.entries.commit(self._entry("record.read", list(shown), {"details": {"shown": shown}}))
        return nodes

    def _key(self, owner: str, item: Mapping[str, Any]) -> DataKey:
        context = f"data-key/{owner}/{item['version']}".encode()
        return DataKey(owner, item["version"], self.keyring.unwrap(bytes(item["wrapped"]), context=context))

    def _node(self, document: Mapping[str, Any]) -> dict[str, Any]:
        customer, sealed = document["_id"], document["sealed"]
        keys = self.known[customer]
        name = orjson.loads(open_section(PLACES["NAME"], keys, customer, sealed["NAME"]))
        contact = orjson.loads(open_section(PLACES["CONTACT"], keys, customer, sealed["CONTACT"]))
        identity = orjson.loads(open_section(PLACES["IDENTITY"], keys, customer, sealed["IDENTITY"]))
        born = identity["date_of_birth"]
        return {
            "id": customer,
            "kind": document["kind"],
            "relation": document["relation"],
            "name": name["name"],
            "dateOfBirth": f"{born[:4]}-**-**",
            "identityNumbers": [
                {
                    "kind": item["kind"],
                    "value": f"{item['value'][:1]}{'*' * (len(item['value']) - 2)}{item['value'][-1:]}",
                }
                for item in identity["identity_numbers"]
            ],
            "channels": [{"kind": item["kind"], "value": item["value"]} for item in contact["channels"]],
            "addresses": [{"text": item["text"]} for item in contact["addresses"]],
            "contacts": [
                {"title": one["title"], "name": one["name"], "phone": two["phone"], "email": two["email"]}
                for one, two in zip(name["contacts"], contact["contacts"], strict=True)
            ],
            "tags": document["tags"],
            "version": document["version"],
            "createdAt": document["created_at"],
            "createdBy": document["created_by"],
            "updatedAt": document["updated_at"],
        }

    def _entry(self, action: str, records: list[str], more: Mapping[str, Any]) -> dict[str, Any]:
        entry, at = new_id("jrn"), now()
        body = {
            "id": entry,
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "actor": self.owner,
            "action": action,
            "request": new_id("req"),
            "source": "127.0.0.1",
            **more,
        }
        facets = {"actor": self.owner, "action": action, "records": records, "at": at}
        # Sorted keys, ASCII names, whole numbers: the canonical bytes of RFC 8785.
        return {"_id": entry, "entry": Binary(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)), "facets": facets}

    async def _insert_entries(self, documents: Sequence[dict[str, Any]]) -> None:
        await self.journal.insert_many(documents)

    async def protected_create(self, request: Request) -> Response:
        """W4: everything that the product stores, stored as it stores it."""
        values = orjson.loads(await request.body())["variables"]["input"]
        return self._created(await self.stored(values), values["name"])

    async def stored(self, values: Mapping[str, Any]) -> str:
        """The new customer's id."""
        key, document = self.sealer.sealed(values)
        customer, digest = document["_id"], hashlib.sha256()
        for name in sorted(document["sealed"]):
            sealed = document["sealed"][name]
            digest.update(f"{name}:{len(sealed)}:".encode())
            digest.update(sealed)
        record = {"id": customer, "version": 1, "hash": digest.hexdigest(), "former": None, "changed": []}
        entry = self._entry("customer.create", [customer], {"records": [record]})
        entry["progress"] = {"todo": True, "index": [customer]}
        async with (
            self.client.start_session() as session,
            await session.start_transaction(
                read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            ),
        ):
            await self.keys.insert_one(key, session=session)
            await self.customers.insert_one(document, session=session)
            await self.journal.insert_one(entry, session=session)
        return str(customer)


def create_app() -> Starlette:
    """From the environment that `world` sets."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["BENCH_MONGO_URL"], maxPoolSize=64)
    database = client.get_database(os.environ["BENCH_DATABASE"], codec_options=CodecOptions(tz_aware=True, tzinfo=UTC))
    bare = Bare(database, File(*os.environ["BENCH_FILE"].split(" ")), Keyring.load(Path(os.environ["BENCH_KEYRING"])))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        yield
        await client.close()

    routes = [
        Route("/ready", bare.ready),
        Route("/plain/W1", bare.plain_get, methods=["POST"]),
        Route("/plain/W2", bare.plain_list, methods=["POST"]),
        Route("/plain/W3", bare.plain_list, methods=["POST"]),
        Route("/plain/W4", bare.plain_create, methods=["POST"]),
        Route("/protected/W1", bare.protected_get, methods=["POST"]),
        Route("/protected/W2", bare.protected_list, methods=["POST"]),
        Route("/protected/W3", bare.protected_list, methods=["POST"]),
        Route("/protected/W4", bare.protected_create, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(
        create_app(),
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
