"""Linearised ratios against regressions, loops and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.rewrite_robustness.ratios import few, ratio, share, still

from harness.stats.differences import first_differences
from harness.stats.over_seeds import proportion


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(50), [1, 3] * 25)
    x = rng.normal(size=(1, 100)) * np.exp(rng.normal(size=(1, 100)))
    return x, 0.7 * x + rng.normal(size=(1, 100)), clusters


def test_it_is_the_regression_through_the_origin(drawn):
    x, y, clusters = drawn
    found = ratio(x * y, x**2, clusters)
    fit = first_differences(y[0], x.T, clusters, ["margin"]).estimate("margin")
    for name in ("value", "se", "low", "high", "df", "n", "n_clusters"):
        assert getattr(found, name) == pytest.approx(getattr(fit, name)), name
    assert found.p is None


def test_several_seeds_by_a_loop(drawn):
    _, _, clusters = drawn
    rng = np.random.default_rng(1)
    below = rng.integers(0, 2, (3, 100)).astype(float)
    above = below * rng.random((3, 100))
    found = ratio(above, below, clusters)
    each = [a.sum() / b.sum() for a, b in zip(above, below, strict=True)]
    by_cluster = [
        np.mean([(a - r * b)[clusters == g].sum() / b.sum() for a, b, r in zip(above, below, each, strict=True)])
        for g in range(50)
    ]
    assert found.value == pytest.approx(np.mean(each))
    assert found.se**2 == pytest.approx(50 / 49 * np.sum(np.square(by_cluster)) + np.var(each, ddof=1) / 3)


def test_a_share_of_one_seed_is_an_accuracy_of_what_is_given(drawn):
    _, _, clusters = drawn
    rng = np.random.default_rng(2)
    given, event = rng.random((1, 100)) < 0.7, rng.random((1, 100)).round()
    assert share(event, given, clusters) == proportion(event[:, given[0]], clusters[given[0]])


def test_a_share_stays_between_0_and_1(drawn):
    _, _, clusters = drawn
    event, given = np.ones((2, 100)), np.random.default_rng(3).random((2, 100)) < 0.5
    event[0, 0], given[0, 0] = 0, True
    found = share(event, given, clusters)
    assert 0.9 < found.value < 1
    assert found.high == 1
    turned = share(1 - event, given, clusters)
    assert turned.low == 0
    assert turned.value == pytest.approx(1 - found.value)
    assert turned.high == pytest.approx(1 - found.low)


def test_what_has_no_denominator_is_null(drawn):
    x, _, clusters = drawn
    assert ratio(x, 0 * x, clusters).reason == "nothing to divide by"
    assert ratio(x, x**2, np.zeros(100)).reason == "one cluster: no interval"
    given = np.ones((2, 100), bool)
    given[1] = False
    assert share(np.ones((2, 100)), given, clusters).value is None


def test_twenty_prompts_are_enough():
    assert few(np.arange(20)) is None
    found = few(np.repeat(np.arange(19), 3))
    assert (found.value, found.n, found.n_clusters) == (None, 57, 19)
    assert found.reason == "19 prompts to speak of: a rate needs 20"


def test_a_zero_that_is_bounded_has_the_standard_error_of_its_bound():
    """Boards compare models by it: 0 would tell apart what no data do."""
    found = still(0.02, -0.02, 40, 30)
    assert (found.value, found.low, found.high, found.n, found.n_clusters) == (0, -0.02, 0.02, 40, 30)
    assert found.se == pytest.approx(0.02 / 1.959964, rel=1e-6)
