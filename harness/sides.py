"""The two sides of every item: means of columns of the score table over the replies of each."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.task import ScoreTable

SIDES = ("chosen", "rejected")


def side_means(rows: ScoreTable, columns: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means of `columns` over an item's chosen replies and over its rejected ones: two frames by item id, same rows and columns.

    `rows` has one row a unit (one member, seed, condition and variant). Comparisons (side `a>b`) are left out, and
    items of which one side is missing. A value that is missing in one reply is missing in its side's mean.
    """
    alone = rows[~rows["side"].str.contains(">", regex=False)] if len(rows) else rows
    side = alone["side"].str.partition("/")[0] if len(alone) else alone["side"]
    numbers = alone[list(columns)].astype(float)
    groups = numbers.groupby([alone["item_id"], side])
    means = groups.mean().where(groups.count().eq(groups.size(), axis=0))
    first, second = (means[means.index.get_level_values(1) == s].droplevel(1) for s in SIDES)
    common = first.index.intersection(second.index)
    return first.loc[common].rename_axis("item_id"), second.loc[common].rename_axis("item_id")
