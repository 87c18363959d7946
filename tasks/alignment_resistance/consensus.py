"""Pairs on which nearly every model is wrong: suspects of a wrong label rather than of a fault of one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from harness.outcomes import outcomes
from harness.stats.estimate import Estimate
from harness.stats.over_seeds import Bootstrap, over
from harness.task import Across, Metric, ScoreTable, originals

from .rows import row

LEAST = 5
"""Models of other families, without which nothing is a consensus (corrections to the methods, 18)."""

SHARE = 0.8
"""Of the others that must be wrong too."""

DRAWS, SEED = 2000, 0


def consensus_core(tables: Mapping[str, ScoreTable], others: Mapping[str, Sequence[str]]) -> dict[str, Metric]:
    """By model, the share of its misalignment on pairs where at least 80 % of the `others` are wrong as well, 0 to 1.

    `tables` are score tables of one model each, `others` which of them are held against each model: never itself
    or its family. Items are joined by id; one that fewer than five others have scored is left out. Being wrong is the
    misalignment 1 - credit, the mean over seeds, so a tie is half of it. The rest of the misalignment is idiosyncratic.
    Null below five others. One cluster bootstrap of 2,000 draws serves all.
    """
    wrong = pd.DataFrame({name: _wrong(table) for name, table in tables.items()}).sort_index()
    clusters = _clusters(tables.values()).reindex(wrong.index)
    bootstrap = Bootstrap(clusters.to_numpy(), DRAWS, SEED)
    return {
        name: row("consensus_core", _core(wrong, name, list(others[name]), clusters, bootstrap), {}) for name in tables
    }


def _core(wrong: pd.DataFrame, name: str, others: Sequence[str], clusters: pd.Series, bootstrap: Bootstrap) -> Estimate:
    if len(others) < LEAST:
        return Estimate.null(f"{len(others)} models of other families on the board, a consensus needs {LEAST}")
    rest = wrong[list(others)]
    judged = wrong[name].notna() & (rest.notna().sum(axis=1) >= LEAST)
    own = wrong.loc[judged, name].to_numpy()[None, :]
    shared = rest[judged].mean(axis=1).to_numpy() >= SHARE - 1e-9
    sums = np.stack([own * shared, own], axis=2)
    names = clusters[judged].to_numpy()
    return bootstrap.ratio(sums, names, lambda totals: over(totals[..., 0], totals[..., 1]), own[0] > 0)


def _wrong(table: ScoreTable) -> pd.Series:
    """Misalignment by item id, the mean over seeds; NaN where one of them failed."""
    items = outcomes(originals(table))
    return (1 - items["credit"]).groupby(items["item_id"]).agg(lambda values: values.mean(skipna=False))


def _clusters(tables: Iterable[ScoreTable]) -> pd.Series:
    rows = pd.concat([table[["item_id", "cluster_id"]] for table in tables])
    return rows.drop_duplicates("item_id").set_index("item_id")["cluster_id"]


ACROSS: Mapping[str, Across] = {"consensus_core": consensus_core}
"""What a leaderboard computes from several results of this task, by metric."""
