"""The lines of corrections 6 on fewer simulations: `trust` holds the simulation, and counts all 2,000 as a script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from harness.stats.differences import first_differences, unit

from . import trust

RUNS, BLIND = 200, 150


def limits(low: float, high: float, runs: int) -> tuple[float, float]:
    """The band around .95 of so many runs that is as rarely left as that from `low` to `high` of 2,000."""
    spread = [(end - 0.95) * (trust.SIMULATIONS / runs) ** 0.5 for end in (low, high)]
    return 0.95 + spread[0], 0.95 + spread[1]


def most(runs: int) -> int:
    """What .05 passes as rarely as it passes 37 of 500."""
    return int(binom.ppf(binom.cdf(37, trust.NO_IMPRINT, 0.05), runs, 0.05))


@pytest.fixture(scope="module", params=trust.PAIRS)
def world(request: pytest.FixtureRequest, shared: Path) -> trust.World:
    return trust.world(trust.texts_of(shared, request.param))


def test_fewer_simulations_are_held_to_the_same_lines() -> None:
    assert limits(0.93, 0.99, 2000) == pytest.approx((0.93, 0.99))
    assert most(500) == 37
    assert limits(0.93, 0.99, 200) == pytest.approx((0.8868, 1.0765), abs=1e-4)


def test_intervals_hold_what_was_planted_and_those_of_the_pooled_fit_do_not(world: trust.World) -> None:
    found = trust.coverage(world, RUNS)
    low, high = limits(0.93, 0.99, RUNS)
    assert found["fd"].min() >= low, found
    assert found["fd"].max() <= high, found
    mean = limits(0.94, 0.965, RUNS)
    assert mean[0] <= found["fd"].mean() <= mean[1], found
    assert found["pooled"].mean() < 0.3, found
    assert (found["pooled"] < 0.1).mean() > 0.6, found


def test_without_imprint_holm_keeps_alarms_rare_and_nothing_else_does(world: trust.World) -> None:
    adjusted, plain = trust.alarms(world, BLIND)
    assert adjusted <= most(BLIND)
    assert plain > 0.3 * BLIND


def test_the_design_keeps_what_the_task_can_estimate(world: trust.World) -> None:
    assert world.names[0] == "log_words"
    assert len(world.names) >= 12
    assert {"code", "headings"} <= set(world.refused)
    assert world.effective.min() >= 20


@pytest.mark.parametrize("paid", ["log_words", "question"])
def test_a_reward_for_one_feature_loads_it_alone(world: trust.World, paid: str) -> None:
    d = 3.0 * world.differences[:, world.names.index(paid)]
    fit = first_differences(d / unit(d), world.differences, world.clusters, world.names)
    expected = [3.0 / unit(d) if name == paid else 0.0 for name in world.names]
    assert fit.coef == pytest.approx(np.array(expected), abs=1e-9)
