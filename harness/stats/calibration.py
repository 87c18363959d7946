"""How well sigmoid(margin) predicts which reply people chose.

A margin is score(chosen) - score(rejected), so the outcome is always "chosen" and nothing here depends on an
intercept or on which side is written first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit

from harness.stats.clusters import Codes, Floats, code, effective, numbers
from harness.stats.estimate import Estimate, student

SIMULATIONS = 1000


def nll(margins: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """Mean of -log sigmoid(margin) in nats, (n,) margins with optional weights (n,); log 2 for a constant model.

    None without rows or weight. Raises ValueError on NaN.
    """
    loss = np.logaddexp(0.0, -numbers(margins, "margins"))
    weight = np.ones_like(loss) if weights is None else numbers(weights, "weights")
    return float(loss @ weight / weight.sum()) if weight.sum() > 0 else None


def brier(margins: ArrayLike) -> float | None:
    """Mean of (1 - sigmoid(margin))^2; 0.25 for a constant model. None without rows."""
    margin = numbers(margins, "margins")
    return float((expit(-margin) ** 2).mean()) if margin.size else None


def slope(margins_over_sw: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Slope b that maximises the sum of log sigmoid(b m): log-odds of "chosen" per unit of margin, no intercept.

    CR1 standard error, t on G_eff - 1, where a cluster's squared weight is its share of the information. Null
    where no finite slope exists: no margin differs from 0, or all that do have one sign. Raises ValueError on NaN.
    """
    margin = numbers(margins_over_sw, "margins")
    codes, groups = code(clusters, margin.size)
    if reason := _no_slope(margin):
        return Estimate.null(reason, margin.size, groups)
    scale = float(np.sqrt((margin**2).mean()))
    unit = margin / scale
    b = _root(unit)
    information = np.bincount(codes, weights=unit**2 * expit(b * unit) * expit(-b * unit))
    scores = np.bincount(codes, weights=unit * expit(-b * unit))
    variance = groups / max(1, groups - 1) * float((scores**2).sum()) / float(information.sum()) ** 2
    df = effective(information) - 1
    return student(b / scale, variance**0.5 / scale, df, margin.size, groups, "logit slope, CR1, t")


def temperature(margins: ArrayLike, clusters: ArrayLike) -> Estimate:
    """T > 0 that minimises the NLL of sigmoid(margin/T): 1/`slope`, its ends exchanged; se by the delta method.

    In units of the margin; above 1: the scores are overconfident. Null unless the slope's lower end is above 0.
    """
    b = slope(margins, clusters)
    if b.value is None or b.se is None or b.low is None or b.high is None:
        return Estimate.null(b.reason or "no slope", b.n, b.n_clusters)
    if b.low <= 0:
        reason = f"the slope's interval reaches {b.low:.3g}: no temperature is established"
        return Estimate.null(reason, b.n, b.n_clusters)
    method = "reciprocal of the logit slope, CR1, t"
    se = b.se / b.value**2
    return Estimate(1 / b.value, se, 1 / b.high, 1 / b.low, b.level, b.n, b.n_clusters, b.df, method=method)


def ece(margins: ArrayLike, rng: np.random.Generator, bins: int = 15) -> tuple[float | None, float | None]:
    """Expected calibration error of confidence sigmoid(|margin|), and its mean if confidence were perfect.

    Weighted mean distance of accuracy (ties one half) from confidence over `bins` equal bins from .5 to 1. The
    second number is what sampling alone gives, from 1,000 simulated outcomes: compare with it, never with 0.
    Both None without rows. Raises ValueError on NaN.
    """
    margin = np.sort(numbers(margins, "margins"))
    if not margin.size:
        return None, None
    confidence = expit(np.abs(margin))
    which = bin_of(confidence, bins)

    def error(right: Floats) -> float:
        return float(np.abs(np.bincount(which, weights=right - confidence)).sum() / margin.size)

    perfect = [error(rng.random(margin.size) < confidence) for _ in range(SIMULATIONS)]
    return error(np.heaviside(margin, 0.5)), float(np.mean(perfect))


def bin_of(confidence: Floats, bins: int) -> Codes:
    """Which of `bins` equal bins from .5 to 1 a confidence is in, 0 for the lowest; 1 is in the highest."""
    return np.minimum(((confidence - 0.5) * 2 * bins).astype(np.intp), bins - 1)


def _no_slope(margin: Floats) -> str | None:
    if not margin.any():
        return "no margin differs from 0" if margin.size else "no rows"
    if (margin >= 0).all() or (margin <= 0).all():
        return "separation: every margin that is not 0 has the same sign, the slope has no finite value"
    return None


def _root(margin: Floats) -> float:
    """Where the score, decreasing in b, crosses 0; margins have both signs and root mean square 1."""

    def score(b: float) -> float:
        return float((margin * expit(-b * margin)).sum())

    end = 1.0 if score(0.0) >= 0 else -1.0
    while score(end) * end > 0:
        end *= 2
    return float(brentq(score, 0.0, end, xtol=1e-12))
