"""Agreement of labelings against scikit-learn, loops and a jackknife, and against what may not change it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from harness.stats.agreement import kappa, retest_correlation
from tests.stats.data import clustered

WORDS = np.array(["no", "unclear", "yes"])


def labelled(seed: int, groups: int, flip: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two labelings of the same truth, the errors of which are shared within clusters now and then."""
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    codes = np.unique(clusters, return_inverse=True)[1]
    truth = rng.choice(3, len(clusters), p=[0.6, 0.1, 0.3])

    def label() -> np.ndarray:
        wrong = np.where(
            rng.random(len(codes)) < 0.5, (rng.random(groups) < flip)[codes], rng.random(len(codes)) < flip
        )
        return WORDS[np.where(wrong, rng.choice(3, len(codes)), truth)]

    return label(), label(), clusters


def differences(seed: int, groups: int, flip: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    sides = rng.random((2, len(clusters))) < 0.3
    noisy = sides ^ (rng.random((2, *sides.shape)) < flip)
    return *(noisy[:, 0] * 1.0 - noisy[:, 1]), clusters


def jackknife(statistic, *columns: np.ndarray, clusters: np.ndarray) -> float:
    """Standard error by leaving out one cluster at a time."""
    names = sorted(set(clusters))
    left = [statistic(*(x[clusters != c] for x in columns)) for c in names]
    return float(np.sqrt((len(names) - 1) / len(names) * ((left - np.mean(left)) ** 2).sum()))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))


