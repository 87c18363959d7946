"""One member's verdicts on the unchanged pairs: what every rewriting starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.outcomes import outcomes
from harness.stats.differences import unit
from harness.task import ScoreTable, originals

STYLED = r"^(?P<of>chosen|rejected)/(?P<number>\d+)-(?P<style>.+)$"
"""A reply's side in a matrix of styles, as `preference.side_names` writes it."""

PLACE = ["cluster_id", "dataset", "subset"]


@dataclass(frozen=True)
class Pairs:
    """Unchanged pairs that every seed of one member scored.

    `items` has one row a pair, indexed by item id: `cluster_id`, `dataset`, `subset`. `credits` (seeds, pairs) are 0,
    one half or 1 (less than one half where several replies tie), `margins` chosen minus rejected score in reward points,
    and `units` is s_w by seed over all of them, sqrt(mean(d^2)/2), which stays that of the whole in a part (corrections
    11); NaN without pairs. `failed` pairs are left out because some seed could not score them; of all, also in a part.
    """

    items: pd.DataFrame
    credits: np.ndarray
    margins: np.ndarray
    units: Mapping[int, float]
    failed: int = 0

    @classmethod
    def of(cls, rows: ScoreTable) -> Pairs:
        """From the rows of one member. A matrix of styles is no pair: it has cells of its own."""
        seeds = sorted(int(seed) for seed in rows["seed"].unique())
        plain = originals(rows)
        found = outcomes(plain[~plain["side"].astype(str).str.match(STYLED)])
        frames = [by_seed(found, column, seeds) for column in ("credit", "margin")]
        known = pd.concat(frames, axis=1).dropna().index
        credit, margin = (frame.loc[known].to_numpy().T for frame in frames)
        items = found.drop_duplicates("item_id").set_index("item_id")[PLACE].loc[known]
        units = {seed: unit(d) for seed, d in zip(seeds, margin, strict=True)}
        return cls(items, credit, margin, units, failed=found["item_id"].nunique() - len(items))

    @property
    def clusters(self) -> np.ndarray:
        """Prompt of each pair, (pairs,)."""
        return self.items["cluster_id"].to_numpy()

    def where(self, mask: np.ndarray) -> Pairs:
        """The pairs that `mask` (pairs,) keeps, in the unit of all."""
        return replace(self, items=self.items[mask], credits=self.credits[:, mask], margins=self.margins[:, mask])


def by_seed(found: pd.DataFrame, column: str, seeds: Sequence[int]) -> pd.DataFrame:
    """A column of outcomes as (items, seeds), by item id; without rows where there are no outcomes."""
    values = found.reindex(columns=["item_id", "seed", column]).pivot(index="item_id", columns="seed", values=column)
    return values.reindex(columns=list(seeds)).astype(float)
