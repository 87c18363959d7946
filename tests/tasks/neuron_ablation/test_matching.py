from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from harness.tasks.neuron_ablation.matching import ROUNDS, TOLERANCE, Search


def ran(curve: Callable[[int], float], target: float, most: int, start: int) -> Search:
    search = Search(target, most, {start: curve(start)})
    while (n := search.next()) is not None:
        assert 1 <= n <= most
        assert n not in search.tried
        search.tried[n] = curve(n)
    return search


CURVES: dict[str, Callable[[int], float]] = {
    "linear": lambda n: 1 - n / 5000,
    "steep": lambda n: 1 / (1 + n / 300),
    "slow then fast": lambda n: 1 - (n / 5000) ** 3,
    "at once": lambda n: float(np.exp(-n / 40)),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("target", [0.98, 0.9, 0.7, 0.4])
def test_a_monotone_curve_is_matched_within_the_rounds(curve: str, target: float) -> None:
    found = ran(CURVES[curve], target, 5000, 50)
    assert len(found.tried) <= ROUNDS
    assert found.matched
    assert abs(CURVES[curve](found.best()) - target) <= TOLERANCE


def test_noisy_curves_are_mostly_matched() -> None:
    matched = 0
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(0, 0.004, 5001)
        matched += ran(lambda n, noise=noise: float(1 / (1 + n / 400) + noise[n]), 0.8, 5000, 50).matched  # type: ignore[misc]
    assert matched >= 95


def test_a_damage_that_no_size_does_is_unmatched() -> None:
    found = ran(lambda n: 1 - 0.1 * n / 500, 0.6, 500, 20)
    assert not found.matched
    assert found.best() == 500


def test_a_step_has_no_size_that_matches() -> None:
    found = ran(lambda n: 0.99 if n < 100 else 0.5, 0.8, 500, 20)
    assert not found.matched
    assert len(found.tried) <= ROUNDS


def test_a_search_ends_where_nothing_was_measured() -> None:
    assert not ran(lambda n: float("nan"), 0.8, 500, 20).matched
    assert Search(0.9, 500).matched is False


def test_matched_is_within_a_hundredth_on_either_side() -> None:
    near = {f: Search(0.9, 500, {20: f}).matched for f in (0.885, 0.891, 0.909, 0.915)}
    assert near == {0.885: False, 0.891: True, 0.909: True, 0.915: False}


def test_what_matches_at_once_is_not_searched() -> None:
    search = Search(0.9, 500, {20: 0.905})
    assert search.matched
    assert search.next() is None


def test_the_nearest_size_counts_and_the_smaller_of_two() -> None:
    assert Search(0.9, 500, {20: 0.95, 40: 0.91, 60: 0.8}).best() == 40
    assert Search(0.9, 500, {60: 0.875, 20: 0.925}).best() == 20


def test_no_size_is_tried_where_no_layer_has_neurons() -> None:
    assert Search(0.5, 0, {20: 0.9}).next() is None
