"""Numbers inside titles, descriptions, events, file names and scans (B10): protected like fields, on every surface.

Found by the whole number however either is spelled, never by a part; masked where a mask is due; in no index in clear,
in either engine; and an index of an older form is built anew beside the one that answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from search.document import FORM, TEXTS
from search.engines.elastic import ElasticIndex
from search.engines.embedded import EmbeddedIndex
from search.indexer import form_of
from service.system import System, open_system
from tests.fixtures.company import Company, dumped
from tests.graphql.conftest import Stores, as_seen, assigned, new_phone
from tests.unit.evidence.documents import text_pdf

SEARCH = "query($q: String!) { searchCases(query: $q) { totalCount nodes { id } edges { highlights { field parts { text hit } } } } }"
SPOKEN = str.maketrans("0123456789", "零幺二三四五六七八九")
FULL = str.maketrans("0123456789", "０１２３４５６７８９")


def _grouped(phone: str, gap: str) -> str:
    return gap.join((phone[:3], phone[3:7], phone[7:]))


@pytest.fixture(scope="module")
def planted(company: Company) -> dict[str, Any]:
    """A case with another number at every place that has words, each spelled in a way of its own."""
    phones = {
        place: new_phone() for place in ("title", "product", "description", "measure", "note", "fileName", "scan")
    }
    customer = company.new_customer()
    case = assigned(
        company, customer["id"], "agent",
        title=f"漏水,致电{phones['title'].translate(SPOKEN)}", product=f"水泵 {phones['product'].translate(FULL)}",
        description=f"客户留下 {_grouped(phones['description'], ' ')} 和 ruolan.ouyang@example.com,证件 110105 19491231 002X",
    )  # fmt: skip
    for person, kind, name in (("agent", "MEASURE", "measure"), ("agent", "INTERNAL_NOTE", "note")):
        text = f"已联系\n{phones[name][:5]}\n{phones[name][5:]} 确认"
        given = {"id": case["id"], "kind": kind, "text": text}
        if kind == "MEASURE":
            given["version"] = case["version"]
        case = {**case, **company.change(person, "recordCaseStep", "case { id version }", **given)}
    body = text_pdf(f"Receiver: Mr Qian, {_grouped(phones['scan'], '-')}, pump QW-150")
    evidence = company.change(
        "clerk", "createEvidence", "evidence { id uploadUrl }",
        case=case["id"], kind="CONTRACT", fileName=f"合同_{phones['fileName']}_扫描.pdf", mediaType="application/pdf", size=len(body),
    )  # fmt: skip
    headers = {**company.headers("clerk"), "content-type": "application/pdf"}
    assert httpx.put(evidence["uploadUrl"], content=body, headers=headers, timeout=60).status_code == 204
    company.eventually(
        lambda: as_seen(company, "agent", "evidence", evidence["id"], "textState")["textState"] == "READ", seconds=120
    )
    company.eventually(lambda: _found(company, "agent", phones["scan"]) == [case["id"]])
    return {"case": case["id"], "evidence": evidence["id"], "phones": phones}


def _found(company: Company, person: str, query: str) -> list[str]:
    found = company.data(person, SEARCH, q=query)["searchCases"]
    assert found["totalCount"] == len(found["nodes"])
    return [node["id"] for node in found["nodes"]]


PLACES = ("title", "product", "description", "measure", "fileName", "scan")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("person", ["agent", "supervisor", "clerk", "compliance", "auditor"])
def test_the_whole_number_finds_the_case_for_whoever_may_search_its_texts(
    company: Company, planted: dict[str, Any], person: str, place: str
) -> None:
    phone = planted["phones"][place]
    for typed in (phone, _grouped(phone, " "), phone.translate(SPOKEN), f"+86{phone}"):
        assert _found(company, person, typed) == [planted["case"]]


@pytest.mark.parametrize("place", PLACES)
def test_no_part_of_it_finds_anything(company: Company, planted: dict[str, Any], place: str) -> None:
    phone = planted["phones"][place]
    masked = f"{phone[:3]}****{phone[-4:]}"
    for part in (phone[:10], phone[1:], phone[7:], phone[3:], masked, f"{phone[:10]}*", phone[:7].translate(SPOKEN)):
        for person in ("agent", "clerk"):
            assert planted["case"] not in _found(company, person, part), part


def test_an_internal_number_is_found_by_those_who_may_read_the_layer(company: Company, planted: dict[str, Any]) -> None:
    phone = planted["phones"]["note"]
    assert _found(company, "agent", phone) == [planted["case"]]
    assert _found(company, "clerk", phone) == []
    assert _found(company, "other_agent", phone) == []


def test_other_identifiers_are_found_too(company: Company, planted: dict[str, Any]) -> None:
    for typed in ("Ruolan.Ouyang@Example.com", "11010519491231002X", "110105-1949-1231-002x"):
        assert _found(company, "clerk", typed) == [planted["case"]]
    for part in ("ruolan", "ouyang", "example.com", "110105", "002X"):
        assert planted["case"] not in _found(company, "clerk", part)


def test_no_surface_shows_a_number_to_whoever_sees_masks(company: Company, planted: dict[str, Any]) -> None:
    """P12: titles, texts, events, file names, pages, boxes, highlights, errors: in no spelling."""
    fields = """title product description events(first: 10) { nodes { text internalText } }
        evidence(first: 2) { nodes { fileName text pages { text boxes { text } } } }"""
    for person in ("clerk", "auditor", "compliance"):
        text = dumped(as_seen(company, person, "case", planted["case"], fields))
        for phone in planted["phones"].values():
            text += dumped(company.data(person, SEARCH, q=phone)["searchCases"]["edges"])
        plain = text.translate(
            {
                ord(full): ascii
                for full, ascii in zip("０１２３４５６７８９零幺二三四五六七八九", "0123456789" * 2, strict=True)
            }
        )
        plain = "".join(letter for letter in plain if letter not in " -\\n")
        for place, phone in planted["phones"].items():
            assert phone not in plain.replace("\\n", ""), (person, place)
            assert phone[3:7] + phone[7:] not in plain, (person, place)
    full = dumped(as_seen(company, "agent", "case", planted["case"], fields))
    assert planted["phones"]["fileName"] in full


def test_a_downloads_name_is_masked_like_the_file_names_field(company: Company, planted: dict[str, Any]) -> None:
    """Whoever may download sees the text in full by the policy; nobody else gets as far as a name."""
    for person in ("clerk", "auditor", "compliance"):
        answer = httpx.get(f"{company.url}/files/{planted['evidence']}", headers=company.headers(person))
        assert answer.status_code == 404
        assert planted["phones"]["fileName"] not in str(answer.headers) + answer.text


def test_the_hit_is_marked_for_whoever_sees_the_number(company: Company, planted: dict[str, Any]) -> None:
    phone = planted["phones"]["description"]
    (edge,) = company.data("agent", SEARCH, q=phone)["searchCases"]["edges"]
    hits = [part["text"] for light in edge["highlights"] for part in light["parts"] if part["hit"]]
    assert hits == [_grouped(phone, " ")]
    (edge,) = company.data("clerk", SEARCH, q=phone)["searchCases"]["edges"]
    assert edge["highlights"] == []


def test_a_search_for_a_number_is_written_down_without_it(
    company: Company, stores: Stores, planted: dict[str, Any]
) -> None:
    phone = planted["phones"]["description"]
    _found(company, "clerk", f"{phone} 水泵")
    where = {"facets.action": "case.search", "facets.actor": company.users["clerk"]}
    (entry,) = stores.find("journal", where, sort=[("_id", -1)], limit=1)
    told = json.loads(bytes(entry["entry"]))
    assert told["details"]["numbers"] == 1
    assert phone not in dumped(told)


# The index itself, on both engines


@pytest.fixture(scope="module", params=["embedded", "elasticsearch"])
def another(
    request: pytest.FixtureRequest,
    company: Company,
    planted: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[asyncio.Runner, System]]:
    """The same records with an index of its own, which this test writes."""
    update: dict[str, Any] = {"data_dir": tmp_path_factory.mktemp("index"), "keyring": company.settings.keyring_path}
    if request.param == "elasticsearch":
        update["search_url"] = SecretStr(request.getfixturevalue("elasticsearch_url").url)
    settings = company.settings.model_copy(update=update)

    async def opened() -> System:
        system = open_system(settings, writes_index=True)
        await system.epoch.refresh()
        return system

    with asyncio.Runner() as runner:
        system = runner.run(opened())
        yield runner, system
        runner.run(system.close())


def test_an_index_of_an_older_form_is_built_anew_beside_the_one_that_answers(
    another: tuple[asyncio.Runner, System], company: Company, planted: dict[str, Any]
) -> None:
    runner, system = another

    async def story() -> list[str]:
        engine = system.engine
        await engine.create("g000007")  # as the form before this one was named
        await engine.refresh("g000007")
        await engine.promote("g000007")
        await system.indexer.prepare()
        assert await engine.current() == "g000007", "what there is answers at once"
        await system.indexer.renew()
        first = [await engine.current() or "", *await engine.generations()]
        await system.indexer.renew()
        assert [await engine.current() or "", *await engine.generations()] == first, "and nothing is built twice"
        return first

    assert runner.run(story()) == [f"g000008-f{FORM}"] * 2
    assert form_of("g000008-f2") == 2
    assert form_of("g000007") == 1


def test_no_number_stands_in_the_index_of_either_engine(
    another: tuple[asyncio.Runner, System], company: Company, planted: dict[str, Any]
) -> None:
    runner, system = another
    if runner.run(system.engine.current()) is None:
        runner.run(system.indexer.rebuild())
    secrets = [*planted["phones"].values(), "ruolan", "ouyang", "19491231"]
    pieces = {piece for secret in secrets for piece in (secret, secret[3:], secret[:7], secret[7:]) if len(piece) >= 6}
    engine = system.engine
    if isinstance(engine, ElasticIndex):
        terms, kept = runner.run(_elastic(engine, pieces))
        assert kept == [], "no source is kept"
    else:
        assert isinstance(engine, EmbeddedIndex)
        directory = system.settings.data_dir / "index"
        bodies = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
        assert sum(map(len, bodies)) > 1_000
        assert not [secret for secret in secrets for body in bodies if secret.encode() in body]
        terms = runner.run(_embedded(engine, pieces))
    assert terms == {}
    for place in PLACES:
        (hit,) = runner.run(_hits(system, planted["phones"][place])).hits
        assert hit.id == planted["case"]


async def _hits(system: System, typed: str) -> Any:
    from search.port import Question
    from search.query import parse

    return await system.engine.search(Question("case", None, parse(typed, system.search._keyed.hide), frozenset(TEXTS)))


async def _elastic(engine: ElasticIndex, pieces: set[str]) -> tuple[dict[str, int], list[Any]]:
    """How often a word that begins with a piece stands in each text, asked of Elasticsearch itself."""
    found = {}
    for piece in pieces:
        for field in TEXTS:
            answer = await engine._client.search(index=engine._alias, query={"prefix": {field: piece}}, size=0)
            if answer["hits"]["total"]["value"]:
                found[f"{field}:{piece}"] = answer["hits"]["total"]["value"]
    everything = await engine._client.search(index=engine._alias, query={"match_all": {}}, size=50)
    return found, [row["_source"] for row in everything["hits"]["hits"] if row.get("_source")]


async def _embedded(engine: EmbeddedIndex, pieces: set[str]) -> dict[str, int]:
    """The same of Tantivy."""
    import tantivy

    generation = engine._generation(await engine.current() or "")
    searcher, found = generation.searcher(), {}
    for piece in pieces:
        for field in TEXTS:
            query = tantivy.Query.regex_query(generation.index.schema, field, f"{piece}.*")
            count = searcher.search(query, 1).count
            if count:
                found[f"{field}:{piece}"] = count
    return found
