"""Nothing sealed stands in plaintext anywhere, whatever people do (R63, P18, B10).

Every sealed field of every type gets a text of its own through the API, every mutation is driven, and then everything
that is stored or written is looked through as an attacker with the disks would: mongod's data files and oplog, all
documents, the index, objects, logs, temporary files. What the index may hold is `search.document.TEXTS`.
mongod's files are looked through uncompressed: the collections are made without a block compressor.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
import httpx
import pytest
from bson.raw_bson import RawBSONDocument
from minio import Minio
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from infra.local import Endpoints, LocalServers, Ports
from schema.root import core
from search.document import TEXTS
from search.port import KEYWORD_FIELDS, LIST_FIELDS, Question
from search.query import LONGEST_QUERY, parse
from service.access.declared import SEALED_CLASSES, Kind, RecordShape, Sensitivity
from service.cases.model import CASE_FORM, EVENT_FORM
from service.customers.model import FORM as CUSTOMER_FORM
from service.evidence.model import FORM as EVIDENCE_FORM
from service.evidence.model import PAGE_FORM
from service.keys.service import SealedRecord
from service.system import INDEXES
from tests.fixtures.company import Company, running_company, settings_on
from tests.scenarios.canaries import Planted, files_below, pdf_with, sightings

FORMS = {form.collection: form for form in (CUSTOMER_FORM, CASE_FORM, EVENT_FORM, EVIDENCE_FORM, PAGE_FORM)}
OPEN = "opencanary7f3a91"
# They carry no sealed value and no secret: reasons and notes for the journal, the policy, ids. (The outside issuer of
# `redeemSignIn` has tests of its own.)
WITHOUT_SEALED = {
    *("updatePolicy", "confirmPolicy", "rejectPolicy", "acknowledgeAlert", "unlockUser", "endSession", "redeemSignIn"),
}


@dataclass
class Disks:
    """A company, everything planted in it, and where its bytes lie."""

    company: Company
    planted: Planted
    servers: Path
    temporary: Path
    admin_url: str
    endpoints: Endpoints
    driven: set[str] = field(default_factory=set)

    def change(self, person: str, mutation: str, returns: str, **values: Any) -> Any:
        """A mutation that must succeed, under an idempotency key where it takes one."""
        self.driven.add(mutation)
        kind = core.type_map[f"{mutation[0].upper()}{mutation[1:]}Input"]
        if "idempotencyKey" in kind.fields:  # type: ignore[attr-defined]
            values = {**values, "idempotencyKey": f"{mutation}-{len(self.driven)}-{time.time_ns()}"}
        return self.company.change(person, mutation, returns, **values)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """Servers of the test's own, so that their files are known, and a company that has lived through everything."""
    directory, temporary = tmp_path_factory.mktemp("disks"), tmp_path_factory.mktemp("temporary")
    with LocalServers(directory, ports=Ports.free()) as endpoints, pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(temporary))
        settings = settings_on(tmp_path_factory.mktemp("company"), endpoints.mongo_url, endpoints)
        settings.log_level = "DEBUG"
        admin = re.sub(
            "//[^@]*@",
            f"//anjuan_admin:{_secrets(directory)['mongo_admin_password']}@",
            endpoints.mongo_url,
        )
        with MongoClient[dict[str, Any]](admin) as client:
            plain = {"wiredTiger": {"configString": "block_compressor=none"}}
            for name in {index.collection for index in INDEXES} | {"keys", "meta", "epoch"}:
                client[settings.database].create_collection(name, storageEngine=plain)
        with running_company(settings) as company:
            found = Disks(company, Planted(), directory, temporary, admin, endpoints)
            _live(found)
            yield found


