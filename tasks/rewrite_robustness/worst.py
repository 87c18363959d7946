"""The worst of several rewritings: of a model, and of each pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.stats.bootstrap import cluster_weights
from harness.stats.estimate import LEVEL, Estimate, quantile
from harness.stats.over_seeds import mean, proportion
from harness.stats.ranking import selected_max

from .compared import Compared
from .pairs import Pairs
from .ratios import unturned


def worst_drop(parts: Sequence[Compared], draws: int, seed: int) -> Estimate:
    """The largest drop of accuracy among rewritings, a difference of fractions above 0 where the model is worse after.

    [max(x - q se), max(x + 1.96 se)], q from joint draws of the prompts of all rewritings, so that the lower end pays
    for having looked at them all (corrections 10): rank by that end. No interval without draws. Raises ValueError without parts.
    """
    items = {item for part in parts for item in part.pairs["item_id"]}
    clusters = np.concatenate([_clusters(part) for part in parts])
    prompts = len(np.unique(clusters))
    values, errors = np.array([_drop(part) for part in parts]).T
    if not np.isfinite(errors).all():
        return Estimate.null("a rewriting changes pairs of one prompt alone", len(items), prompts)
    rng = np.random.default_rng(seed)
    moved = _drawn(parts, clusters, draws, rng) + _between_seeds(parts, draws, rng)
    return selected_max(values, errors, moved, len(items), prompts)


def _drop(part: Compared) -> tuple[float, float]:
    """Drop and its standard error, NaN with one prompt; where no verdict turned, that of an interval up to the Wilson limit."""
    found = mean(part.before - part.after, _clusters(part))
    same = np.array_equal(part.before, part.after)
    se = unturned(_clusters(part)) / quantile(LEVEL, None) if same else found.se
    return float(found.value or 0.0), float("nan") if se is None else se


def worst_accuracy(pairs: Pairs, parts: Sequence[Compared]) -> Estimate:
    """Share of all pairs that the model gets right unchanged and under every rewriting of `parts`, 0 to 1.

    A pair's credit is the least of its credits; what does not apply to it says nothing against it. Wilson.
    """
    least = pairs.credits.copy()
    for part in parts:
        at = pairs.items.index.get_indexer(pd.Index(part.pairs["item_id"]))
        known = at >= 0
        for mine, after in zip(least, part.after, strict=True):
            np.minimum.at(mine, at[known], after[known])
    return proportion(least, pairs.clusters)


def _clusters(part: Compared) -> np.ndarray:
    return part.pairs["cluster_id"].to_numpy()


def _drawn(parts: Sequence[Compared], clusters: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Drops (draws, parts) when prompts are drawn anew, the same ones for every rewriting; NaN where none of its own is."""
    names, counts = cluster_weights(clusters, draws, rng)
    sums, sizes = np.zeros((2, len(names), len(parts)))
    for k, part in enumerate(parts):
        at = np.searchsorted(names, _clusters(part))
        np.add.at(sums[:, k], at, (part.before - part.after).mean(axis=0))
        np.add.at(sizes[:, k], at, 1)
    weights = counts.astype(float)
    above, below = weights @ sums, weights @ sizes
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _between_seeds(parts: Sequence[Compared], draws: int, rng: np.random.Generator) -> np.ndarray:
    """What other training seeds would add to the drawn drops, (draws, parts): multivariate t with the seeds' covariance over S."""
    by_seed = np.stack([(part.before - part.after).mean(axis=1) for part in parts], axis=1)
    seeds = len(by_seed)
    if seeds < 2:
        return np.zeros((draws, len(parts)))
    normal = rng.normal(size=(draws, seeds)) / np.sqrt(rng.chisquare(seeds - 1, (draws, 1)))
    return normal @ (by_seed - by_seed.mean(axis=0)) / seeds**0.5
