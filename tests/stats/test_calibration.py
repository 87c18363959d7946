from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit

from harness.stats.calibration import bin_of, brier, ece, nll, slope, temperature
from tests.stats.data import clustered


def margins(rng: np.random.Generator, rows: int, b: float) -> np.ndarray:
    """Margins whose sign is "chosen" with probability sigmoid(b |m|): the true slope is b."""
    size = rng.exponential(1, rows)
    return np.where(rng.random(rows) < expit(b * size), size, -size)


def test_losses_by_hand() -> None:
    assert nll([0.0, 0.0]) == pytest.approx(np.log(2))
    assert brier([0.0]) == 0.25
    assert nll([2.0, -1.0]) == pytest.approx(-(np.log(expit(2)) + np.log(expit(-1))) / 2)
    assert brier([2.0, -1.0]) == pytest.approx(((1 - expit(2)) ** 2 + (1 - expit(-1)) ** 2) / 2)
    assert nll([2.0, -1.0], [3, 1]) == pytest.approx(nll([2.0, 2.0, 2.0, -1.0]))
    assert np.isfinite(nll([-1e5]))


def test_slope_is_the_maximum_and_its_error_that_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    clusters = clustered(rng, 60)
    m = margins(rng, len(clusters), 0.7)
    best = minimize_scalar(lambda b: nll(b * m), bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x
    weight = expit(best * m) * expit(-best * m) * m**2
    meat = sum(((m * expit(-best * m))[clusters == name]).sum() ** 2 for name in set(clusters))
    shares = [weight[clusters == name].sum() for name in set(clusters)]

    found = slope(m, clusters)

    assert found.value == pytest.approx(best, abs=1e-6)
    assert found.se == pytest.approx((60 / 59 * meat) ** 0.5 / weight.sum(), rel=1e-5)
    assert found.df == pytest.approx(sum(shares) ** 2 / sum(s**2 for s in shares) - 1, rel=1e-5)


def test_slope_and_temperature_change_with_the_unit_only() -> None:
    rng = np.random.default_rng(2)
    m, clusters = margins(rng, 200, 1.5), np.arange(200)
    one, ten = slope(m, clusters), slope(10 * m, clusters)
    assert (10 * ten.value, 10 * ten.se, ten.p) == pytest.approx((one.value, one.se, one.p))
    assert slope(-m, clusters).value == pytest.approx(-one.value)
    warm = temperature(m, clusters)
    assert (warm.value, warm.low, warm.high) == pytest.approx((1 / one.value, 1 / one.high, 1 / one.low))
    assert temperature(10 * m, clusters).value == pytest.approx(10 * warm.value)
    assert min(nll(m / warm.value * 1.01), nll(m / warm.value / 1.01)) > nll(m / warm.value)


def test_slope_covers() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        clusters = clustered(rng, 50)
        found = slope(margins(rng, len(clusters), 0.8), clusters)
        hits += found.low <= 0.8 <= found.high
    assert hits / 300 >= 0.92


@pytest.mark.parametrize("m", [[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [-1.0, -2.0, -3.0], []])
def test_no_finite_slope_is_null_with_a_reason(m: list) -> None:
    for found in (slope(m, range(len(m))), temperature(m, range(len(m)))):
        assert found.value is None
        assert found.reason


def test_temperature_needs_a_slope_above_zero() -> None:
    rng = np.random.default_rng(4)
    assert "slope" in str(temperature(rng.normal(0, 1, 60), range(60)).reason)
    weak = margins(np.random.default_rng(0), 8, 0.9)
    assert slope(weak, range(8)).low < 0 < slope(weak, range(8)).value
    assert temperature(weak, range(8)).value is None
    assert "cluster" in str(temperature(margins(rng, 60, 2.0), [0] * 60).reason)


def test_ece_of_a_calibrated_model_is_what_simulation_says() -> None:
    rng = np.random.default_rng(5)
    found = [ece(margins(rng, 400, 1.0), rng) for _ in range(20)]
    assert np.mean([value for value, _ in found]) == pytest.approx(np.mean([floor for _, floor in found]), rel=0.15)
    value, floor = ece(4 * margins(rng, 2000, 1.0), rng)
    assert value > 3 * floor


def test_ece_by_hand_and_in_any_order() -> None:
    value, _ = ece([0.0, 0.0, 2.0, 2.1], np.random.default_rng(0), bins=2)
    confidence = (expit(2.0) + expit(2.1)) / 2
    assert value == pytest.approx(0.5 * 0 + 0.5 * (1 - confidence))
    m = np.random.default_rng(1).normal(1, 2, 300)
    assert ece(m, np.random.default_rng(0)) == pytest.approx(ece(m[::-1], np.random.default_rng(0)))
    assert ece([], np.random.default_rng(0)) == (None, None)


def test_no_rows_and_bad_rows() -> None:
    assert nll([]) is None
    assert brier([]) is None
    assert nll([1.0], [0.0]) is None
    with pytest.raises(ValueError):
        slope([np.nan, 1.0], [0, 1])


def test_bins_are_equal_and_full_confidence_is_in_the_last():
    confidence = np.array([0.5, 0.599, 0.601, 0.75, 0.999, 1.0])
    assert bin_of(confidence, 5).tolist() == [0, 0, 1, 2, 4, 4]
