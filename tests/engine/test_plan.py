from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engine.plan import cut, group, plan
from harness.models.base import Cost, Encoded

FREE, DEAR = Cost(), Cost(attention=0.01, fixed=20.0)
LENGTHS = st.lists(st.integers(1, 300), max_size=60)
TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), max_size=15)


def encoded(ids, types=None):
    return Encoded(np.array(ids, np.int32), types)


def of_lengths(lengths):
    rng = np.random.default_rng(0)
    return [encoded(rng.integers(0, 50000, n)) for n in lengths]


def seen(batches):
    return sorted(id(text) for batch in batches for tree in batch for text in tree.texts)


@given(TEXTS, st.integers(1, 40), st.sampled_from([0, 5, 100]), st.booleans(), st.sampled_from([FREE, DEAR]))
def test_every_text_is_planned_once_and_no_batch_is_over_budget(ids, budget, shares, scatter, cost):
    texts = [encoded(i) for i in ids]
    batches = plan(texts, budget, cost, shares, np.random.default_rng(1) if scatter else None)
    assert seen(batches) == sorted(map(id, texts))
    for batch in batches:
        longest = max(len(tree) for tree in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert all(len(tree) <= budget or not tree.forks for tree in batch)


@given(TEXTS, st.integers(0, 12))
def test_texts_beyond_the_limit_never_meet_a_shared_row(ids, shares):
    for batch in plan([encoded(i) for i in ids], 1000, FREE, shares):
        if any(tree.forks for tree in batch):
            assert max(len(text) for tree in batch for text in tree.texts) <= shares


def test_texts_with_segments_and_scattered_texts_have_rows_of_their_own():
    ids = [[1, 2, 3, 4], [1, 2, 3, 5]]
    with_types = [encoded(i, np.ones(4, np.int8)) for i in ids]
    for batches in (
        plan(with_types, 100, FREE, 100),
        plan([encoded(i) for i in ids], 100, FREE, 100, np.random.default_rng(0)),
    ):
        assert not any(tree.forks for batch in batches for tree in batch)
    shared = plan([encoded(i) for i in ids], 100, FREE, 100)
    assert [len(tree) for batch in shared for tree in batch] == [5]


def test_a_prefix_is_shared_where_it_saves_more_than_the_longer_row_costs():
    rng = np.random.default_rng(0)
    ends = [rng.integers(10, 10**6, 100) for _ in range(2)]
    for shared, joined in ((0, 2), (1, 2), (60, 1)):
        texts = [encoded(np.concatenate([np.arange(shared), end])) for end in ends]
        assert len(group(texts, 10**6, Cost(attention=0.001))) == joined
    assert len(group(texts, 200, Cost(attention=0.001))) == 2


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 80))
def test_no_other_way_to_cut_the_sorted_rows_is_cheaper(lengths, budget):
    ordered = sorted(lengths, reverse=True)

    def price(parts):
        return sum(DEAR.fixed + len(p) * p[0] * (1 + DEAR.attention * p[0]) for p in parts)

    def fits(parts):
        return all(len(p) == 1 or len(p) * p[0] <= budget for p in parts)

    n = len(ordered)
    ways = [
        [ordered[a:b] for a, b in zip((0, *ends), (*ends, n), strict=True)]
        for k in range(n)
        for ends in combinations(range(1, n), k)
    ]
    array = np.array(lengths, dtype=np.int64)
    found = [sorted(array[c].tolist(), reverse=True) for c in cut(array, budget, DEAR)]
    assert fits(found)
    assert price(found) == pytest.approx(min(price(w) for w in ways if fits(w)))


@given(LENGTHS)
def test_the_longest_come_first(lengths):
    longest = [len(batch[0]) for batch in plan(of_lengths(lengths), 500, DEAR, 0)]
    assert longest == sorted(longest, reverse=True)


def test_little_is_wasted_on_padding():
    texts = of_lengths(np.random.default_rng(0).integers(5, 250, 500))
    padded = sum(len(b) * len(b[0]) for b in plan(texts, 2048, Cost(fixed=16.0), 0))
    assert padded < 1.04 * sum(map(len, texts))


def test_a_scattered_plan_puts_texts_into_other_company():
    texts = of_lengths(np.random.default_rng(0).integers(5, 250, 200))
    company = [
        {frozenset(id(tree.texts[0]) for tree in batch) for batch in plan(texts, 2048, FREE, 0, scatter)}
        for scatter in (None, np.random.default_rng(1))
    ]
    assert not company[0] & company[1]
