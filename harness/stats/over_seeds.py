"""From per-item values by seed, (seeds, items), to estimates: means, and ratios by the cluster bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from harness.stats.accuracy import accuracy
from harness.stats.bootstrap import MIN_CLUSTERS, cluster_weights, percentile
from harness.stats.estimate import Estimate, student
from harness.stats.linear import linear
from harness.stats.seeds import combine_seeds

BLOCK = 500
Statistic = Callable[[np.ndarray], np.ndarray]


def proportion(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of values from 0 to 1, (seeds, items): cluster-robust Wilson, or t over items and seeds where there are several."""
    if not values.shape[1]:
        return Estimate.null("no rows")
    estimate = seeded(accuracy(values.mean(axis=0), clusters), values.mean(axis=1))
    if estimate.low is None or estimate.high is None:
        return replace(estimate, p=None)
    return replace(estimate, low=max(0.0, estimate.low), high=min(1.0, estimate.high), p=None)


def mean(values: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of values (seeds, items) in any unit: CR1 with t, and the seeds where there are several."""
    return replace(seeded(linear(values.mean(axis=0), clusters), values.mean(axis=1)), p=None)


def seeded(estimate: Estimate, per_seed: Sequence[float] | np.ndarray) -> Estimate:
    """The estimate of a mean over seeds with their variance added; unchanged for one seed, which speaks of itself alone."""
    if len(per_seed) < 2 or estimate.value is None or estimate.se is None:
        return estimate
    items_df = float("inf") if estimate.df is None else estimate.df
    se, df = combine_seeds(estimate.se, [float(x) for x in per_seed], items_df=items_df)
    return student(estimate.value, se, df, estimate.n, estimate.n_clusters, "CR1 and seeds, t (Satterthwaite)")


@dataclass(frozen=True)
class Bootstrap:
    """One draw of cluster weights for every ratio: `clusters` are all prompts of the data; no intervals at 0 draws."""

    clusters: np.ndarray
    draws: int
    seed: int

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        return cluster_weights(self.clusters, self.draws, np.random.default_rng(self.seed))

    def ratio(self, sums: np.ndarray, clusters: np.ndarray, statistic: Statistic, base: np.ndarray) -> Estimate:
        """A function of sums over items, averaged over seeds, with a percentile interval.

        `sums` is (seeds, items, k); `statistic` takes (…, k) totals to (…) values, NaN where undefined. `base`
        marks the items the ratio speaks of: below 30 prompts among them, or where it is undefined, it is null.
        """
        n, groups = int(base.sum()), len(np.unique(clusters[base]))
        if groups < MIN_CLUSTERS:
            return Estimate.null(f"{groups} prompts to speak of: a ratio needs {MIN_CLUSTERS}", n, groups)
        per_seed = statistic(sums.sum(axis=1))
        drawn = self._drawn(sums, clusters, statistic)
        return seeded(percentile(float(per_seed.mean()), drawn, n, groups), per_seed)

    def _drawn(self, sums: np.ndarray, clusters: np.ndarray, statistic: Statistic) -> np.ndarray:
        if not self.draws:
            return np.empty(0)
        unique, counts = self._weights
        seeds, _, k = sums.shape
        totals = np.zeros((len(unique), seeds * k))
        np.add.at(totals, np.searchsorted(unique, clusters), sums.transpose(1, 0, 2).reshape(len(clusters), -1))
        live = totals.any(axis=1)  # a ratio often speaks of few prompts; the others add nothing to any draw
        blocks = (counts[i : i + BLOCK, live] @ totals[live] for i in range(0, self.draws, BLOCK))
        return np.concatenate([statistic(b.reshape(-1, seeds, k)).mean(axis=1) for b in blocks])


def over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    above = np.asarray(above, dtype=float)
    return np.divide(above, below, out=np.full_like(above, np.nan), where=np.asarray(below) > 0)
