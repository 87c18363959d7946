"""Coefficients corrected by gold labels: against a loop over the three fits, and on labels with known errors."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.differences import first_differences
from harness.stats.fit import Fit
from harness.stats.gold import gold_corrected

NAMES = ("a", "b", "c")
BETA = np.array([0.8, -0.5, 0.3])


def labelled(rng: np.random.Generator, n: int, gold: int, flip: float = 0.12) -> tuple:
    """d, differences of labels with errors, differences of gold labels (NaN where unknown), which are known, clusters."""
    truth = rng.random((2, n, 3)) < [0.5, 0.3, 0.4]
    labels = truth ^ (rng.random(truth.shape) < flip)
    X, Z = (side[0] * 1.0 - side[1] for side in (truth, labels))
    clusters = rng.integers(0, n // 2, n)
    d = X @ BETA + 0.5 * rng.normal(size=n // 2)[clusters] + rng.normal(size=n) * (0.5 + np.abs(X[:, 0]))
    known = np.zeros(n, dtype=bool)
    known[rng.choice(n, gold, replace=False)] = True
    return d, Z, np.where(known[:, None], X, np.nan), known, clusters


def covers(fit: Fit) -> np.ndarray:
    frame = fit.to_frame()
    return ((frame.low <= BETA) & (frame.high >= BETA)).to_numpy()


def test_coefficients_and_errors_against_a_loop() -> None:
    d, Z, X, known, clusters = labelled(np.random.default_rng(1), 120, 50)
    fit = gold_corrected(d, Z, X, known, clusters, NAMES)
    moved: dict[int, np.ndarray] = {c: np.zeros(3) for c in set(clusters)}
    coef = np.zeros(3)
    for design, rows, sign in ((Z, known | True, 1), (X, known, 1), (Z, known, -1)):
        x, y = design[rows], d[rows]
        beta = np.linalg.lstsq(x, y)[0]
        coef += sign * beta
        n, groups = len(y), len(set(clusters[rows]))
        factor = np.sqrt(groups / (groups - 1) * (n - 1) / (n - 3))
        for c, row, e in zip(clusters[rows], x, y - x @ beta, strict=True):
            moved[c] += sign * factor * np.linalg.inv(x.T @ x) @ row * e
    assert fit.coef == pytest.approx(coef)
    assert fit.covariance == pytest.approx(sum(np.outer(m, m) for m in moved.values()))
    assert fit.row_weights @ d == pytest.approx(coef)
    assert (fit.scale, fit.n) == ("sw", 120)


def test_labels_that_equal_gold_give_the_plain_fit_exactly() -> None:
    d, Z, _, known, clusters = labelled(np.random.default_rng(2), 200, 60)
    corrected = gold_corrected(d, Z, Z, known, clusters, NAMES, "reward")
    plain = first_differences(d, Z, clusters, NAMES, "reward")
    assert (corrected.row_weights == plain.row_weights).all()
    assert (corrected.covariance == plain.covariance).all()
    assert corrected.coef == pytest.approx(plain.coef, abs=1e-14)
    assert corrected.scale == "reward"


def test_gold_everywhere_gives_the_fit_on_gold() -> None:
    d, Z, X, known, clusters = labelled(np.random.default_rng(3), 150, 150)
    corrected, plain = gold_corrected(d, Z, X, known, clusters, NAMES), first_differences(d, X, clusters, NAMES)
    assert corrected.coef == pytest.approx(plain.coef)
    assert corrected.covariance == pytest.approx(plain.covariance)


def test_order_and_sides_change_nothing() -> None:
    rng = np.random.default_rng(4)
    d, Z, X, known, clusters = labelled(rng, 150, 60)
    fit = gold_corrected(d, Z, X, known, clusters, NAMES)
    order, flip = rng.permutation(150), rng.choice([-1, 1], 150)
    for other in (
        gold_corrected(d[order], Z[order], X[order], known[order], clusters[order], NAMES),
        gold_corrected(flip * d, flip[:, None] * Z, flip[:, None] * X, known, clusters, NAMES),
    ):
        assert other.coef == pytest.approx(fit.coef)
        assert other.to_frame()[["se", "df"]].to_numpy() == pytest.approx(fit.to_frame()[["se", "df"]].to_numpy())


def test_errors_of_labels_attenuate_the_plain_fit_and_not_the_corrected_one() -> None:
    rng = np.random.default_rng(5)
    runs = [labelled(rng, 800, 150) for _ in range(150)]
    corrected = [gold_corrected(*run, NAMES) for run in runs]
    plain = [first_differences(d, Z, clusters, NAMES) for d, Z, _, _, clusters in runs]
    only = [first_differences(d[k], X[k], clusters[k], NAMES) for d, _, X, k, clusters in runs]
    assert np.mean([fit.coef for fit in corrected], axis=0) == pytest.approx(BETA, abs=0.04)
    assert (np.abs(np.mean([fit.coef for fit in plain], axis=0)) < 0.85 * np.abs(BETA)).all()
    assert (np.mean([covers(fit) for fit in corrected], axis=0) >= 0.90).all()
    assert (np.mean([covers(fit) for fit in corrected], axis=0) <= 0.995).all()
    assert (np.mean([covers(fit) for fit in plain], axis=0) < 0.9).all()
    width = [np.mean([fit.estimate("a").se for fit in fits]) for fits in (corrected, only)]
    assert width[0] < 0.9 * width[1]  # else one could do without the labels


def test_what_gold_rows_cannot_tell_has_a_reason() -> None:
    d, Z, X, known, clusters = labelled(np.random.default_rng(6), 60, 30)
    few = known & (np.cumsum(known) <= 3)
    assert "gold labels: 3 rows" in str(gold_corrected(d, Z, X, few, clusters, NAMES).reason)
    assert "gold labels: 0 clusters" in str(gold_corrected(d, Z, X, known & False, clusters, NAMES).reason)
    assert "gold labels: rank" in str(gold_corrected(d, Z, X * [1, 1, 0], known, clusters, NAMES).reason)
    silent = Z * np.where(known[:, None], [1, 1, 0], 1)
    assert "gold labels: rank" in str(gold_corrected(d, silent, X, known, clusters, NAMES).reason)
    all_rows = gold_corrected(d, Z * [1, 1, 0], X, known, clusters, NAMES)
    assert str(all_rows.reason).startswith("rank")
    assert all_rows.estimate("a").value is None


def test_bad_input_is_refused() -> None:
    d, Z, X, known, clusters = labelled(np.random.default_rng(7), 30, 15)
    holes = np.where(np.cumsum(known)[:, None] == 3, np.nan, X)
    for bad in (
        (d, Z, holes, known, clusters, NAMES),
        (d, np.where(Z > 0, np.nan, Z), X, known, clusters, NAMES),
        (d, Z, X, known.astype(float), clusters, NAMES),
        (d, Z, X, known[:5], clusters, NAMES),
        (d, Z, X[0], known, clusters, NAMES),
        (d, Z, X, known, clusters, ("a", "a", "b")),
    ):
        with pytest.raises(ValueError):
            gold_corrected(*bad)
