"""Ratios of sums over pairs, averaged over seeds, linearised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.stats.accuracy import accuracy
from harness.stats.clusters import code, effective
from harness.stats.estimate import LEVEL, Estimate, quantile, student
from harness.stats.over_seeds import proportion, seeded

PP = 100.0
"""Percentage points in a difference of fractions."""

NO_UNIT = "every pair ties: the margins have no unit"
MIN_PROMPTS = 20
"""Fewest prompts a rate may rest on: the effective clusters below which CR1 covers too little (corrections 12)."""

STILL = "no verdict turned: Wilson limit of the share that may"
"""Method of an interval about a drop, or a share, of 0."""


def few(clusters: np.ndarray) -> Estimate | None:
    """A null estimate where rows of these clusters (n,) come from fewer than `MIN_PROMPTS` prompts, else None."""
    prompts = len(np.unique(clusters))
    if prompts >= MIN_PROMPTS:
        return None
    return Estimate.null(f"{prompts} prompts to speak of: a rate needs {MIN_PROMPTS}", len(clusters), prompts)


def unturned(clusters: np.ndarray) -> float:
    """Largest share of pairs that may turn where none of these (n,) did: the upper Wilson limit, by prompt; NaN with one prompt.

    No difference of shares can be larger, so it bounds a drop of 0 whose standard error, 0 too, would claim certainty.
    """
    high = accuracy(np.zeros(len(clusters)), clusters).high
    return float("nan") if high is None else high


def still(limit: float, low: float, n: int, n_clusters: int) -> Estimate:
    """0 between `low` and `limit`, of `n` rows: what nothing turned. Its standard error is that of a normal interval as wide."""
    se = limit / quantile(LEVEL, None)
    return Estimate(0.0, se, low, limit, n=n, n_clusters=n_clusters, method=STILL)


def share(event: np.ndarray, given: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Mean of `event` (0 to 1) over the pairs that are `given`, both (seeds, pairs), each seed over its own.

    Cluster-robust Wilson for one seed. Of several, which have denominators of their own, `ratio` inside 0 to 1. `n` counts
    pairs that are given in any seed. Null below 20 prompts, or where a seed has no such pair.
    """
    base = given.any(axis=0)
    if thin := few(clusters[base]):
        return thin
    if len(event) == 1:
        return proportion(event[:, base], clusters[base])
    found = ratio(np.where(given, event, 0.0)[:, base], given[:, base].astype(float), clusters[base])
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def ratio(above: np.ndarray, below: np.ndarray, clusters: np.ndarray) -> Estimate:
    """Sum of `above` over sum of `below` (not negative), both (seeds, n), averaged over seeds.

    What a row adds, (above - ratio below)/sum of below, is summed by cluster: CR1 with G/(G - 1), t on G_eff - 1 with
    G_eff = (sum of B_g)^2/sum of B_g^2, B_g a cluster's part of `below`. With above = xy and below = x^2 that is the
    regression of y on x through the origin, its CR1 sandwich and its effective clusters (corrections 12). The spread of
    the seeds is added where there are several. No p: 0 is not what a ratio is held against. Null where a seed's `below`
    is 0, no interval with one cluster.
    """
    codes, groups = code(clusters, above.shape[1])
    totals = below.sum(axis=1)
    if not (totals > 0).all():
        return Estimate.null("nothing to divide by", above.shape[1], groups)
    per_seed = above.sum(axis=1) / totals
    value = float(per_seed.mean())
    if groups < 2:
        return Estimate(value, n=len(codes), n_clusters=groups, reason="one cluster: no interval")
    influence = ((above - per_seed[:, None] * below) / totals[:, None]).mean(axis=0)
    sums = np.bincount(codes, weights=influence)
    weights = np.bincount(codes, weights=(below / totals[:, None]).mean(axis=0))
    se = float(np.sqrt(groups / (groups - 1) * (sums**2).sum()))
    found = student(value, se, effective(weights) - 1, len(codes), groups, "linearised ratio, CR1, t")
    return replace(seeded(found, per_seed), p=None)
