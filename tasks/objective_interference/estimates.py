"""From item values to estimates with intervals, and from estimates to metric rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from harness.columns import Column, metric
from harness.objectives import GROUPS
from harness.stats import bootstrap
from harness.stats.accuracy import accuracy
from harness.stats.estimate import Estimate, satterthwaite, student
from harness.stats.linear import EXTREME, linear, paired
from harness.stats.seeds import combine_seeds
from harness.task import Metric

from .groups import Panel

PP = 100.0
"""Differences leave this task in percentage points."""


@dataclass(frozen=True)
class Prompts:
    """Items averaged within prompts: one row a stratum and prompt, one column a model. `shares` weigh the strata."""

    values: np.ndarray
    clusters: np.ndarray
    strata: np.ndarray
    shares: Mapping[Hashable, float]

    def total(self) -> np.ndarray:
        """Weighted sum of stratum means, one number a column."""
        frame = pd.DataFrame(self.values).groupby(self.strata).mean()
        return np.array([self.shares[s] for s in frame.index]) @ frame.to_numpy()

    def select(self, columns: slice) -> np.ndarray:
        """Mean of some columns (rows,): a member's seeds."""
        return self.values[:, columns].mean(axis=1)


def in_group(panel: Panel, group: str, *values: np.ndarray) -> Prompts | Estimate:
    """Prompt means of item values (items, models) in a group's sub-tasks, or a null estimate that names what is missing.

    An item counts only if every column has a number for it, so that comparisons are paired.
    """
    items = panel.items
    table = np.column_stack(values)
    shares: dict[Hashable, float] = {}
    usable = np.isfinite(table).all(axis=1)
    for objective, share in GROUPS[group].items():
        names = items["subtask"][usable & (items["group"] == objective).to_numpy()].unique()
        if not len(names):
            return Estimate.null(f"no usable items with the objective {objective}")
        shares |= dict.fromkeys(map(str, names), share / len(names))
    keep = usable & items["subtask"].isin(list(shares)).to_numpy()
    return by_prompt(items["cluster_id"][keep], table[keep], items["subtask"][keep], shares)


def by_prompt(clusters: ArrayLike, values: np.ndarray, strata: ArrayLike, shares: Mapping[Hashable, float]) -> Prompts:
    """Means of item values (items, models) over the items of each stratum and cluster."""
    keys = [np.asarray(strata, dtype=str), np.asarray(clusters, dtype=str)]
    means = pd.DataFrame(values).groupby(keys, sort=True).mean()
    names, prompts = (means.index.get_level_values(i).to_numpy(dtype=str) for i in (0, 1))
    return Prompts(means.to_numpy(), prompts, names, shares)


def mean(prompts: Prompts) -> Estimate:
    """Weighted sum of stratum means, averaged over the columns (one member's seeds), CR1 with t."""
    result = linear(prompts.select(slice(None)), prompts.clusters, prompts.strata, prompts.shares)
    return with_seeds(result, prompts.total())


def mean_accuracy(prompts: Prompts) -> Estimate:
    """`mean` of credits, without a test; the shares may be negative.

    One stratum has the cluster-robust Wilson interval. Several have a t interval, but limits recovered from
    those of the strata (MOVER) where a stratum is above .95 or below .05. With seeds, always the t interval.
    """
    result = replace(mean(prompts), p=None)
    if result.value is None or prompts.values.shape[1] > 1:
        return result
    credit = prompts.select(slice(None))
    parts = [
        (share, accuracy(credit[prompts.strata == stratum], prompts.clusters[prompts.strata == stratum]))
        for stratum, share in prompts.shares.items()
    ]
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    scaled = [part.scaled(share) for share, part in parts]
    arms = [(e.value - e.low, e.high - e.value) for e in scaled if None not in (e.value, e.low, e.high)]  # type: ignore[operator]
    extreme = any(abs((part.value or 0.0) - 0.5) > 0.5 - EXTREME for _, part in parts)
    if not extreme or len(arms) < len(parts):
        return result
    below, above = np.sqrt((np.array(arms) ** 2).sum(axis=0))
    return replace(result, low=result.value - below, high=result.value + above, method="MOVER on Wilson")


