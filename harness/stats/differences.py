"""Score differences of pairs on feature differences: with the prompt fixed, how much reward goes with a feature."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Codes, Floats, code, cr1, effective, numbers
from harness.stats.fit import Fit
from harness.stats.least_squares import named, row_weights, unfit
from harness.stats.regression import vif

MIN_EFFECTIVE = 20
FEWER = MIN_EFFECTIVE - 1e-6
"""Twenty pairs that differ by one are twenty, whatever rounding makes of them."""
MAX_VIF = 10
METHOD = "first differences, CR1, t"


def unit(d: ArrayLike) -> float:
    """s_w = sqrt(mean(d^2)/2) of score differences d (n,), in their unit; NaN without rows.

    The within-pair SD of the scores. Exchanging the sides of any pairs leaves it as it is (corrections to the methods, 11).
    """
    values = numbers(d, "d")
    return float(np.sqrt((values**2).mean() / 2)) if values.size else float("nan")


def first_differences(d: ArrayLike, X: ArrayLike, clusters: ArrayLike, names: Sequence[str], scale: str = "sw") -> Fit:
    """OLS of score differences d (n,) on feature differences X (n, k), without intercept (methods 6.1).

    `d` comes in the unit that `scale` names. The coefficients are those of a regression of the 2n scores with an effect
    for each pair; so is the sandwich. CR1 with the factor G/(G - 1) (n - 1)/(n - k) of statsmodels and Stata: a program
    that counts the n pair effects as parameters has (2n - 1)/(n - 1) times its variance. t on G_eff - 1 degrees of
    freedom (corrections, 12). Without features, with fewer than two clusters, with no more rows than features or with
    features that determine each other there is no fit, and a reason. Raises ValueError on NaN and on shapes that disagree.
    """
    y = numbers(d, "d")
    design = named(X, y.size, names)
    codes, groups = code(clusters, y.size)
    if reason := unfit(design, groups):
        return Fit.none(tuple(names), reason, codes, groups, scale, METHOD)
    weights = row_weights(design)
    coef = weights @ y
    covariance = cr1(weights * (y - design @ coef), codes, groups)
    return Fit(tuple(names), coef, covariance, weights, codes, groups, scale, METHOD)


def change(d: ArrayLike, reference: ArrayLike, X: ArrayLike, clusters: ArrayLike, names: Sequence[str]) -> Fit:
    """Coefficients of one model minus those of another on the same pairs, each in units of its own s_w.

    `d` and `reference` (n,) are score differences in any unit; above 0, the model pays more than the reference. Of
    several seeds (seeds, n) the mean counts, each in its own unit; their spread is not in the covariance. All units are
    estimated from the pairs, and the covariance is that of the whole ratios, linearised (corrections, 11). Null with a
    reason as `first_differences`, and where a model ties on every pair. Raises ValueError likewise.
    """
    outcomes = _by_seed(d, "d"), _by_seed(reference, "reference")
    size, other = (y.shape[1] for y in outcomes)
    if size != other:
        raise ValueError(f"one row a pair in both: found {size} of d and {other} of the reference")
    design = named(X, size, names)
    codes, groups = code(clusters, size)
    method = f"change of {METHOD}"
    reason = unfit(design, groups) or _tied(outcomes)
    if reason:
        return Fit.none(tuple(names), reason, codes, groups, "sw", method)
    weights = row_weights(design)
    (coef, influence), (before, influence_before) = (_in_own_units(y, design, weights) for y in outcomes)
    covariance = cr1(influence - influence_before, codes, groups)
    return Fit(tuple(names), coef - before, covariance, weights, codes, groups, "sw", method)


@dataclass(frozen=True)
class Diagnosis:
    """Whether pairs can say anything about a feature, beside the features that are in the fit.

    `vif` is its uncentred variance inflation (infinite where the others determine it), `effective_clusters` the G_eff
    of its coefficient, `discordance` the share of pairs that differ in it, which decides nothing. With a `reason` the
    feature stays out of the fit.
    """

    vif: float
    effective_clusters: float
    discordance: float
    reason: str | None


def estimability(
    X: ArrayLike, clusters: ArrayLike, names: Sequence[str], forced: Collection[str] = ("log_words",)
) -> dict[str, Diagnosis]:
    """By name, which columns of X (n, k) can have a coefficient of their own (corrections to the methods, 12).

    All that differ in 20 effective clusters begin in the fit. As long as one that is not forced has a variance inflation
    above 10 beside the others, one of the most inflated leaves: one whose leaving mends the rest, and of several such
    the one listed last. Then, one by one, what has fewer than 20 effective clusters beside the others. So of two that
    determine each other the one listed later is refused, and no finite inflation refuses a forced one. A regression with
    an intercept gives it as a forced column of ones. It is the design alone that decides, never an outcome. Raises
    ValueError on NaN and on shapes that disagree.
    """
    design = named(X, len(np.asarray(clusters)), names)
    codes, _ = code(clusters, len(design))
    norms = np.linalg.norm(design, axis=0)
    columns = design / np.where(norms > 0, norms, 1.0)
    free = np.array([name not in forced for name in names], dtype=bool)
    alone = [float(_effective(columns[:, [j]], codes)[0]) for j in range(len(names))]
    reasons = {
        j: f"differs in {g:.3g} effective clusters, {MIN_EFFECTIVE} are needed"
        for j, g in enumerate(alone)
        if g < FEWER
    }
    kept = [j for j in range(len(names)) if j not in reasons]
    while leaving := _leaving(columns[:, kept], codes, free[kept]):
        at, reason = leaving
        reasons[kept.pop(at)] = reason
    return {name: _diagnosis(columns, codes, kept, j, reasons.get(j)) for j, name in enumerate(names)}


def _leaving(columns: Floats, codes: Codes, free: np.ndarray) -> tuple[int, str] | None:
    """Which of the columns has to leave the fit, and why; None where all may stay."""
    inflation = _counted(columns, free)
    if (worst := inflation.max(initial=0.0)) > MAX_VIF:
        inflated = inflation >= max(worst / 2, MAX_VIF)
        candidates = np.flatnonzero(inflated & free) if (inflated & free).any() else np.flatnonzero(inflated)
        worst_without = {
            int(j): _counted(np.delete(columns, j, axis=1), np.delete(free, j)).max(initial=0.0) for j in candidates
        }
        mended = max(1.5 * min(worst_without.values()), MAX_VIF)
        at = max(j for j, left in worst_without.items() if left <= mended)
        return at, f"other features determine it (variance inflation {inflation[at]:.3g}, at most {MAX_VIF})"
    beside = np.where(free, _effective(columns, codes), np.inf)
    if beside.min(initial=np.inf) < FEWER:
        at = int(np.flatnonzero(beside < FEWER)[-1])
        return at, f"beside the other features {beside[at]:.3g} effective clusters remain, {MIN_EFFECTIVE} are needed"
    return None


def _counted(columns: Floats, free: np.ndarray) -> Floats:
    """Variance inflations; a finite one does not count where the column is forced."""
    inflation = _inflation(columns)
    return np.where(free | np.isinf(inflation), inflation, 0.0)


def _diagnosis(columns: Floats, codes: Codes, kept: Sequence[int], j: int, reason: str | None) -> Diagnosis:
    """The feature beside those in the fit."""
    beside = columns[:, [*(i for i in kept if i != j), j]]
    differ = float((columns[:, j] != 0).mean()) if len(columns) else 0.0
    return Diagnosis(float(_inflation(beside)[-1]), float(_effective(beside, codes)[-1]), differ, reason)


def _inflation(columns: Floats) -> Floats:
    """Variance inflation from the triangular factor: as many rows as columns, the same inner products."""
    return vif(np.linalg.qr(columns, mode="r"))


def _effective(columns: Floats, codes: Codes) -> Floats:
    """G_eff of each coefficient; columns that determine each other share their weight, an empty one has none."""
    weights = columns @ np.linalg.pinv(columns.T @ columns, rcond=1e-12, hermitian=True)
    return np.array([effective(np.bincount(codes, weights=column**2)) for column in weights.T])


def _tied(outcomes: Sequence[Floats]) -> str | None:
    """Why a model has no unit to measure in, or None."""
    return None if all(y.any(axis=1).all() for y in outcomes) else "every pair ties: the margins have no unit"


def _by_seed(values: ArrayLike, name: str) -> Floats:
    """(seeds, n); one row where there is one seed."""
    return np.stack([numbers(y, name) for y in np.atleast_2d(np.asarray(values, dtype=np.float64))])


def _in_own_units(outcomes: Floats, design: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Means over seeds of what `_in_own_unit` finds in each."""
    each = [_in_own_unit(y, design, weights) for y in outcomes]
    coef, influence = (np.mean(part, axis=0) for part in zip(*each, strict=True))
    return coef, influence


def _in_own_unit(y: Floats, design: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Coefficients (k,) over s_w, and what each row adds to them (k, n), through the regression and through s_w."""
    scaled = y / unit(y)
    coef = weights @ scaled
    through_unit = (scaled**2 / 2 - 1) / (2 * len(y))
    return coef, weights * (scaled - design @ coef) - np.outer(coef, through_unit)