def test_kappa_is_that_of_scikit_learn_with_the_error_of_a_jackknife() -> None:
    a, b, clusters = labelled(1, 400)
    found = kappa(a, b, clusters)
    assert found.value == pytest.approx(cohen_kappa_score(a, b))
    assert found.se == pytest.approx(jackknife(cohen_kappa_score, a, b, clusters=clusters), rel=0.02)
    sizes = np.unique(clusters, return_counts=True)[1]
    assert found.df == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum() - 1)
    arm = stats.t.ppf(0.975, found.df) * found.se / (1 - found.value**2)
    ends = [np.arctanh(found.value) + s * arm for s in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(tuple(np.tanh(ends)))
    assert (found.n, found.n_clusters) == (len(a), 400)


def test_kappa_does_not_see_order_names_or_which_is_first() -> None:
    a, b, clusters = labelled(2, 60)
    found = kappa(a, b, clusters)
    order = np.random.default_rng(3).permutation(len(a))
    number = {"no": 3.5, "unclear": 0.0, "yes": -1.0}
    for other in (
        kappa(a[order], b[order], clusters[order]),
        kappa(b, a, clusters),
        kappa([number[x] for x in a], [number[x] for x in b], clusters),
    ):
        assert (other.value, other.se, other.p) == pytest.approx((found.value, found.se, found.p))


def test_shuffled_labels_give_kappa_zero_and_nominal_alarms() -> None:
    rng = np.random.default_rng(4)
    a, b, clusters = labelled(5, 80)
    found = [kappa(a, rng.permutation(b), clusters) for _ in range(600)]
    assert np.mean([f.value for f in found]) == pytest.approx(0, abs=0.01)
    assert 15 <= sum(f.p < 0.05 for f in found) <= 50


def test_intervals_cover() -> None:
    many = [labelled(0, 20000), differences(0, 20000)]
    for make, statistic, truth in (
        (labelled, kappa, kappa(*many[0]).value),
        (differences, retest_correlation, retest_correlation(*many[1]).value),
    ):
        found = [statistic(*make(seed, 60)) for seed in range(1, 401)]
        assert 0.91 <= np.mean([f.low <= truth <= f.high for f in found]) <= 0.98


def test_kappa_without_chance_or_spread_says_so() -> None:
    assert "one category" in str(kappa(["x"] * 4, ["x"] * 4, range(4)).reason)
    assert kappa(["x"] * 4, ["x"] * 4, range(4)).value is None
    assert "no rows" in str(kappa([], [], []).reason)
    full = kappa(["x", "y", "x"], ["x", "y", "x"], range(3))
    assert (full.value, full.low) == (1.0, None)
    assert "no spread" in str(full.reason)
    opposite = kappa([0, 1, 0, 1], [1, 0, 1, 0], range(4))
    assert (opposite.value, opposite.low) == (-1.0, None)
    mute = kappa(["x", "x", "x"], ["x", "y", "x"], range(3))
    assert (mute.value, mute.low) == (pytest.approx(0), None)
    assert "1 clusters" in str(kappa(["x", "y", "x"], ["x", "y", "y"], [7, 7, 7]).reason)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_missing_labels_and_unequal_lengths_are_refused(missing: object) -> None:
    with pytest.raises(ValueError, match="missing"):
        kappa(["x", missing], ["x", "y"], [0, 1])
    with pytest.raises(ValueError):
        kappa(["x"], ["x", "y"], [0, 1])
    with pytest.raises(ValueError):
        retest_correlation([1.0, np.nan], [1, 1], [0, 1])
    with pytest.raises(ValueError):
        retest_correlation([1.0], [1, 1], [0, 1])


def test_retest_correlation_is_uncentred_with_the_error_of_a_jackknife() -> None:
    x, y, clusters = differences(6, 400)
    found = retest_correlation(x, y, clusters)
    assert found.value == pytest.approx(correlation(x, y))
    assert found.se == pytest.approx(jackknife(correlation, x, y, clusters=clusters), rel=0.03)
    size = x**2 / (x**2).sum() + y**2 / (y**2).sum()
    shares = np.array([size[clusters == c].sum() for c in set(clusters)])
    assert found.df == pytest.approx(shares.sum() ** 2 / (shares**2).sum() - 1)


def test_retest_correlation_does_not_see_sides_order_or_unit() -> None:
    x, y, clusters = differences(7, 60)
    found = retest_correlation(x, y, clusters)
    rng = np.random.default_rng(8)
    flip, order = rng.choice([-1, 1], len(x)), rng.permutation(len(x))
    for other in (
        retest_correlation(flip * x, flip * y, clusters),
        retest_correlation(x[order], y[order], clusters[order]),
        retest_correlation(1000 * x, y, clusters),
        retest_correlation(y, x, clusters),
    ):
        assert (other.value, other.se, other.p) == pytest.approx((found.value, found.se, found.p))


def test_good_levels_may_come_with_poor_differences() -> None:
    rng = np.random.default_rng(9)
    n = 4000
    prompt = rng.random(n) < 0.5  # what both replies share is what the labelers agree on
    texts = np.array([prompt, prompt]) ^ (rng.random((2, n)) < 0.05)
    first, second = (texts ^ (rng.random((2, n)) < 0.07) for _ in range(2))
    level = kappa(first.ravel(), second.ravel(), np.tile(np.arange(n), 2))
    pairs = retest_correlation(first[0] * 1.0 - first[1], second[0] * 1.0 - second[1], np.arange(n))
    assert level.value > 0.7
    assert pairs.value < 0.45


def test_no_variation_is_null_and_proportional_labels_have_no_interval() -> None:
    assert retest_correlation([0, 0, 0], [1, 0, 1], range(3)).value is None
    assert "no pair differs" in str(retest_correlation([], [], []).reason)
    full = retest_correlation([1, -1, 0], [3, -3, 0], range(3))
    assert (full.value, full.low) == (pytest.approx(1), None)


def test_errors_are_derivatives_by_cluster_times_the_factor_of_cr1() -> None:
    a, b, clusters = labelled(10, 12)
    x, y, of_pairs = differences(11, 12)

    def weighted_kappa(weights: np.ndarray) -> float:
        return cohen_kappa_score(a, b, sample_weight=weights)

    def weighted_correlation(weights: np.ndarray) -> float:
        return correlation(np.sqrt(weights) * x, np.sqrt(weights) * y)

    for found, statistic, names in (
        (kappa(a, b, clusters), weighted_kappa, clusters),
        (retest_correlation(x, y, of_pairs), weighted_correlation, of_pairs),
    ):
        step = 1e-5
        slopes = [
            (statistic(1 + step * (names == c)) - statistic(1 - step * (names == c))) / (2 * step) for c in set(names)
        ]
        assert found.se == pytest.approx(np.sqrt(np.sum(np.square(slopes)) * 12 / 11), rel=1e-4)


def test_rounding_does_not_lift_a_correlation_above_one() -> None:
    rng = np.random.default_rng(12)
    for _ in range(50):
        x = rng.normal(size=7)
        assert retest_correlation(x, 3 * x, range(7)).value <= 1