def contrast(prompts: Prompts, first: int, rng: np.random.Generator) -> Estimate:
    """Mean of the first `first` columns (one member's seeds) minus that of the others, with the paired test's p.

    With several seeds on both sides their spread enters the interval and p, never paired by label; otherwise
    the interval is named "these checkpoints".
    """
    a, b = prompts.select(slice(first)), prompts.select(slice(first, None))
    if len(prompts.shares) == 1:
        result = paired(a, b, prompts.clusters, rng=rng)
    else:
        result = paired(a, b, prompts.clusters, prompts.strata, prompts.shares, rng)
    total = prompts.total()
    return with_seeds(result, total[:first], total[first:])


def with_seeds(
    estimate: Estimate, a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray | None = None
) -> Estimate:
    """The estimate with the variance between seeds added, where each side has at least two."""
    sides = [a] if b is None else [a, b]
    if estimate.value is None or estimate.se is None or any(len(s) < 2 for s in sides):
        named = f"{estimate.method} (these checkpoints)" if b is not None else estimate.method
        return replace(estimate, method=named)
    df = float("inf") if estimate.df is None else estimate.df
    se, df = combine_seeds(estimate.se, list(a), None if b is None else list(b), df)
    return student(estimate.value, se, df, estimate.n, estimate.n_clusters, f"{estimate.method}; seeds")


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of one member's estimates by seed; null with the first reason if one of them is.

    Their mean standard error stands for that of the mean: on the wide side, since the seeds share the items.
    """
    if len(estimates) == 1:
        return estimates[0]
    missing = next((e for e in estimates if e.value is None), None)
    if missing is not None:
        return missing
    values = [float(e.value) for e in estimates if e.value is not None]
    ses = [e.se for e in estimates if e.se is not None]
    average = replace(estimates[0], value=float(np.mean(values)), low=None, high=None, p=None)
    if len(ses) < len(estimates):
        return replace(average, se=None, reason=average.reason or "no standard error")
    return with_seeds(replace(average, se=float(np.mean(ses))), values)


def blend(estimates: Sequence[Estimate], shares: Sequence[float]) -> Estimate:
    """Weighted sum of independent estimates, t with Satterthwaite's degrees of freedom; null if one of them is."""
    missing = next((e for e in estimates if e.value is None or e.se is None), None)
    if missing is not None:
        return Estimate.null(missing.reason or "no standard error", missing.n, missing.n_clusters)
    if len(estimates) == 1 and shares[0] == 1:
        return estimates[0]
    value = sum(w * (e.value or 0.0) for e, w in zip(estimates, shares, strict=True))
    variances = [(w * (e.se or 0.0)) ** 2 for e, w in zip(estimates, shares, strict=True)]
    df = satterthwaite(variances, [float("inf") if e.df is None else e.df for e in estimates])
    n, clusters = sum(e.n for e in estimates), sum(e.n_clusters for e in estimates)
    return student(value, sum(variances) ** 0.5, df, n, clusters, f"{estimates[0].method} (Satterthwaite)")


@dataclass(frozen=True)
class Resample:
    """One draw of cluster weights that serves every metric: `counts` (draws, clusters), `clusters` sorted."""

    clusters: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame, draws: int, rng: np.random.Generator) -> Resample:
        """Draws over all prompts of the items."""
        return cls(*bootstrap.cluster_weights(items["cluster_id"].to_numpy(dtype=str), draws, rng))

    def rows(self, clusters: pd.Series | np.ndarray) -> np.ndarray:
        """Weights (draws, rows) of rows through their clusters."""
        return bootstrap.row_weights(np.asarray(clusters, dtype=str), self.clusters, self.counts)

    def sums(self, clusters: pd.Series | np.ndarray, values: np.ndarray) -> np.ndarray:
        """Weighted column sums (draws, k) of row values (rows, k)."""
        at = np.searchsorted(self.clusters, np.asarray(clusters, dtype=str))
        by_cluster = np.zeros((len(self.clusters), values.shape[1]))
        np.add.at(by_cluster, at, values)
        return np.concatenate([part.counts.astype(float) @ by_cluster for part in self.blocks()])

    def blocks(self) -> Iterator[Resample]:
        """The draws in parts that fit into memory as floats."""
        for part in np.array_split(self.counts, max(1, self.counts.size // bootstrap.BLOCK)):
            yield Resample(self.clusters, part)


def row(
    name: str,
    estimate: Estimate,
    unit: str,
    dims: Mapping[str, str],
    higher: bool | None = None,
    main: bool = False,
) -> Metric:
    """The metric row of an estimate; `pp` scales a fraction to percentage points."""
    scaled = estimate.scaled(PP) if unit == "pp" else estimate
    return metric(name, scaled, Column(unit, higher), dims, main=main)
