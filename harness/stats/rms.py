"""The size of several coefficients at once, less what their noise alone would show."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Floats, numbers
from harness.stats.estimate import LEVEL, Estimate

DRAWS = 20_000
TAIL = (1 - LEVEL) / 2
METHOD = "root mean square beyond noise, inverted"


def rms_beyond_noise(b: ArrayLike, V: ArrayLike, rng: np.random.Generator, n: int, n_clusters: int) -> Estimate:
    """sqrt(max(0, mean b^2 - mean diag V)) of a fixed list of K estimates b (K,) with covariance V (K, K), in their unit.

    A plain root mean square grows with noise, and a random model would have the largest (corrections to the methods,
    13). The interval holds sqrt(1/K) times every t >= 0 for which |t u + z|, u = b/|b|, z ~ N(0, V), is neither above
    nor below |b| with probability < .025; its lower end is 0 where t = 0 is such a t. `n` and `n_clusters` are those
    behind b; no standard error and no p: at 0 neither says anything. Null with a reason where K is 0 or V is no
    covariance; no interval where even t = 0 gives so short a b with probability < .025, so that no size fits. Raises
    ValueError where b is not finite or V is not (K, K).
    """
    values, covariance = numbers(b, "b"), np.asarray(V, dtype=np.float64)
    k = values.size
    if covariance.shape != (k, k):
        raise ValueError(f"V must be ({k}, {k}); found shape {covariance.shape}")
    if not k:
        return Estimate.null("no coefficients to take the root mean square of", n, n_clusters)
    root = _root(covariance)
    if root is None:
        return Estimate.null("the covariance of the coefficients is not finite or not positive", n, n_clusters)
    value = max(0.0, float((values**2).mean() - np.trace(covariance) / k)) ** 0.5
    ends = _inverted(values, rng.standard_normal((DRAWS, k)) @ root)
    if ends is None:
        reason = "the coefficients are smaller than noise alone would have them: no size fits"
        return Estimate(value, n=n, n_clusters=n_clusters, method=METHOD, reason=reason)
    low, high = (end / k**0.5 for end in ends)
    return Estimate(value, None, low, high, LEVEL, n, n_clusters, method=METHOD)


def _root(V: Floats) -> Floats | None:
    """R with R'R = V, None where V has none."""
    if not np.isfinite(V).all():
        return None
    spread, axes = np.linalg.eigh((V + V.T) / 2)
    if spread[0] < -1e-9 * max(spread[-1], 0.0):
        return None
    return np.sqrt(np.maximum(spread, 0.0))[:, None] * axes.T


def _inverted(b: Floats, z: Floats) -> tuple[float, float] | None:
    """Smallest and largest t >= 0 that fit, None where none does.

    |t u + z| <= |b| holds for t between the roots of a quadratic, so each draw enters the ball once and leaves it once,
    and the share inside is known at every t.
    """
    size = float(b @ b)
    u = b / size**0.5 if size else np.eye(len(b))[0]
    along = z @ u
    inside = along**2 - (z**2).sum(axis=1) + size
    meets = inside >= 0
    half = np.sqrt(inside[meets])
    enter, leave = np.sort(-along[meets] - half), np.sort(-along[meets] + half)
    t = np.sort(np.concatenate([[0.0], enter, leave]).clip(0.0))
    entered, left = np.searchsorted(enter, t, "right"), np.searchsorted(leave, t, "right")
    not_above = t[entered - np.searchsorted(leave, t, "left") >= TAIL * len(z)]
    not_below = t[entered - left <= (1 - TAIL) * len(z)]
    return (float(not_below[0]), float(not_above[-1])) if not_above.size else None
