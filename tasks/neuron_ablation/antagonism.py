"""Does ablating one objective's neurons free the other objective? G of corrections 1, and when it is called tension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.bootstrap import cluster_weights, percentile, row_weights
from harness.stats.clusters import Floats
from harness.stats.controls import against
from harness.stats.multiplicity import holm

from .damage import paired

TENSION = 0.1
"""Growth, in intact SDs, that counts as none."""

ALPHA = 0.05
GAINS = 0.8, 1.25
"""Margin gains between which growth is not a matter of the score's scale."""


@dataclass(frozen=True)
class Antagonism:
    """G with its percentile interval, in intact SDs, the three one-sided p and `p`, the largest of them.

    `p_items`: of G <= 0.1, over bootstrap draws of clusters; `p_same` and `p_matched`: of lying above the random sets
    of the same size and of the same damage. `p` is None where one of them is, and `reason` says which.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p_items: float | None = None
    p_same: float | None = None
    p_matched: float | None = None
    p: float | None = None
    reason: str | None = None


def growth(intact: ArrayLike, ablated: ArrayLike, weights: np.ndarray | None = None) -> Floats:
    """G = [mean(m') - max(mean(m), L mean(m))]/SD(m), L = max(0, OLS slope with intercept of m' on m).

    `intact` (n,) and `ablated` (n, C) are the oriented margins of the *other* objective's items. 0 where it was
    spared, at most 0 where all its margins shrank towards 0, above chance or below; positive where their mean grew by
    more than the scale of the scores. Below chance it is also positive where the mean fades and the differences
    between items do not: margins alone cannot tell that from tension. SD over n, not n - 1. (C,), or (B, C) under row
    weights (B, n). NaN where the intact margins do not vary. Raises ValueError on values that are not finite and on
    shapes that do not fit.
    """
    before, after = paired(intact, ablated)
    rows = np.ones((1, before.size)) if weights is None else weights.astype(np.float64)
    total = rows.sum(axis=1, keepdims=True)
    share = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0)
    mean, moved = (share @ before)[:, None], share @ after
    power = (share @ before**2)[:, None]
    variance = power - mean**2
    defined = variance > 1e-12 * power
    slope = np.divide((share * before) @ after - mean * moved, variance, out=np.zeros_like(moved), where=defined)
    kept = np.maximum(mean, np.maximum(slope, 0) * mean)
    grown = np.divide(moved - kept, np.sqrt(np.abs(variance)), out=np.full_like(moved, np.nan), where=defined)
    return grown[0] if weights is None else grown


def antagonism(
    intact: ArrayLike,
    ablated: ArrayLike,
    same_size: ArrayLike,
    matched: ArrayLike,
    clusters: ArrayLike,
    rng: np.random.Generator,
    draws: int,
) -> Antagonism:
    """G of one only-set on the other objective's items (n,), tested on items and against two kinds of control.

    `same_size` (n, R) and `matched` (n, R2) are the margins under random sets of the same size and of the same
    damage; a kind without sets is (n, 0). `clusters` (n,) are drawn `draws` times; below 30 of them there is no
    interval and no p. Errors as for `growth`.
    """
    before, after = paired(intact, np.asarray(ablated)[:, None])
    value = float(growth(before, after)[0])
    unique, counts = cluster_weights(clusters, draws, rng)
    drawn = growth(before, after, row_weights(clusters, unique, counts))[:, 0]
    interval = percentile(value, drawn, before.size, len(unique))
    p_items = None if interval.reason else float((1 + (~(drawn > TENSION)).sum()) / (1 + draws))
    same, damage = (against(value, growth(before, control), "above") for control in (same_size, matched))
    missing = {"items": interval.reason, "same-size controls": same.reason, "damage-matched controls": damage.reason}
    reason = next((f"{name}: {why}" for name, why in missing.items() if why), None)
    p = None if reason else max(q for q in (p_items, same.p, damage.p) if q is not None)
    return Antagonism(interval.value, interval.low, interval.high, p_items, same.p, damage.p, p, reason)


def called(ps: Sequence[float | None], gains: Sequence[float]) -> list[bool | None]:
    """Whether each only-set shows tension: Holm-adjusted p <= .05, and its margin gain within 0.8 to 1.25.

    One family: the `p` of every only-set and `damage.gain` over all groups, in one order. None where p is.
    """
    low, high = GAINS
    family = zip(holm(ps), gains, strict=True)
    return [None if p is None else bool(p <= ALPHA and low <= size <= high) for p, size in family]
