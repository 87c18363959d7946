"""Estimates over seeds and the ratio bootstrap against loops."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.accuracy import accuracy
from harness.stats.bootstrap import cluster_weights
from harness.stats.over_seeds import Bootstrap, over, proportion

CLUSTERS = np.array([f"{i // 3:03d}" for i in range(150)])


def first_over_second(totals: np.ndarray) -> np.ndarray:
    return over(totals[..., 0], totals[..., 1])


def test_one_seed_is_the_plain_accuracy():
    wrong = (np.random.default_rng(0).random(150) < 0.2).astype(float)
    assert proportion(wrong[None], CLUSTERS) == accuracy(wrong, CLUSTERS)


def test_no_items_are_null():
    assert proportion(np.empty((1, 0)), np.empty(0)).reason == "no rows"


def test_a_ratio_is_redrawn_by_cluster_and_averaged_over_seeds():
    rng = np.random.default_rng(1)
    sums = rng.random((2, 150, 2)) + 0.5
    found = Bootstrap(CLUSTERS, 700, seed=5).ratio(sums, CLUSTERS, first_over_second, np.ones(150, dtype=bool))
    unique, counts = cluster_weights(CLUSTERS, 700, np.random.default_rng(5))
    place = {name: g for g, name in enumerate(unique)}
    draws = []
    for draw in counts:
        weight = np.array([draw[place[c]] for c in CLUSTERS], dtype=float)
        draws.append(np.mean([(weight @ s[:, 0]) / (weight @ s[:, 1]) for s in sums]))
    assert found.value == pytest.approx(np.mean([s[:, 0].sum() / s[:, 1].sum() for s in sums]))
    per_seed = [s[:, 0].sum() / s[:, 1].sum() for s in sums]
    assert found.se**2 == pytest.approx(np.var(draws, ddof=1) + np.var(per_seed, ddof=1) / 2)
    one = Bootstrap(CLUSTERS, 700, seed=5).ratio(sums[:1], CLUSTERS, first_over_second, np.ones(150, dtype=bool))
    first = [(w @ sums[0][:, 0]) / (w @ sums[0][:, 1]) for w in counts[:, [place[c] for c in CLUSTERS]].astype(float)]
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(first, [0.025, 0.975])))


def test_a_ratio_speaks_of_thirty_prompts_or_not_at_all():
    sums = np.ones((1, 150, 2))
    bootstrap = Bootstrap(CLUSTERS, 50, seed=0)
    base = np.arange(150) < 87
    assert bootstrap.ratio(sums, CLUSTERS, first_over_second, base).value is None
    assert bootstrap.ratio(sums, CLUSTERS, first_over_second, np.arange(150) < 88).value == 1.0


def test_division_by_zero_is_undefined_not_infinite():
    assert np.isnan(over(np.array([1.0]), np.array([0.0])))[0]