def _secrets(directory: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((directory / "secrets.json").read_text())
    return found


def _live(disks: Disks) -> None:
    """Everything that people do, each text a canary."""
    company, planted, change = disks.company, disks.planted, disks.change
    text = planted.text
    customer = change(
        "manager", "createCustomer", "customer { id version }",
        kind="PERSON", name=text("customer.name", searchable=True), tags=[OPEN],
        channels=[
            {"kind": "PHONE", "value": planted.phone("channel.phone"), "label": text("channel.label")},
            {"kind": "EMAIL", "value": planted.plain("channel.email", "cnrymail91c4d2@example.com")},
            {"kind": "WECHAT", "value": planted.plain("channel.wechat", "cnrywechat83ab17")},
        ],
        identityNumbers=[{"kind": "ID_CARD", "value": planted.card("identity")}],
        dateOfBirth=planted.plain("birth", "1931-07-29"),
        addresses=[{"text": text("address.text"), "label": text("address.label")}],
        bankAccounts=[
            {"bank": text("bank"), "number": planted.digits("bank.number", 18), "holder": text("bank.holder")}
        ],
        contacts=[{
            "name": text("contact.name"), "title": text("contact.title"), "phone": planted.phone("contact.phone"),
            "email": planted.plain("contact.email", "cnrycontact55d1@example.com"),
        }],
        attributes=[
            {"key": "industry", "value": "water"}, {"key": "memo", "value": text("memo")},
            {"key": "wechat_group", "value": text("wechat_group")},
            {"key": "credit_limit", "value": planted.plain("credit_limit", "98765432.19")},
        ],
    )  # fmt: skip
    customer = change(
        "manager", "updateCustomer", "customer { id version }", id=customer["id"], version=customer["version"],
        name=text("customer.name.again", searchable=True),
    )  # fmt: skip
    given = {
        "customer": customer["id"], "category": "damaged_goods",
        "attributes": [
            {"key": "order_number", "value": "QY202611-00001"}, {"key": "product_model", "value": "QW-150"},
            {"key": "compensation", "value": planted.plain("compensation", "87654321.37")},
        ],
    }  # fmt: skip
    case = change(
        "manager", "raiseCase", "case { id version }", **given, title=text("case.title", searchable=True),
        description=f"{text('case.description', searchable=True)} 电话 {planted.phone('description.phone')}",
        product=text("case.product", searchable=True),
        disputedAmount=planted.plain("disputed", "76543210.83"),
    )  # fmt: skip
    case = change(
        "supervisor", "assignCase", "case { id version }", id=case["id"], version=case["version"],
        assignee=company.users["agent"],
    )  # fmt: skip
    case = change(
        "agent", "updateCase", "case { id version }", id=case["id"], version=case["version"],
        title=text("case.title.again", searchable=True),
    )  # fmt: skip
    pdf = pdf_with(f"{planted.plain('page+', 'cnrypage4471be09')} {planted.phone('page.phone')}")
    evidence = change(
        "clerk", "createEvidence", "evidence { id uploadUrl }", case=case["id"], kind="CONTRACT",
        fileName=f"{text('file.name', searchable=True)}.pdf", mediaType="application/pdf", size=len(pdf),
        sha256=planted.plain("sha256", hashlib.sha256(pdf).hexdigest()),
    )  # fmt: skip
    headers = company.headers("clerk")
    assert httpx.put(evidence["uploadUrl"], content=pdf, headers=headers, timeout=60).status_code == 204
    read = "query($i: ID!) { evidence(id: $i) { textState } }"
    company.eventually(
        lambda: company.data("agent", read, i=evidence["id"])["evidence"]["textState"] == "READ", seconds=120
    )
    wrong = change(
        "clerk", "createEvidence", "evidence { id version }", case=case["id"], kind="OTHER", fileName="x.pdf",
        mediaType="application/pdf", size=9,
    )  # fmt: skip
    change(
        "clerk", "withdrawEvidence", "evidence { id }", id=wrong["id"], version=wrong["version"],
        reason=text("withdrawal", searchable=True),  # a step of the case is told with it
    )  # fmt: skip
    for person, kind, more in (
        ("agent", "MEASURE", {}),
        ("agent", "COMMUNICATION", {"direction": "TO_CUSTOMER"}),
        ("agent", "INTERNAL_NOTE", {}),
        ("manager", "CUSTOMER_FEEDBACK", {"satisfaction": 5}),
    ):
        case = change(
            person, "recordCaseStep", "case { id version }", id=case["id"], version=case["version"], kind=kind,
            text=text(f"step.{kind}", searchable=True), **more,
        )  # fmt: skip
    for decision in ("RETURN", "APPROVE"):
        if decision == "APPROVE":
            case = change(
                "agent", "recordCaseStep", "case { id version }", id=case["id"], version=case["version"],
                kind="MEASURE", text=text("step.more", searchable=True),
            )  # fmt: skip
            case = change(
                "manager", "recordCaseStep", "case { id version }", id=case["id"], version=case["version"],
                kind="CUSTOMER_FEEDBACK", satisfaction=5, text=text("feedback.more", searchable=True),
            )  # fmt: skip
        case = change(
            "manager", "closeCase", "case { id version }", id=case["id"], version=case["version"],
            resolution=text(f"resolution.{decision}", searchable=True),
        )  # fmt: skip
        case = change(
            "supervisor", "reviewCase", "case { id version }", id=case["id"], version=case["version"],
            decision=decision, opinion=text(f"opinion.{decision}", searchable=True),
        )  # fmt: skip
    change("supervisor", "archiveCase", "case { id }", id=case["id"], version=case["version"])
    now = company.data("supervisor", "query($i: ID!) { customer(id: $i) { version } }", i=customer["id"])["customer"]
    change(
        "supervisor", "assignCustomer", "customer { id }", id=customer["id"], version=now["version"],
        owner=company.users["other_manager"],
    )  # fmt: skip
    _account(disks)
    _programs_and_reveals(disks)
    _ask(disks)


def _account(disks: Disks) -> None:
    """Somebody is employed, signs in and out, and leaves; templates are published. No password is stored."""
    company, planted, change = disks.company, disks.planted, disks.change
    first, second = planted.text("password"), planted.text("password.new")
    user = change(
        "admin", "createUser", "user { id version }", email="canary@example.com", name="金丝雀", roles=["AGENT"],
        department=company.departments["east"], password=first,
    )  # fmt: skip
    sign_in = "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } } }"
    session = company.ask(None, sign_in, i={"email": "canary@example.com", "password": first})["data"]["signIn"][
        "session"
    ]
    company._tokens["canary"] = planted.plain("token", session["accessToken"])
    change("canary", "changePassword", "done", currentPassword=first, newPassword=second)
    session = company.ask(None, sign_in, i={"email": "canary@example.com", "password": second})["data"]["signIn"][
        "session"
    ]
    refresh = "mutation($i: RefreshSessionInput!) { refreshSession(input: $i) { session { accessToken } } }"
    planted.plain("refresh", session["refreshToken"])
    renewed = company.ask(None, refresh, i={"refreshToken": session["refreshToken"]})
    company._tokens["canary"] = renewed["data"]["refreshSession"]["session"]["accessToken"]
    company.data("canary", "mutation { signOut { done } }")
    disks.driven |= {"signIn", "refreshSession", "signOut"}
    user = company.data("admin", "query($i: ID!) { node(id: $i) { ... on User { id version } } }", i=user["id"])["node"]
    user = change("admin", "updateUser", "user { id version }", id=user["id"], version=user["version"], name="金丝雀乙")
    change("admin", "disableUser", "user { id }", id=user["id"], version=user["version"])
    template = {"of": "CUSTOMER", "key": "canary", "label": {"zh": "金丝雀", "en": "Canary"}, "fields": []}
    change("admin", "publishTemplate", "template { id }", **template)


def _programs_and_reveals(disks: Disks) -> None:
    """A program gets keys, a session is ended, masked fields are shown in full: none of that is stored either."""
    company, planted = disks.company, disks.planted
    given = {"name": "对账程序", "roles": ["AUDITOR"]}
    made = company.attempt("admin", "createServiceAccount", "serviceAccount { id } key", **given)
    assert made["userErrors"] == []
    planted.plain("service.key", made["key"])
    account = made["serviceAccount"]["id"]
    made = company.attempt("admin", "createServiceKey", "serviceAccount { keys { id } } key", id=account)
    planted.plain("service.key.second", made["key"])
    disks.change("admin", "revokeServiceKey", "serviceAccount { id }", key=made["serviceAccount"]["keys"][0]["id"])
    (customer,) = company.data(
        "compliance", "query($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }", f={"tag": OPEN}
    )["customers"]["nodes"]
    reason = "核对投诉人身份"
    for name in ("channels", "identityNumbers", "bankAccounts"):
        shown = company.attempt(
            "compliance", "revealField", "revealed { record }", id=customer["id"], field=name, reason=reason
        )
        assert shown["userErrors"] == []
        company.data(
            "compliance",
            "query($i: ID!) { customer(id: $i) { channels { value } identityNumbers { value } bankAccounts { number } } }",
            i=customer["id"],
        )
    disks.driven |= {"createServiceAccount", "createServiceKey", "revealField"}


def _ask(disks: Disks) -> None:
    """Questions and refused inputs carry values too: into the journal, logs and answers of errors."""
    company, planted = disks.company, disks.planted
    asked = planted.text("asked")
    phone = planted.texts["channel.phone/value"]
    search = "query($q: String!) { searchCases(query: $q) { nodes { id } } }"
    for person in ("manager", "agent", "supervisor"):
        company.data(person, search, q=asked)
    company.data(
        "manager", "query($f: CustomerFilter) { customers(filter: $f) { nodes { id } } }", f={"phone": {"eq": phone}}
    )
    company.ask("manager", f'{{ customers(query: "{asked}") {{ nodes {{ id nothing }} }} }}')
    company.ask("manager", f"{{ {planted.plain('name.of.a.field', 'cnryfield77aa10be')} }}")
    refused = {
        "kind": "PERSON",
        "name": asked,
        "channels": [{"kind": "PHONE", "value": planted.plain("bad", "13800cnry55")}],
    }
    assert company.attempt("manager", "createCustomer", "customer { id }", **refused)["userErrors"]
    wrong = "mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken } } }"
    company.ask(None, wrong, i={"email": "canary@example.com", "password": planted.text("password.wrong")})


def _quiet(disks: Disks) -> None:
    """The index is done, and what mongod holds in memory is on the disk."""
    with MongoClient[dict[str, Any]](disks.admin_url) as client:
        journal = client[disks.company.settings.database]["journal"]
        disks.company.eventually(lambda: journal.count_documents({"progress.todo": True}) == 0, seconds=60)
        client.admin.command("fsync")


def _documents(disks: Disks) -> Iterator[tuple[str, bytes]]:
    """Every document of every database, the oplog too (each write ever made), as BSON."""
    options = bson.CodecOptions(document_class=RawBSONDocument)
    with MongoClient[dict[str, Any]](disks.admin_url) as client:
        for name in client.list_database_names():
            for collection in client[name].list_collection_names():
                try:
                    for document in client[name].get_collection(collection, codec_options=options).find():  # type: ignore[arg-type]
                        yield f"{name}.{collection}", document.raw  # type: ignore[attr-defined]
                except OperationFailure:
                    assert name in ("admin", "config", "local"), f"{name}.{collection} could not be read"


def _objects(disks: Disks) -> Iterator[tuple[str, bytes]]:
    """Every version of every object, as the store gives it, and its name."""
    ends, settings = disks.endpoints, disks.company.settings
    client = Minio(ends.s3_endpoint.partition("//")[2], ends.s3_access_key, ends.s3_secret_key, secure=False)
    for found in client.list_objects(settings.s3_bucket, recursive=True, include_version=True):
        answer = client.get_object(settings.s3_bucket, found.object_name, version_id=found.version_id)
        yield f"object {found.object_name}", str(found.object_name).encode() + answer.read()
        answer.close()


def test_every_mutation_that_carries_something_sealed_was_driven(disks: Disks) -> None:
    assert disks.driven | WITHOUT_SEALED == set(core.mutation_type.fields)  # type: ignore[union-attr]


def test_every_sealed_field_of_every_type_was_planted(disks: Disks) -> None:
    """Or a field that is added tomorrow would be looked for nowhere."""
    company, missing = disks.company, []
    with company.inside() as (runner, system):
        runner.run(system.epoch.refresh())
        for collection, form in FORMS.items():
            stored = runner.run(system.database.collection(collection).find({}))
            owners = {document.get("customer") or document["_id"] for document in stored}
            runner.run(system.keys.load(owners))
            filled: set[str] = set()
            for document in stored:
                record = SealedRecord(form, document, system.keys.versions(document.get("customer") or document["_id"]))
                for sensitivity in SEALED_CLASSES:
                    if sensitivity in form.shape.sections or document.get("sealed", {}).get(sensitivity.value):
                        filled |= {name for name, value in record.section(sensitivity).items() if value}
            missing += [f"{collection}.{name}" for name in _sealed_names(form.shape) if name not in filled]
    assert missing == []


def _sealed_names(shape: RecordShape) -> set[str]:
    names = {name for fields in shape.sections.values() for name in fields}
    return {name for name in names if shape.by_name[name].kind is not Kind.LABEL} | set(shape.composites)


def test_the_looking_finds_what_is_planted_in_the_open(disks: Disks) -> None:
    """A control: an open tag is found in documents, oplog and mongod's files, and a canary in a file beside them."""
    _quiet(disks)
    forms = {OPEN.encode(): "tag"}
    where = {seen.partition(": ")[2] for seen in sightings(_documents(disks), forms)}
    assert f"{disks.company.settings.database}.customers" in where
    assert "local.oplog.rs" in where
    raw = sightings(files_below(disks.servers / "mongo" / "db"), forms)
    assert any("collection-" in seen for seen in raw), raw
    planted = disks.planted.texts["case.title+/chinese"]
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        (disks.temporary / "control").write_bytes(b"xx" + planted.encode(encoding))
        assert len(sightings(files_below(disks.temporary), disks.planted.forms())) == 1
    (disks.temporary / "control").unlink()


def test_no_document_and_no_entry_of_the_oplog_holds_a_sealed_value(disks: Disks) -> None:
    """Idempotency results and the journal are among them."""
    assert sightings(_documents(disks), disks.planted.forms()) == []


def test_no_file_of_mongod_or_of_the_object_store_holds_a_sealed_value(disks: Disks) -> None:
    _quiet(disks)
    assert sightings(files_below(disks.servers), disks.planted.forms()) == []


def test_no_object_holds_a_sealed_value(disks: Disks) -> None:
    objects = list(_objects(disks))
    assert objects
    assert sightings(objects, disks.planted.forms()) == []


def test_no_log_no_temporary_file_and_no_other_file_of_ours_holds_a_sealed_value(disks: Disks) -> None:
    """The index's files too, but for the words that `search.document.TEXTS` lets in, which stand there as tokens."""
    data = disks.company.settings.data_dir
    assert (data / "serve.log").exists()
    assert (data / "worker.log").stat().st_size
    everything = [*files_below(data), *files_below(disks.temporary)]
    forms = disks.planted.forms()
    outside = [place for place in everything if "/index/" not in place[0]]
    assert sightings(outside, forms) == []
    forbidden = {form: name for form, name in forms.items() if "+" not in name}
    assert sightings(everything, forbidden) == []


def test_the_index_finds_what_is_listed_for_it_and_nothing_else(disks: Disks) -> None:
    """Asked past every right, in every text field: words of names and narratives, and no identifier (B10)."""
    _quiet(disks)
    classes = {sensitivity for asked in TEXTS.values() for sensitivity in asked.needed}
    assert classes == {Sensitivity.NAME, Sensitivity.NARRATIVE, Sensitivity.NEGOTIATION}
    planted = {name: text for name, text in disks.planted.texts.items() if len(text) < LONGEST_QUERY - 2}
    with disks.company.inside() as (runner, system):

        def found(text: str) -> bool:
            return any(
                runner.run(
                    system.engine.search(
                        Question(kind, None, keywords=parse(f'"{text}"'), text_fields=frozenset(TEXTS))
                    )
                ).total
                for kind in ("case", "customer")
            )

        hit = {name for name, text in planted.items() if found(text)}
        former = {name for name in planted if name.startswith(("customer.name+", "case.title+"))}
        listed = {name for name in planted if "+" in name}
        keyed = {
            value
            for name in KEYWORD_FIELDS | LIST_FIELDS
            for kind in ("case", "customer")
            for value, _ in runner.run(
                system.engine.search(Question(kind, None, facets=(name,), facet_size=1000))
            ).facets[name]
        }
    assert {name for name in hit if name not in listed} == set()
    # Former names and titles are gone from it; everything else that is listed is there
    assert listed - hit <= former
    assert any(name.startswith("page+") for name in hit)
    assert not [value for value in keyed for text in planted.values() if text in value]
    assert OPEN in keyed
