"""What `search.port.SearchEngine` promises, asked of every engine."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from search.engines.elastic import ElasticIndex
from search.engines.embedded import EmbeddedIndex
from search.port import (
    DATE_FIELDS,
    RELEVANCE,
    After,
    Answer,
    IndexDocument,
    Question,
    SearchEngine,
    Sort,
    UnknownGeneration,
)
from search.query import parse

pytest_plugins = ["tests.fixtures.engines"]
pytestmark = pytest.mark.asyncio

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ALL_TEXTS = frozenset({"title", "with_customer", "from_customer", "internal", "scan", "customer_name"})


@pytest_asyncio.fixture(params=["embedded", "elasticsearch"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SearchEngine]:
    """An engine with one empty, current generation `g1`."""
    opened: EmbeddedIndex | ElasticIndex
    if request.param == "embedded":
        opened = EmbeddedIndex(tmp_path / "index", writer=True, writer_memory=15_000_000)
    else:
        server = request.getfixturevalue("elasticsearch_url")
        opened = ElasticIndex(server.url, prefix=f"test-{uuid4().hex[:12]}")
    await opened.create("g1")
    await opened.promote("g1")
    yield opened
    if isinstance(opened, ElasticIndex):
        for generation in await opened.generations():
            if generation != await opened.current():
                await opened.drop(generation)
    await opened.close()


def case(number: int | str, version: int = 1, *, texts: dict[str, Any] | None = None, **fields: Any) -> IndexDocument:
    """A case; a str in `texts` is one page."""
    dates = {name: value for name, value in fields.items() if name in DATE_FIELDS}
    keywords = {name: value for name, value in fields.items() if name not in dates}
    pages = {name: [value] if isinstance(value, str) else value for name, value in (texts or {}).items()}
    return IndexDocument(f"cas_{number}", "case", version, keywords, dates, pages)


def asking(typed: str = "", **parts: Any) -> Question:
    """A question by somebody who reaches every row and may search every text."""
    return replace(Question("case", None, parse(typed), ALL_TEXTS), **parts)


async def given(engine: SearchEngine, *documents: IndexDocument, generation: str = "g1") -> None:
    await engine.upsert(generation, documents)
    await engine.refresh(generation)


async def found(engine: SearchEngine, typed: str = "", **parts: Any) -> list[str]:
    """Ids without their prefix, in code point order."""
    answer = await engine.search(asking(typed, **parts))
    assert answer.total == len(answer.hits)
    return sorted(hit.id.removeprefix("cas_") for hit in answer.hits)


async def listed(engine: SearchEngine, generation: str = "g1") -> list[tuple[str, int]]:
    return [pair async for pair in engine.versions(generation)]


# --- words ---


async def test_a_chinese_word_is_found_inside_a_longer_run(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"title": "关于合同金额错误的投诉"}),
        case(2, texts={"title": "合同另议,金额另议"}),
        case(3, texts={"title": "发货延迟"}),
    )

    assert await found(engine, "合同") == ["1", "2"]
    assert await found(engine, "合同金额") == ["1"]
    assert await found(engine, "同金") == ["1"]
    assert await found(engine, "金合") == []


@pytest.mark.parametrize("letter", ["合", "同", "诉", "纸"])
async def test_a_single_chinese_letter_is_found_wherever_it_stands(engine: SearchEngine, letter: str) -> None:
    await given(
        engine,
        case(1, texts={"title": f"{letter}开头"}),
        case(2, texts={"title": f"在中{letter}间"}),
        case(3, texts={"title": f"在最后{letter}"}),
        case(4, texts={"title": f"A4{letter} {letter}"}),
        case(5, texts={"title": "没有"}),
    )

    assert await found(engine, letter) == ["1", "2", "3", "4"]


async def test_a_single_letter_with_very_many_continuations_misses_none(engine: SearchEngine) -> None:
    many = [case(f"{at:04}", texts={"title": f"箱{chr(0x4E00 + at)}"}) for at in range(900)]
    await given(engine, *many)

    answer = await engine.search(asking("箱", first=0))
    phrase = await engine.search(asking("A4箱", first=0))
    await given(engine, *(case(f"{at:04}", 2, texts={"title": f"A4箱{chr(0x4E00 + at)}"}) for at in range(900)))
    after = await engine.search(asking("A4箱", first=0))

    assert (answer.total, phrase.total, after.total) == (900, 0, 900)


async def test_mixed_words_match_in_any_width_case_and_accent(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"title": "购买A4纸张五箱"}),
        case(2, texts={"title": "购买A4纸"}),
        case(3, texts={"title": "纸 和 A4"}),
        case(4, texts={"title": "Café 订单12345"}),
    )

    assert await found(engine, "A4纸") == ["1", "2"]
    assert await found(engine, "a4纸张") == ["1"]
    assert await found(engine, "12345") == ["4"]
    assert await found(engine, "订单12345") == ["4"]
    assert await found(engine, "CAFE") == ["4"]
    assert await found(engine, "1234") == []


async def test_a_run_does_not_match_across_the_border_of_two_words(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"title": "合同 金额"}),
        case(2, texts={"title": "合同。金额"}),
        case(3, texts={"title": ["合同", "金额"]}),
        case(4, texts={"title": "合同 同金 金额"}),
        case(5, texts={"title": "合同", "internal": "金额"}),
    )

    assert await found(engine, "合同金额") == []
    assert await found(engine, "合同 金额") == ["1", "2", "3", "4", "5"]


async def test_a_quoted_phrase_stays_within_one_page(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"scan": ["late delivery of goods", "second page"]}),
        case(2, texts={"scan": ["it was late", "delivery came"]}),
        case(3, texts={"scan": ["delivery late"]}),
    )

    assert await found(engine, '"late delivery"') == ["1"]
    assert await found(engine, "late delivery") == ["1", "2", "3"]


async def test_every_word_is_required_but_each_may_stand_in_another_field(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"title": "发票错误", "scan": ["仓库照片"]}),
        case(2, texts={"title": "发票错误"}),
        case(3, texts={"scan": ["仓库照片"]}),
    )

    assert await found(engine, "发票 仓库") == ["1"]


async def test_signs_of_query_languages_are_plain_text(engine: SearchEngine) -> None:
    await given(engine, case(1, texts={"title": "title:x OR *"}), case(2, texts={"title": "别的"}))

    assert await found(engine, "title:x") == ["1"]
    assert await found(engine, "x* OR") == ["1"]
    assert await found(engine, "或者.* OR") == []


# --- what must not be found ---


async def test_a_field_that_the_actor_may_not_search_is_never_consulted(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, texts={"title": "普通", "internal": "底价机密 secret 密"}),
        case(2, texts={"title": "底价机密 secret 密", "internal": ""}),
    )
    allowed = frozenset({"title", "scan"})

    for typed in ("底价机密", "底价", "密", "secret", '"底价机密 secret"', "普通 底价"):
        assert "1" not in await found(engine, typed, text_fields=allowed), typed
        assert await found(engine, typed, text_fields=frozenset()) == []
    assert await found(engine, "底价机密") == ["1", "2"]


async def test_a_hidden_field_changes_neither_order_nor_facets(engine: SearchEngine) -> None:
    def documents(hidden: str) -> list[IndexDocument]:
        return [
            case("a", 1, texts={"title": "投诉"}, state="OPEN"),
            case("b", 1, texts={"title": "投诉", "internal": hidden}, state="OPEN"),
            case("c", 1, texts={"title": "一份很长的投诉 投诉"}, state="CLOSED"),
        ]

    async def seen(generation: str) -> tuple[list[tuple[str, float]], Any]:
        await engine.promote(generation)
        question = asking("投诉", text_fields=frozenset({"title"}), facets=("state",))
        answer = await engine.search(question)
        return [(hit.id, hit.score) for hit in answer.hits], answer.facets

    await engine.create("g2")
    await given(engine, *documents("无关"))
    await given(engine, *documents("投诉 " * 50), generation="g2")

    assert await seen("g1") == await seen("g2")


async def test_only_rows_within_reach_are_found_and_counted(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, owner="usr_1", departments=["dep_a", "dep_b"], state="OPEN"),
        case(2, owner="usr_2", departments=["dep_b"], state="OPEN"),
        case(3, owner="usr_2", agents=["usr_1", "usr_3"], state="CLOSED"),
        case(4, state="CLOSED"),
    )

    assert await found(engine, reach=None) == ["1", "2", "3", "4"]
    assert await found(engine, reach=()) == []
    assert await found(engine, reach=(("owner", ()),)) == []
    assert await found(engine, reach=(("owner", ("usr_1",)),)) == ["1"]
    assert await found(engine, reach=(("owner", ("usr_1",)), ("agents", ("usr_1",)))) == ["1", "3"]
    assert await found(engine, reach=(("departments", ("dep_a", "dep_b")),)) == ["1", "2"]
    answer = await engine.search(asking(reach=(("owner", ("usr_2",)),), facets=("state",)))
    assert (answer.total, dict(answer.facets)) == (2, {"state": [("CLOSED", 1), ("OPEN", 1)]})


async def test_excluded_ids_are_neither_found_nor_counted(engine: SearchEngine) -> None:
    await given(engine, *(case(at, state="OPEN") for at in range(5)))

    answer = await engine.search(asking(excluded_ids=frozenset({"cas_1", "cas_3", "cas_x"}), facets=("state",)))

    assert sorted(hit.id for hit in answer.hits) == ["cas_0", "cas_2", "cas_4"]
    assert (answer.total, dict(answer.facets)) == (3, {"state": [("OPEN", 3)]})


async def test_cases_and_customers_are_kept_apart(engine: SearchEngine) -> None:
    customer = IndexDocument("cus_1", "customer", 4, {"owner": "usr_1"}, {}, {"customer_name": ["远大机械有限公司"]})
    await given(engine, customer, case(1, texts={"customer_name": "远大机械有限公司"}))

    answer = await engine.search(asking("远大", kind="customer"))

    assert [(hit.id, hit.version) for hit in answer.hits] == [("cus_1", 4)]
    assert await found(engine, "远大") == ["1"]


# --- conditions and facets ---


async def test_conditions_are_exact_values_and_half_open_ranges(engine: SearchEngine) -> None:
    await given(
        engine,
        case(1, state="OPEN", tags=["紧急", "VIP"], raised_at=DAY),
        case(2, state="OPEN", tags=["VIP"], raised_at=DAY + timedelta(days=1)),
        case(3, state="open", raised_at=DAY + timedelta(days=2)),
        case(4, state="CLOSED"),
    )

    assert await found(engine, terms={"state": ("OPEN",)}) == ["1", "2"]
    assert await found(engine, terms={"state": ("OPEN", "CLOSED")}) == ["1", "2", "4"]
    assert await found(engine, terms={"state": ("OPEN",), "tags": ("紧急",)}) == ["1"]
    assert await found(engine, terms={"state": ()}) == []
    two_days = {"raised_at": (DAY, DAY + timedelta(days=2))}
    assert await found(engine, ranges=two_days) == ["1", "2"]
    assert await found(engine, ranges={"raised_at": (DAY + timedelta(days=1), None)}) == ["2", "3"]
    assert await found(engine, ranges={"raised_at": (None, DAY + timedelta(milliseconds=1))}) == ["1"]
    assert await found(engine, ranges={"raised_at": (None, None)}) == ["1", "2", "3", "4"]


async def test_facets_count_all_matches_not_just_the_page(engine: SearchEngine) -> None:
    states = ["OPEN", "CLOSED", "ARCHIVED"]
    await given(
        engine,
        *(
            case(
                at,
                state=states[at % 3],
                tags=["x", "x", f"t{at % 2}"],
                texts={"title": "投诉" if at < 20 else "咨询"},
            )
            for at in range(30)
        ),
    )

    answer = await engine.search(asking("投诉", first=1, facets=("state", "tags", "category")))
    capped = await engine.search(asking("投诉", first=0, facets=("tags",), facet_size=1))

    assert answer.total == 20
    assert len(answer.hits) == 1
    assert dict(answer.facets) == {
        "state": [("CLOSED", 7), ("OPEN", 7), ("ARCHIVED", 6)],
        "tags": [("x", 20), ("t0", 10), ("t1", 10)],
        "category": [],
    }
    assert (capped.hits, dict(capped.facets)) == ((), {"tags": [("x", 20)]})


# --- order and pages ---


async def pages(engine: SearchEngine, question: Question) -> list[Answer]:
    got = []
    while True:
        answer = await engine.search(question)
        got.append(answer)
        if len(answer.hits) < question.first:
            return got
        question = replace(question, after=After(answer.hits[-1].sort_value, answer.hits[-1].id))


@pytest.mark.parametrize("descending", [True, False], ids=["descending", "ascending"])
@pytest.mark.parametrize("field", ["raised_at", "category"])
@pytest.mark.parametrize("first", [1, 3, 7])
async def test_pages_over_ties_have_no_gaps_and_no_repeats(
    engine: SearchEngine, field: str, descending: bool, first: int
) -> None:
    values: Sequence[Any] = [DAY, DAY - timedelta(days=90_000), DAY + timedelta(milliseconds=1), None]
    if field == "category":
        values = ['质量 "a"', "TO", "质量", None]
    documents = [case(f"{at:02}", **{field: values[at * at % 4 if at % 3 else 3 - at % 2]}) for at in range(26)]
    random.Random(1).shuffle(documents)
    for start in range(0, 26, 9):  # several segments
        await given(engine, *documents[start : start + 9])

    answers = await pages(engine, asking(sort=Sort(field, descending), first=first))

    def value(source: IndexDocument) -> Any:
        return {**source.dates, **source.keywords}[field]

    missing = sorted(source.id for source in documents if value(source) is None)
    present = sorted((source for source in documents if value(source) is not None), key=lambda source: source.id)
    present.sort(key=value, reverse=descending)
    assert missing
    assert [hit.id for answer in answers for hit in answer.hits] == [source.id for source in present] + missing
    assert {answer.total for answer in answers} == {26}


async def test_the_best_hit_comes_first_and_equal_ones_by_id(engine: SearchEngine) -> None:
    documents = [case(f"{at:02}", texts={"title": "投诉 发票"}) for at in range(20)]
    documents.append(case("zz", texts={"title": "投诉 投诉 投诉"}))
    random.Random(2).shuffle(documents)
    for start in range(0, 21, 6):
        await given(engine, *documents[start : start + 6])

    for first in (1, 4, 30):
        answers = await pages(engine, asking("投诉", first=first))
        ids = [hit.id for answer in answers for hit in answer.hits]
        ranks = [hit.sort_value for answer in answers for hit in answer.hits]
        assert ids == ["cas_zz", *(f"cas_{at:02}" for at in range(20))]
        assert ranks == list(range(1, 22))


@pytest.mark.parametrize("typed", ["", "投"], ids=["no words", "one letter"])
async def test_where_nothing_is_better_relevance_is_the_order_of_ids(engine: SearchEngine, typed: str) -> None:
    documents = [case(f"{at:02}", texts={"title": "投诉" * (1 + at % 3)}) for at in range(12)]
    await given(engine, *reversed(documents[:7]))
    await given(engine, *documents[7:])

    answers = await pages(engine, asking(typed, first=5, sort=Sort(RELEVANCE)))

    assert [hit.id for answer in answers for hit in answer.hits] == [source.id for source in documents]


async def test_beyond_the_window_of_relevance_there_are_no_hits_but_the_total(engine: SearchEngine) -> None:
    await given(engine, case(1), case(2))

    answer = await engine.search(asking(after=After(10_000, "cas_1"), first=5))

    assert (answer.hits, answer.total) == ((), 2)


async def test_a_forged_cursor_is_refused_before_it_reaches_the_engine(engine: SearchEngine) -> None:
    await given(engine, case(1, state="OPEN"))

    for after in (After("OPEN", "x TO *} OR *"), After(3, "cas_1"), After(True, "cas_1")):
        with pytest.raises(ValueError, match="after"):
            await engine.search(asking(sort=Sort("state"), after=after))
    with pytest.raises(ValueError, match="after"):
        await engine.search(asking(after=After(-1, "cas_1")))
    strange = After('"} OR *:* {', "cas_1")
    assert (await engine.search(asking(sort=Sort("state", descending=True), after=strange))).hits == ()


# --- versions, generations ---


async def test_old_and_equal_versions_change_nothing(engine: SearchEngine) -> None:
    await given(engine, case(1, 5, texts={"title": "第五版"}))

    await given(engine, case(1, 5, texts={"title": "另一个"}), case(1, 4, texts={"title": "第四版"}))

    assert await found(engine, "第五版") == ["1"]
    assert await found(engine, "第四版") == await found(engine, "另一个") == []
    assert await listed(engine) == [("cas_1", 5)]


async def test_index_work_in_a_thousand_orders_with_repeats_ends_in_the_same_index(
    engine: SearchEngine,
) -> None:
    """P28. Every order is tried on documents of its own, so that one index shows them all."""
    chance = random.Random(28)
    work: list[list[IndexDocument]] = []
    orders = list(itertools.permutations([1, 2, 3, 4]))
    for number in range(1_000):
        order = [*chance.choice(orders), *chance.choices([1, 2, 3, 4], k=chance.randrange(3))]
        chance.shuffle(order)
        work.append([case(f"{number:04}", step, state=f"S{step}", texts={"title": f"第{step}版"}) for step in order])

    pending = [steps[::-1] for steps in work]
    while any(pending):
        batch = [steps.pop() for steps in pending if steps for _ in range(min(len(steps), chance.randrange(3)))]
        await engine.upsert("g1", batch)
        if chance.random() < 0.4:
            await engine.refresh("g1")
    await engine.refresh("g1")

    answer = await engine.search(asking("第4版", first=0, facets=("state",)))
    assert await listed(engine) == [(f"cas_{number:04}", 4) for number in range(1_000)]
    assert (answer.total, dict(answer.facets)) == (1_000, {"state": [("S4", 1_000)]})


async def test_a_deleted_document_is_gone_and_a_newer_version_brings_it_back(engine: SearchEngine) -> None:
    await given(engine, case(1, 3), case(2, 3), case(3, 3))

    await engine.delete("g1", [("cas_1", 3), ("cas_2", 2), ("cas_3", 9), ("cas_missing", 1)])
    await engine.refresh("g1")

    assert await found(engine) == ["2"]
    await given(engine, case(1, 4))
    assert await listed(engine) == [("cas_1", 4), ("cas_2", 3)]


async def test_delete_sees_what_was_not_refreshed_yet(engine: SearchEngine) -> None:
    await engine.upsert("g1", [case(1, 1), case(2, 1)])
    await engine.delete("g1", [("cas_1", 1)])
    await engine.upsert("g1", [case(2, 2)])
    await engine.refresh("g1")

    assert await listed(engine) == [("cas_2", 2)]


async def test_promotion_changes_what_answers_at_once(engine: SearchEngine) -> None:
    await given(engine, case(1, texts={"title": "旧"}))
    await engine.create("g2")
    await given(engine, case(2, texts={"title": "新"}), generation="g2")
    before = (await engine.current(), await found(engine))

    await engine.promote("g2")

    assert before == ("g1", ["1"])
    assert (await engine.current(), await found(engine)) == ("g2", ["2"])
    assert await engine.generations() == ["g1", "g2"]
    await engine.promote("g2")
    assert await engine.current() == "g2"


async def test_the_current_generation_is_not_dropped_and_others_are(engine: SearchEngine) -> None:
    await given(engine, case(1))
    await engine.create("g2")
    await given(engine, case(2), generation="g2")

    with pytest.raises(ValueError, match="current"):
        await engine.drop("g1")
    await engine.drop("g2")
    await engine.drop("g2")

    assert await engine.generations() == ["g1"]
    assert await found(engine) == ["1"]
    await engine.create("g2")
    assert await listed(engine, "g2") == []


async def test_creating_a_generation_again_keeps_what_is_in_it(engine: SearchEngine) -> None:
    await given(engine, case(1))

    await engine.create("g1")

    assert await found(engine) == ["1"]


async def test_a_generation_that_is_not_there_is_said_so_and_not_made(engine: SearchEngine) -> None:
    with pytest.raises(UnknownGeneration):
        await engine.upsert("g9", [case(1)])
    with pytest.raises(UnknownGeneration):
        await engine.delete("g9", [("cas_1", 1)])
    with pytest.raises(UnknownGeneration):
        await engine.refresh("g9")
    with pytest.raises(UnknownGeneration):
        await engine.promote("g9")
    with pytest.raises(UnknownGeneration):
        await listed(engine, "g9")
    with pytest.raises(ValueError, match="name"):
        await engine.create("../g1")

    assert (await engine.generations(), await engine.current()) == (["g1"], "g1")


async def test_an_engine_with_a_current_generation_is_healthy(engine: SearchEngine) -> None:
    assert await engine.healthy()
