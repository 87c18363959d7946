"""Accuracies of groups of items, and how ablations change them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd

from harness.objectives import GROUPS
from harness.stats.estimate import Estimate
from harness.stats.linear import linear, paired

PP = 100.0


def subtask_weights(items: pd.DataFrame) -> pd.DataFrame:
    """Weights, sub-task x item, that turn item values into a sub-task's: mean over its prompts of the mean over a prompt's items."""
    beside = items.groupby(["subtask", "cluster_id"])["subtask"].transform("size").to_numpy(dtype=float)
    prompts = items.groupby("subtask")["cluster_id"].transform("nunique").to_numpy(dtype=float)
    names = np.array(sorted(items["subtask"].unique()), dtype=object)
    mine = items["subtask"].to_numpy(dtype=object) == names[:, None]
    return pd.DataFrame(mine / (beside * prompts), index=names, columns=items.index)


def subtasks(items: pd.DataFrame, group: str) -> dict[Hashable, float]:
    """Sub-tasks of a group and their shares of it; empty where one of its objectives has no items."""
    shares: dict[Hashable, float] = {}
    for objective, share in GROUPS[group].items():
        names = sorted(items.loc[items["group"] == objective, "subtask"].unique())
        if not names:
            return {}
        shares |= dict.fromkeys(names, share / len(names))
    return shares


def by_prompt(items: pd.DataFrame, values: np.ndarray, names: Iterable[Hashable]) -> pd.DataFrame:
    """Means of item values (items, k) by sub-task and prompt, indexed by both."""
    mine = items["subtask"].isin(list(names)).to_numpy()
    keys = [items.loc[mine, "subtask"], items.loc[mine, "cluster_id"]]
    return pd.DataFrame(values[mine]).groupby([k.to_numpy() for k in keys], sort=True).mean()


def change(
    items: pd.DataFrame, ablated: np.ndarray, intact: np.ndarray, group: str, rng: np.random.Generator
) -> Estimate:
    """Accuracy after minus before, in pp, from credits (items,): paired by prompt, sub-tasks weighed alike."""
    shares = subtasks(items, group)
    if not shares:
        return Estimate.null(f"no items of {group}")
    means = by_prompt(items, np.column_stack([ablated, intact]), shares)
    strata, prompts = (means.index.get_level_values(i).to_numpy(dtype=str) for i in (0, 1))
    return paired(means[0].to_numpy(), means[1].to_numpy(), prompts, strata, shares, rng).scaled(PP)


def difference(items: pd.DataFrame, values: np.ndarray, group: str) -> Estimate:
    """The group's mean of item values (items,), in pp, with its standard error over prompts."""
    shares = subtasks(items, group)
    if not shares:
        return Estimate.null(f"no items of {group}")
    means = by_prompt(items, values[:, None], shares)
    strata, prompts = (means.index.get_level_values(i).to_numpy(dtype=str) for i in (0, 1))
    return linear(means[0].to_numpy(), prompts, strata, shares).scaled(PP)
