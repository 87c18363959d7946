"""One model's judged items under every condition, joined by item id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.outcomes import outcomes
from harness.task import ScoreTable

from .accuracy import subtask_weights

INTACT = "none"
MEASURES = ("margin", "credit", "strict")


@dataclass(frozen=True)
class Sweep:
    """`items`: cluster_id, dataset, subset, group, chance, subtask by item id, sorted; `values[measure]`: item id x condition, NaN where it failed."""

    items: pd.DataFrame
    values: Mapping[str, pd.DataFrame]

    @classmethod
    def of(cls, table: ScoreTable, model: tuple[str, int]) -> Sweep:
        """The rows of one model as items and conditions; conditions that only the pilot saw are NaN elsewhere."""
        mine = table[(table["member"] == model[0]) & (table["seed"] == model[1]) & (table["variant"] == "original")]
        judged = outcomes(mine[mine["replicate"] == 0])
        columns = ["cluster_id", "dataset", "subset", "objective", "chance"]
        items = judged.groupby("item_id", sort=True)[columns].first().rename(columns={"objective": "group"})
        items = items.assign(subtask=items["dataset"] + "/" + items["subset"] + " " + items["group"])
        keys = judged.set_index(["item_id", "condition"])
        return cls(items, {m: keys[m].unstack("condition").reindex(items.index) for m in MEASURES})

    def complete(self, conditions: Sequence[str]) -> Sweep:
        """Only the items that have a margin under all of these conditions, and the conditions in this order."""
        margin = self.values["margin"].reindex(columns=list(conditions))
        kept = self.items.index[np.isfinite(margin.to_numpy(dtype=float)).all(axis=1)]
        values = {m: self.values[m].reindex(columns=list(conditions)).loc[kept] for m in MEASURES}
        return Sweep(self.items.loc[kept], values)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """`accuracy.subtask_weights` of the items."""
        return subtask_weights(self.items)

    def margins(self, conditions: Sequence[str]) -> np.ndarray:
        """Oriented margins (items, conditions)."""
        return self.values["margin"][list(conditions)].to_numpy(dtype=float)
