"""What surrounds the forward pass, each in isolation: run with `make bench`, skipped by `make test`."""

from __future__ import annotations

import numpy as np
import pytest

from harness.engine.engine import Engine, Job
from harness.engine.plan import cut, plan
from harness.engine.store import ScoreStore
from harness.models.base import Cost, Encoded
from harness.models.tree import grow
from harness.outcomes import outcomes
from harness.stats.bootstrap import cluster_weights, row_weights, weighted_mean
from harness.testing import planted
from tests.engine.fakes import Counting, resolved, unit

pytestmark = pytest.mark.benchmark


COST = Cost(attention=7e-4, fixed=16.0)
"""About that of a 12-layer 576-wide decoder on a CPU."""


def pairs(n: int) -> list[Encoded]:
    """`n` texts of 5 to 511 random tokens, two and two with the same first half or so."""
    rng = np.random.default_rng(0)
    texts: list[Encoded] = []
    for size, shared in rng.integers([10, 5], [512, 256], (n // 2, 2)):
        prompt = rng.integers(0, 8000, min(size, shared))
        texts += [Encoded(np.concatenate([prompt, rng.integers(0, 8000, size - len(prompt))])) for _ in range(2)]
    return texts


def test_cutting_a_hundred_thousand_lengths_into_batches(benchmark):
    lengths = np.random.default_rng(0).integers(5, 512, 100_000)
    batches = benchmark(cut, lengths, 2048, COST)
    assert sum(map(len, batches)) == 100_000


def test_planning_ten_thousand_texts_with_shared_prefixes(benchmark):
    texts = pairs(10_000)
    batches = benchmark(plan, texts, 2048, COST, shares=4096)
    assert sum(len(tree.texts) for batch in batches for tree in batch) == 10_000


def test_a_thousand_prefix_trees_of_two(benchmark):
    texts = pairs(2000)
    couples = list(zip(texts[::2], texts[1::2], strict=True))
    trees = benchmark(lambda: [grow(couple) for couple in couples])
    assert sum(map(len, trees)) < sum(map(len, texts))


def test_a_warm_store_answers_five_thousand_texts(benchmark, tmp_path):
    store = ScoreStore(tmp_path / "s.sqlite")
    jobs = [Job(unit(f"text {i}", item=str(i))) for i in range(5000)]
    Engine(resolved(Counting()), store).ensure(jobs)

    def again():
        engine = Engine(resolved(Counting()), store)
        engine.ensure(jobs)
        return engine.timing.remembered

    assert benchmark(again) == 5000


def test_outcomes_of_ten_thousand_items(benchmark):
    table = planted.table(planted.items(np.random.default_rng(0), 10_000), planted.noise)
    assert len(benchmark(outcomes, table)) == 10_000


def test_ten_thousand_draws_of_three_thousand_rows(benchmark):
    rng = np.random.default_rng(0)
    clusters, values = rng.integers(0, 1500, 3000), rng.random(3000)

    def bootstrap():
        unique, counts = cluster_weights(clusters, 10_000, rng)
        return weighted_mean(values, row_weights(clusters, unique, counts))

    assert len(benchmark(bootstrap)) == 10_000
