"""How a language model's rewrites change the labels of replies, and how labels change when the text does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.labels import column
from harness.llm.schema import NUMBERED
from harness.sides import SIDES
from harness.task import ScoreTable

from .rewriting import rewriting_of

CONTROLS = ("edit_ratio", "similarity", "dlog_words")
"""How much of a reply the rewrite changed: share of its text, cosine of an encoder, and log words (new minus old)."""


@dataclass(frozen=True)
class Relabelled:
    """Labels of rewritten replies beside those of the originals, the same for every member.

    `changes` has a row for each (transform, pair, side), pairs named as in `Compared`: `CONTROLS`, and by label field the
    label of the rewrite minus that of the original; missing where either is unclear or nobody was asked. A side of
    several replies has their mean. `again` has a row an original reply: `cluster_id`, `side`, and by field its second label
    minus its first, the text being the same (A/A).
    """

    fields: tuple[str, ...]
    """Fields with a number of which some rewrite has a label."""
    changes: pd.DataFrame
    again: pd.DataFrame

    @classmethod
    def of(cls, table: ScoreTable) -> Relabelled:
        """From a score table with labels of originals and rewrites attached; matrices of styles and comparisons are left out."""
        texts = table.drop_duplicates("unit_id").set_index("unit_id")
        names = texts["side"].astype(str).str.partition("/")[2]
        texts = texts[~texts["side"].astype(str).str.contains(">") & ((names == "") | names.str.isdigit())]
        texts = texts.assign(side=texts["side"].astype(str).str.split("/").str[0])
        asked = [field for field in NUMBERED if column(field) in texts]
        changes = _changes(texts, asked)
        fields = tuple(field for field in asked if changes[field].notna().any())
        originals = texts[texts["variant"] == "original"]
        retest = {field: _number(originals, column(field, "retest")) for field in fields}
        again = {field: retest[field] - _number(originals, column(field)) for field in fields}
        return cls(fields, changes, originals[["cluster_id", "side"]].assign(**again))

    def sides(self, transform: str, pairs: pd.Index, values: list[str]) -> dict[str, pd.DataFrame]:
        """Columns of `changes` by side, in the order of `pairs`; missing where a side was not rewritten."""

        def of(side: str) -> pd.DataFrame:
            rows = pd.MultiIndex.from_product([[transform], pairs, [side]])
            return self.changes.reindex(rows)[values].set_axis(pairs)

        return {side: of(side) for side in SIDES}


def _changes(texts: pd.DataFrame, fields: list[str]) -> pd.DataFrame:
    ways = {v: rewriting_of(v) for v in texts["variant"].unique() if v.startswith("lm/")}
    ways = {v: (rewriting, sample) for v, (rewriting, sample) in ways.items() if not rewriting.twice}
    new = texts[texts["variant"].isin(list(ways))]
    originals = [unit.removesuffix(f"@{v}") for unit, v in zip(new.index, new["variant"], strict=True)]
    old = texts.reindex(originals).set_axis(new.index)
    log_words = [np.log1p(_number(t, "n_response_words")) for t in (new, old)]
    numbers = pd.DataFrame(
        {
            "edit_ratio": _number(new, "x_edit_ratio"),
            "similarity": _number(new, "x_similarity"),
            "dlog_words": log_words[0] - log_words[1],
            **{field: _number(new, column(field)) - _number(old, column(field)) for field in fields},
        }
    )
    keys = {
        "transform": [ways[v][0].name for v in new["variant"]],
        "pair": [f"{item}/{ways[v][1]}" for item, v in zip(new["item_id"], new["variant"], strict=True)],
        "side": new["side"],
    }
    groups = numbers.groupby([pd.Series(values, index=new.index, name=key) for key, values in keys.items()])
    return groups.mean().where(groups.count().eq(groups.size(), axis=0))


def _number(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column as numbers; missing where there is none."""
    return frame.reindex(columns=[name])[name].astype(float)
