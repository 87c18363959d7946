"""Which rewrites failed which check, by side: differential rejection is a bias of what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from harness.sides import SIDES
from harness.stats.estimate import Estimate
from harness.stats.linear import paired
from harness.stats.over_seeds import proportion
from harness.task import Metric, ScoreTable, originals
from harness.text.rewritten import NONE, VALID

from .columns import row
from .ratios import PP, few
from .rewriting import Rewriting, rewriting_of
from .variants import STATUS


def rejection_rows(table: ScoreTable) -> list[Metric]:
    """Per way of rewriting, over the replies that it applies to; models have no part in it, so no row has a member.

    `valid_texts`: share that passed every check. `rejected_rate`, by `side` and `problem`: share of a side's replies that
    failed this check; who fails two counts under both. `rejection_gap_pp`: rejected share of chosen minus that of rejected
    replies of the same items, in pp. Raises InputError on a variant that no registered transform makes.
    """
    rows = []
    for rewriting, tried in _tried(table).items():
        dims = rewriting.dims
        clusters = tried["cluster_id"].to_numpy()
        passed = (tried["status"] == VALID).to_numpy(dtype=float)
        rows.append(row("valid_texts", proportion(passed[None], clusters), dims))
        rows += [row("rejected_rate", found, {**dims, **more}) for more, found in _rates(tried)]
        rows.append(row("rejection_gap_pp", _gap(tried), dims))
    return rows


def _tried(table: ScoreTable) -> dict[Rewriting, pd.DataFrame]:
    """By way of rewriting one row an attempt: `item_id`, `cluster_id`, `side` (chosen or rejected), `status`; samples together."""
    replies = originals(table).drop_duplicates("unit_id").sort_values("unit_id")
    replies = replies[~replies["side"].str.contains(">", regex=False)]
    found: dict[Rewriting, list[pd.DataFrame]] = {}
    for column in sorted(c for c in table.columns if str(c).startswith(STATUS)):
        rewriting, _ = rewriting_of(column.removeprefix(STATUS))
        mine = replies[replies[column].notna() & (replies[column] != NONE)]
        side = mine["side"].str.split("/").str[0]
        kept = mine[["item_id", "cluster_id"]].assign(side=side, status=mine[column].astype(str))
        found.setdefault(rewriting, []).append(kept)
    return {rewriting: pd.concat(parts, ignore_index=True) for rewriting, parts in found.items()}


def _rates(tried: pd.DataFrame) -> Iterator[tuple[Mapping[str, str], Estimate]]:
    """Every problem that any attempt had, on both sides."""
    failed = tried.loc[tried["status"] != VALID, "status"]
    for problem in sorted({name for status in failed for name in status.split("+")}):
        has = tried["status"].str.split("+").map(lambda names, wanted=problem: wanted in names).to_numpy(dtype=float)
        for side in SIDES:
            mine = (tried["side"] == side).to_numpy()
            estimate = proportion(has[None, mine], tried["cluster_id"].to_numpy()[mine])
            yield {"side": side, "problem": problem}, estimate


def _gap(tried: pd.DataFrame) -> Estimate:
    """Over items with attempts on both sides; a side with several replies or samples counts with their mean."""
    rejected = (tried["status"] != VALID).astype(float)
    by_item = rejected.groupby([tried["item_id"], tried["side"]]).mean().unstack().reindex(columns=list(SIDES)).dropna()
    clusters = tried.drop_duplicates("item_id").set_index("item_id")["cluster_id"].loc[by_item.index].to_numpy()
    if thin := few(clusters):
        return thin
    chosen, other = (by_item[side].to_numpy(dtype=float) for side in SIDES)
    return paired(chosen, other, clusters, rng=np.random.default_rng(0)).scaled(PP)
