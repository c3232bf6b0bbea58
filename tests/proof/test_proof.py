"""Two worlds that differ in what a role may not see answer that role alike (B1, P12): a sample for every change, the
whole by `make prove`.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from service.access.policy import Policy
from service.policies.service import seed_data
from tests.proof.leaks import LEAKS, Leak
from tests.proof.proving import Bench
from tests.proof.viewers import people_of

SEED = int(os.environ.get("ANJUAN_PROOF_SEED", "329"))
"""The same sample each time, so that a change alone can fail it; the variable draws another."""
ALWAYS = ("auditor", "clerk")
"""Who sees most behind masks."""
OTHERS = sorted(people_of(Policy.read(seed_data())).keys() - set(ALWAYS))
VIEWERS = (*ALWAYS, *sorted(Random(SEED).sample(OTHERS, 3)))
SHARE = 0.02


@pytest.mark.parametrize("viewer", VIEWERS)
def test_what_a_role_may_not_see_makes_no_difference_anywhere(bench: Bench, viewer: str) -> None:
    """B1, P12: status, headers, body, order, counts, cursors, highlights, facets, errors, files, byte for byte."""
    found = bench.prove(bench.base.people[viewer], share=SHARE, seed=SEED)
    assert found.asked > 30
    assert not found.differences, f"seed {SEED}\n" + "\n".join(map(str, found.differences[:5]))


def test_nor_where_elasticsearch_is_the_index(elastic_bench: Bench) -> None:
    """B1, P12, on the other engine."""
    found = elastic_bench.prove(elastic_bench.base.people["clerk"], share=SHARE, seed=SEED)
    assert found.asked > 30
    assert not found.differences, f"seed {SEED}\n" + "\n".join(map(str, found.differences[:5]))


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_planted_leak_is_found(bench: Bench, leak: Leak) -> None:
    """A proof that can't fail proves nothing: each of these was shipped by somebody."""
    assert bench.finds(leak) is not None, f"nobody saw that {leak.name}"


def test_the_bench_itself_makes_no_difference(bench: Bench) -> None:
    """The same story told twice, under other keys and nonces, is told alike: what differs elsewhere is no noise."""
    found = bench.twins(bench.base.people["auditor"], share=SHARE, seed=SEED)
    assert found.asked > 30
    assert not found.differences, "\n".join(map(str, found.differences[:5]))
