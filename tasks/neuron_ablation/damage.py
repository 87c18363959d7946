"""How much an ablation changed the scores, whichever way the labels point.

Both read margins m (intact) and m' (ablated) of the same items; corrections 1 and 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Floats, code, numbers


def fidelity(intact: ArrayLike, ablated: ArrayLike, groups: ArrayLike) -> Floats:
    """f = sum(m m')/sqrt(sum m^2 sum m'^2) inside each group, averaged over groups: 1 intact, 0 unrelated; (C,).

    `intact` (n,), `ablated` (n, C), `groups` (n,). Blind to labels (exchanging the replies of any items changes
    nothing) and to the unit of the scores. NaN for a condition in which a group has no margin but 0. Raises
    ValueError on values that are not finite and on shapes that do not fit.
    """
    before, after = paired(intact, ablated)
    codes, count = code(groups, before.size)
    parts = [codes == g for g in range(count)]
    if not parts:
        return np.full(after.shape[1], np.nan)
    return np.mean([_cosine(before[part], after[part]) for part in parts], axis=0)


def gain(intact: ArrayLike, ablated: ArrayLike) -> Floats:
    """sqrt(sum m'^2/sum m^2) over all items: how much larger margins became, (C,); NaN where every intact one is 0.

    Shapes and errors as for `fidelity`.
    """
    before, after = paired(intact, ablated)
    total = float(before @ before)
    return np.sqrt((after**2).sum(axis=0) / total) if total > 0 else np.full(after.shape[1], np.nan)


def paired(intact: ArrayLike, ablated: ArrayLike) -> tuple[Floats, Floats]:
    """Margins (n,) and (n, C) as finite float64. Raises ValueError on anything else, or unequal numbers of items."""
    before, after = numbers(intact, "intact"), np.asarray(ablated, dtype=np.float64)
    if after.ndim != 2 or len(after) != before.size:
        raise ValueError(f"ablated margins must be ({before.size}, conditions); found shape {after.shape}")
    if not np.isfinite(after).all():
        raise ValueError(f"{int((~np.isfinite(after)).sum())} ablated margins are not finite; filter those items first")
    return before, after


def _cosine(before: Floats, after: Floats) -> Floats:
    """Uncentred correlation of (n,) with each column of (n, C)."""
    norms = np.sqrt((before @ before) * (after**2).sum(axis=0))
    return np.divide(before @ after, norms, out=np.full_like(norms, np.nan), where=norms > 0)
