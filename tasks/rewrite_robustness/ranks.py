"""Rank correlation of rewards before and after, with a cluster bootstrap."""

from __future__ import annotations

import numpy as np

from harness.stats.bootstrap import MIN_CLUSTERS, cluster_weights, percentile, row_weights
from harness.stats.estimate import Estimate
from harness.stats.over_seeds import seeded

BLOCK = 2**22
"""Elements of a (draws, texts) array worked on at a time."""


def spearman(old: np.ndarray, new: np.ndarray, clusters: np.ndarray, draws: int, seed: int) -> Estimate:
    """Spearman's correlation of `old` with `new`, both (seeds, texts), averaged over seeds; mid-ranks for ties.

    Percentile interval of prompts drawn anew, ranks taken in every draw. Null below 30 prompts and where a seed gives all
    texts one score; no interval at 0 draws.
    """
    n, groups = len(clusters), len(np.unique(clusters))
    if groups < MIN_CLUSTERS:
        return Estimate.null(f"{groups} prompts to speak of: a rank correlation needs {MIN_CLUSTERS}", n, groups)
    per_seed = _correlations(old, new, np.ones((1, n)))[:, 0]
    if not np.isfinite(per_seed).all():
        return Estimate.null("every text has the same score", n, groups)
    unique, counts = cluster_weights(clusters, draws, np.random.default_rng(seed))
    size = max(1, BLOCK // n)
    blocks = (row_weights(clusters, unique, counts[i : i + size]) for i in range(0, draws, size))
    drawn = [_correlations(old, new, block.astype(float)).mean(axis=0) for block in blocks]
    moves = np.concatenate(drawn) if drawn else np.empty(0)
    return seeded(percentile(float(per_seed.mean()), moves, n, groups), per_seed)


def _correlations(old: np.ndarray, new: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Under each row of `weights` (draws, texts), (seeds, draws); NaN where a side does not vary."""
    return np.stack(
        [_correlation(_ranks(x, weights), _ranks(y, weights), weights) for x, y in zip(old, new, strict=True)]
    )


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlation of centred ranks (draws, texts)."""
    xy, xx, yy = (np.einsum("dn,dn,dn->d", weights, u, v) for u, v in ((a, b), (a, a), (b, b)))
    below = np.sqrt(xx * yy)
    return np.divide(xy, below, out=np.full_like(xy, np.nan), where=below > 0)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks of values (texts,) repeated as often as each row of weights says, less their mean, (draws, texts)."""
    unique, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(unique)))
    repeats = np.add.reduceat(weights[:, order], starts, axis=1)
    mid = np.cumsum(repeats, axis=1) - repeats / 2 - weights.sum(axis=1, keepdims=True) / 2
    return mid[:, place]
