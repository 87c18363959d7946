from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.rms import rms_beyond_noise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covariance(k: int, seed: int = 1) -> np.ndarray:
    """A correlated covariance whose standard errors differ."""
    root = rng(seed).normal(size=(k, 2 * k)) / (2 * k) ** 0.5 * rng(seed + 1).uniform(0.3, 1.5, (k, 1))
    return root @ root.T


def test_the_value_is_the_mean_square_less_the_noise() -> None:
    b, V = np.array([1.0, -2.0, 0.5]), covariance(3)
    found = rms_beyond_noise(b, V, rng(), 70, 50)
    assert found.value == pytest.approx((np.mean(b**2) - np.mean(np.diag(V))) ** 0.5)
    assert (found.n, found.n_clusters, found.se, found.p) == (70, 50, None, None)
    assert rms_beyond_noise(b, 100 * V, rng(), 70, 50).value == 0.0


@pytest.mark.parametrize("size", [0.0, 0.3, 3.0])
def test_the_ends_are_where_the_probability_of_more_or_less_is_a_fortieth(size: float) -> None:
    V = covariance(4)
    b = size * np.array([1.0, -1.0, 0.2, 0.0]) + 0.3
    found = rms_beyond_noise(b, V, rng(4), 1, 1)
    z = rng(5).multivariate_normal(np.zeros(4), V, size=400_000)

    def above(rms: float) -> float:
        t = rms * 4**0.5
        return float((((t * b / np.linalg.norm(b) + z) ** 2).sum(axis=1) >= b @ b).mean())

    assert 1 - above(found.high) == pytest.approx(0.025, abs=0.004)
    if found.low:
        assert above(found.low) == pytest.approx(0.025, abs=0.004)
    else:
        assert above(0.0) >= 0.025
    assert (found.low > 0) == (size > 1)


def test_one_large_coefficient_has_the_normal_interval() -> None:
    found = rms_beyond_noise([-8.0], [[4.0]], rng(), 1, 1)
    assert (found.low, found.high) == pytest.approx((8 - 1.96 * 2, 8 + 1.96 * 2), abs=0.1)


def test_one_small_coefficient_has_the_folded_normal_interval() -> None:
    found = rms_beyond_noise([0.7], [[1.0]], rng(), 1, 1)
    inside = stats.norm.cdf(0.7 - found.high) - stats.norm.cdf(-0.7 - found.high)
    assert found.low == 0.0
    assert inside == pytest.approx(0.025, abs=0.003)


def test_units_signs_and_order_of_the_list() -> None:
    b, V = np.array([1.0, -2.0, 0.5]), covariance(3)
    one = rms_beyond_noise(b, V, rng(), 9, 9)
    ends = one.value, one.low, one.high
    scaled = rms_beyond_noise(10 * b, 100 * V, rng(), 9, 9)
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx([10 * x for x in ends])
    signs = np.array([1, -1, -1])
    for other in (
        rms_beyond_noise(b * signs, V * np.outer(signs, signs), rng(), 9, 9),
        rms_beyond_noise(b[::-1], V[::-1, ::-1], rng(), 9, 9),
    ):
        assert (other.value, other.low, other.high) == pytest.approx(ends, abs=0.03)
    assert rms_beyond_noise(b, V, rng(), 9, 9) == one


def test_no_noise_leaves_no_interval_but_the_point() -> None:
    found = rms_beyond_noise([3.0, 4.0], np.zeros((2, 2)), rng(), 1, 1)
    assert (found.value, found.low, found.high) == pytest.approx((12.5**0.5,) * 3)
    nothing = rms_beyond_noise([0.0, 0.0], np.zeros((2, 2)), rng(), 1, 1)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_a_singular_covariance_is_one() -> None:
    found = rms_beyond_noise([1.0, 1.0], np.ones((2, 2)), rng(), 1, 1)
    assert found.value == 0.0
    assert found.low == 0.0
    assert found.high == pytest.approx(2.96, abs=0.1)


def test_a_size_of_nothing_fits_no_noise() -> None:
    found = rms_beyond_noise(np.zeros(3), np.eye(3), rng(), 5, 4)
    assert (found.value, found.low, found.high) == (0.0, None, None)
    assert "noise alone" in str(found.reason)
    assert (found.n, found.n_clusters) == (5, 4)


@pytest.mark.parametrize("V", [[[np.nan, 0], [0, 1]], [[1, 2], [2, 1]], [[-1, 0], [0, -1]]])
def test_what_is_no_covariance_gives_null(V: list) -> None:
    found = rms_beyond_noise([1.0, 2.0], V, rng(), 1, 1)
    assert found.value is None
    assert "covariance" in str(found.reason)


def test_no_coefficients_give_null_and_bad_shapes_are_refused() -> None:
    assert "no coefficients" in str(rms_beyond_noise([], np.empty((0, 0)), rng(), 1, 1).reason)
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        rms_beyond_noise([1.0, 2.0], [1.0, 2.0], rng(), 1, 1)
    with pytest.raises(ValueError, match="finite"):
        rms_beyond_noise([1.0, np.nan], np.eye(2), rng(), 1, 1)


@pytest.mark.parametrize("size", [0.0, 0.4, 2.0])
def test_the_interval_covers(size: float) -> None:
    V, draw = covariance(8), rng(7)
    truth = size * np.array([1, -1, 0.5, 0, 0, 2, 0, 0.1])
    hits, runs = 0, 250
    for b in draw.multivariate_normal(truth, V, size=runs):
        found = rms_beyond_noise(b, V, draw, 1, 1)
        hits += found.low is not None and found.low <= np.mean(truth**2) ** 0.5 <= found.high
    assert 0.91 <= hits / runs <= 0.995
