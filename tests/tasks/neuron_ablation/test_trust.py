"""The lines of corrections 14 on fewer seeds: `trust` holds the simulation, and counts all 400 as a script."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstest

from harness.stats.controls import against, randomised_p

from . import trust

RUNS = 32

TAIL = binom.cdf(31, trust.SEEDS, 0.05)
"""Chance that a test at exactly .05 stays within the line of 31 false alarms in 400."""


def most(share: float, runs: int = RUNS) -> int:
    """What a true share passes as rarely as .05 passes 31 of 400."""
    return int(binom.ppf(TAIL, runs, share))


def least(share: float, runs: int = RUNS) -> int:
    """The mirror of `most`."""
    return runs - most(1 - share, runs)


def test_fewer_seeds_are_held_to_the_same_line() -> None:
    assert most(0.05, 400) == 31
    assert (most(0.05), least(0.8), least(0.9)) == (5, 20, 24)


@pytest.mark.parametrize("profile", trust.PROFILES)
@pytest.mark.parametrize("truth", ["random", "uniform"])
def test_sets_that_are_not_specific_raise_few_alarms(profile: str, truth: str) -> None:
    found = trust.count(profile, truth, RUNS)
    assert found.at_chance <= RUNS // 4
    assert found.specific <= most(0.05)
    assert found.called[1.0] <= most(0.05)


@pytest.mark.parametrize("profile", trust.PROFILES)
def test_a_specific_set_is_found_and_not_called_a_tension_at_any_scale(profile: str) -> None:
    found = trust.count(profile, "planted", RUNS, trust.SCALES)
    assert found.specific >= least(0.8)
    assert max(found.called.values()) <= most(0.05)


@pytest.mark.parametrize("profile", trust.PROFILES)
def test_a_planted_tension_is_called(profile: str) -> None:
    assert trust.count(profile, "tension", RUNS).called[1.0] >= least(0.9)


def test_the_planted_set_costs_ten_points() -> None:
    costs = []
    for seed, profile in enumerate(list(trust.PROFILES) * 8):
        t = trust.table(profile, "planted", np.random.default_rng(seed))
        after = t.without(np.isin(np.arange(trust.NEURONS), t.only_h).astype(float)[:, None])[:, 0]
        costs.append((t.intact > 0).mean(where=t.of("helpful")) - (after > 0).mean(where=t.of("helpful")))
    assert np.mean(costs) >= 0.1


@pytest.fixture(scope="module")
def same() -> dict[str, np.ndarray]:
    """Random sets against random sets: a column is a number and 199 controls, by statistic."""
    return trust.random_against_random(400, 199)


@pytest.mark.parametrize("statistic", trust.STATISTICS)
def test_random_against_random_is_rarely_significant(same: dict[str, np.ndarray], statistic: str) -> None:
    side, _ = trust.STATISTICS[statistic]
    found = [against(run[0], run[1:], side) for run in same[statistic].T]
    for alpha in (0.01, 0.05, 0.1, 0.25):
        for ps in ([f.p for f in found], [f.p_emp for f in found]):
            assert sum(p <= alpha for p in ps) <= binom.ppf(0.999, len(ps), alpha)


@pytest.mark.parametrize("statistic", trust.STATISTICS)
def test_randomised_p_of_random_against_random_is_uniform(same: dict[str, np.ndarray], statistic: str) -> None:
    rng = np.random.default_rng(14)
    side, _ = trust.STATISTICS[statistic]
    ps = [randomised_p(run[0], run[1:100], side, rng) for run in same[statistic].T]
    assert kstest(ps, "uniform").pvalue > 0.001
