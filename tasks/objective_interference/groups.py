"""Which sub-task an item belongs to, which objective group the sub-task counts in, and with what weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.objectives import GROUPS

SMALL = 90
"""Sub-tasks of one data set with fewer prompts than this are pooled: one of 28 prompts would weigh as much as one of 850."""

FAMILIES = {
    **{("llmbar", f"Adversarial/{s}"): "llmbar/Adversarial" for s in ("Neighbor", "GPTInst", "GPTOut", "Manual")},
    **{("reward-bench", f"mt-bench-{s}"): "reward-bench/mt-bench" for s in ("easy", "med", "hard")},
    **{
        ("reward-bench", f"llmbar-adver-{s}"): "reward-bench/llmbar-adver"
        for s in ("neighbor", "GPTInst", "GPTOut", "manual")
    },
}
"""Fixed pools of small subsets; every other subset is its own sub-task."""

OUTSIDE = {
    ("hh-rlhf", "helpful-rejection-sampled"),  # the public reference family was trained on rows of it
    ("rm-bench", "code"),
    *(("reward-bench", f"hep-{language}") for language in ("cpp", "go", "java", "js", "python", "rust")),
}
"""Subsets with a row of their own that count in no group."""

MEASURES = ("credit", "strict", "margin", "easy", "normal", "hard")


@dataclass(frozen=True)
class Panel:
    """What every model made of every item, joined by item id.

    `items` is indexed by item id, sorted, with `cluster_id, dataset, subset, objective, chance, n_pairs,
    dlog_words, subtask, group`; `values[measure]` has the same index and one column a (member, seed), NaN
    where that model failed on the item.
    """

    items: pd.DataFrame
    values: Mapping[str, pd.DataFrame]
    members: Mapping[str, list[int]]
    """Seeds of every member."""

    def of(self, member: str, measure: str = "credit") -> np.ndarray:
        """One measure of one member, (items, seeds)."""
        return self.values[measure][member].to_numpy(dtype=float)

    def subtasks(self, group: str | None = None) -> dict[str, pd.Index]:
        """Item ids by sub-task, of all items or of one group."""
        items = self.items if group is None else self.items[self.items["group"].isin(list(GROUPS[group]))]
        return {str(k): v.index for k, v in items.groupby("subtask", sort=True)}


def panel(outcomes: pd.DataFrame) -> Panel:
    """The panel of an outcome table (`harness.outcomes`) that holds one row an item, member and seed."""
    columns = ["cluster_id", "dataset", "subset", "objective", "chance", "n_pairs", "dlog_words"]
    items = outcomes.groupby("item_id", sort=True)[columns].first()
    items = items.assign(subtask=_subtasks(items), group=_groups(items))
    keys = outcomes.set_index(["item_id", "member", "seed"])
    values = {m: keys[m].unstack(["member", "seed"]).reindex(items.index) for m in MEASURES}
    models = outcomes[["member", "seed"]].drop_duplicates().sort_values(["member", "seed"])
    members = {str(m): [int(s) for s in seeds] for m, seeds in models.groupby("member")["seed"]}
    return Panel(items, values, members)


def _subtasks(items: pd.DataFrame) -> pd.Series:
    names = [
        FAMILIES.get((d, s), f"{d}/{s}" if s else d) for d, s in zip(items["dataset"], items["subset"], strict=True)
    ]
    named = items.assign(subtask=names, group=_groups(items))
    mixed = named.groupby("subtask")["objective"].transform("nunique") > 1
    named["subtask"] = named["subtask"].where(~mixed, named["subtask"] + " " + named["objective"])
    keys = ["dataset", "objective", "subtask"]
    sizes = named[named["group"] != ""].groupby(keys)["cluster_id"].nunique()
    small = sizes[sizes < SMALL].reset_index()
    several = small[small.groupby(["dataset", "objective"])["subtask"].transform("size") > 1]
    pools = {(r.dataset, r.objective, r.subtask): f"{r.dataset}/small {r.objective}" for r in several.itertuples()}
    rows = zip(*(named[k] for k in keys), strict=True)
    return pd.Series([pools.get(row, row[2]) for row in rows], index=items.index)


def _groups(items: pd.DataFrame) -> list[str]:
    counted = {o for weights in GROUPS.values() for o in weights}
    rows = zip(items["dataset"], items["subset"], items["objective"], strict=True)
    return [o if o in counted and (d, s) not in OUTSIDE else "" for d, s, o in rows]


def item_weights(items: pd.DataFrame, group: str, usable: np.ndarray) -> np.ndarray:
    """Weights (items,) that turn item values into the group's value: they sum to one, or are all zero if a part is empty.

    Mean over the group's sub-tasks of the mean over prompts of the mean over a prompt's usable items.
    """
    total = np.zeros(len(items))
    for objective, share in GROUPS[group].items():
        mask = usable & (items["group"] == objective).to_numpy()
        if not mask.any():
            return np.zeros(len(items))
        mine = items.loc[mask, ["subtask", "cluster_id"]]
        per_prompt = mine.groupby(["subtask", "cluster_id"])["cluster_id"].transform("size").to_numpy()
        prompts = mine.groupby("subtask")["cluster_id"].transform("nunique").to_numpy()
        total[mask] = share / (mine["subtask"].nunique() * prompts * per_prompt)
    return total
