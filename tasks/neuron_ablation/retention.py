"""How much of a model's preference on one objective is left after an ablation: kappa of corrections 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Floats, code

from .damage import paired

SPLITS = 20
"""Halvings of the clusters a value is averaged over."""

LOWER = 0.025
BLOCK = 2**16
"""Elements of a (draws x splits, conditions) array worked on at a time: small enough for a processor's cache."""


@dataclass(frozen=True)
class Retention:
    """kappa of C conditions, `values` (C,) and `draws` (B, C), 1 intact and 0 no preference left; NaN with a `reason`."""

    values: Floats
    draws: Floats
    reason: str | None = None


def retention(
    intact: ArrayLike,
    ablated: ArrayLike,
    subtasks: ArrayLike,
    clusters: ArrayLike,
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
) -> Retention:
    """kappa = sum_k(D'_kA D_kB + D'_kB D_kA)/(2 sum_k D_kA D_kB) for C conditions, with its cluster bootstrap.

    `intact` (n,) and `ablated` (n, C) are the oriented margins of one objective's items, `subtasks` and `clusters`
    (n,) name theirs. D_k is the mean over the SD of the margins of sub-task k, each condition with its own SD, on
    halves A and B of its clusters: products across halves have no bias from noise, whichever sign D_k has.
    Numerator and denominator are averaged over `SPLITS` random halvings, the same in every draw, then divided.
    A half whose margins are all equal shows no preference, D = 0, so a sub-task of one cluster adds nothing.
    `weights` (B, n) are `bootstrap.row_weights`, equal inside a cluster; a draw whose denominator is not positive
    is NaN. All is NaN, "group at chance", where the 2.5 % point of the denominator over draws is not above 0:
    nothing was there to be retained. Without weights that cannot be checked; only a denominator not above 0 is
    refused. Raises ValueError on values that are not finite and on shapes that do not fit.
    """
    before, after = paired(intact, ablated)
    parts = _parts(before, after, subtasks, clusters, rng)
    value, below = _kappa(parts, np.ones((1, before.size)), after.shape[1])
    rows = np.empty((0, before.size)) if weights is None else weights
    if rows.ndim != 2 or rows.shape[1] != before.size:
        raise ValueError(f"weights must be (draws, {before.size}); found shape {rows.shape}")
    draws, drawn = _kappa(parts, rows, after.shape[1])
    groups = code(clusters, before.size)[1]
    reason = _at_chance(float(below[0]), drawn, groups)
    if reason:
        return Retention(np.full_like(value[0], np.nan), np.full_like(draws, np.nan), reason)
    return Retention(value[0], draws)


@dataclass(frozen=True)
class _Part:
    """One sub-task by its G clusters: a row of each (G,), rows (G,), sums of m and m^2 (2, G, 1 + C), halvings (S, G).

    The first condition is the intact model.
    """

    first: np.ndarray
    sizes: Floats
    sums: Floats
    half: Floats


def _parts(
    before: Floats, after: Floats, subtasks: ArrayLike, clusters: ArrayLike, rng: np.random.Generator
) -> list[_Part]:
    margins = np.column_stack([before, after])
    tasks, count = code(subtasks, before.size)
    homes, _ = code(clusters, before.size)
    found = []
    for task in range(count):
        rows = np.flatnonzero(tasks == task)
        _, first, at = np.unique(homes[rows], return_index=True, return_inverse=True)
        sizes = np.bincount(at)
        mine, starts = margins[rows[np.argsort(at, kind="stable")]], np.cumsum(sizes) - sizes
        sums = np.stack([np.add.reduceat(power, starts, axis=0) for power in (mine, mine**2)])
        half = np.argsort(rng.random((SPLITS, len(first))), axis=1) % 2
        found.append(_Part(rows[first], sizes.astype(np.float64), sums, half.astype(np.float64)))
    return found


def _kappa(parts: list[_Part], weights: np.ndarray, conditions: int) -> tuple[Floats, Floats]:
    """kappa (B, C) and its denominator (B,) under each of `weights` (B, n)."""
    above, below = np.zeros((len(weights), conditions)), np.zeros(len(weights))
    for part in parts:
        for rows, cols in _blocks(len(weights), conditions):
            crossed, own = _crossed(weights[rows][:, part.first].astype(np.float64), part, cols)
            above[rows, cols] += crossed
            below[rows] += own if cols.start == 0 else 0.0
    defined = below[:, None] > 0
    return np.divide(above, below[:, None], out=np.full_like(above, np.nan), where=defined), below


def _crossed(weight: Floats, part: _Part, cols: slice) -> tuple[Floats, Floats]:
    """(D'_A D_B + D'_B D_A)/2 (b, c) and D_A D_B (b,), both averaged over halvings, for `weight` (b, G)."""
    chosen = weight[:, None, :] * part.half
    rest = weight[:, None, :] - chosen
    sums = np.concatenate([part.sums[..., :1], part.sums[..., 1:][..., cols]], axis=2)
    a, b = (_standardised(half, part.sizes, sums) for half in (chosen, rest))
    crossed = (a[..., 1:] * b[..., :1] + b[..., 1:] * a[..., :1]).mean(axis=1) / 2
    return crossed, (a[..., 0] * b[..., 0]).mean(axis=1)


def _standardised(weight: Floats, sizes: Floats, sums: Floats) -> Floats:
    """Mean over SD of the margins under cluster weights (b, S, G), (b, S, 1 + c); 0 where there is no spread."""
    flat = weight.reshape(-1, len(sizes))
    total, power = flat @ sums[0], flat @ sums[1]
    power *= (flat @ sizes)[:, None]
    spread = power - total**2
    d = np.divide(total, np.sqrt(np.abs(spread)), out=np.zeros_like(total), where=spread > 1e-10 * power)
    return d.reshape(*weight.shape[:2], -1)


def _blocks(draws: int, conditions: int) -> Iterator[tuple[slice, slice]]:
    """Pieces of (draws, conditions), one condition wide even where there is none: the denominator needs none."""
    height = max(1, min(draws, BLOCK // SPLITS // 32))
    width = max(1, BLOCK // SPLITS // height)
    for top in range(0, draws, height):
        for left in range(0, max(1, conditions), width):
            yield slice(top, min(top + height, draws)), slice(left, left + width)


def _at_chance(below: float, drawn: Floats, groups: int) -> str | None:
    lower = min([below, *np.quantile(drawn, [LOWER])]) if drawn.size else below
    if lower > 0:
        return None
    return f"group at chance: no preference to retain on {groups} clusters (lower end of the denominator {lower:.2g})"
