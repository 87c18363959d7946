"""What each labeler, and the word lists, say of every item: a verdict, or why there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.labels import PASSES, Pass, column
from harness.llm.schema import NUMBERED
from harness.sides import side_means
from harness.task import ScoreTable

from .rules import HARMLESS, PROXY, Rule

UNCLEAR, UNLABELLED = "unclear", "unlabelled"
"""No verdict: a reply has labels, but not all that the rule reads; a reply has none at all."""

LABELLED = "labelled"
BY_LABELS, BY_WORDS = "verdict", "proxy"
"""Columns with the verdict of the first labeler and with that of the word lists."""


def opinion_column(labeled_by: Pass) -> str:
    """The column of `opinions` with a pass's verdicts."""
    return BY_LABELS if labeled_by == "first" else f"{BY_LABELS}_{labeled_by}"


def opinions(texts: ScoreTable, items: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """One column a pass and one for the proxy, rows as in `items`; every value is c, i, r, `unclear` or `unlabelled`.

    `texts` has one row a reply with its label columns, `items` an `item_id` and the feature differences. The label
    of a side with several replies is their mean. A reply whose every label is unclear counts as not labelled.
    """
    columns = {}
    for labeled_by in PASSES:
        said = _of_labels(texts, rule, labeled_by)
        columns[opinion_column(labeled_by)] = [said.get(item, UNLABELLED) for item in items["item_id"]]
    return pd.DataFrame({**columns, BY_WORDS: _of_words(items)}, index=items.index)


def _of_labels(texts: ScoreTable, rule: Rule, labeled_by: Pass) -> dict[str, str]:
    names = [name for name in NUMBERED if column(name, labeled_by) in texts]
    if not names:
        return {}
    labels = texts[[column(name, labeled_by) for name in names]].astype(float).set_axis(names, axis=1)
    read = texts[["item_id", "side"]].assign(
        **{part: _part(labels, part) for part in rule.parts}, **{LABELLED: labels.notna().any(axis=1)}
    )
    chosen, rejected = side_means(read, [*rule.parts, LABELLED])
    verdicts = rule.verdicts((chosen - rejected)[list(rule.parts)].to_numpy().T)
    both = (chosen[LABELLED] == 1) & (rejected[LABELLED] == 1)
    said = np.where(both, np.where(pd.isna(verdicts), UNCLEAR, verdicts), UNLABELLED)
    return dict(zip(chosen.index, said.tolist(), strict=True))


def _part(labels: pd.DataFrame, part: str) -> pd.Series:
    """A label by reply; for `harmless` 0 where either kind of harm is found, 1 where neither, missing otherwise."""
    if part != HARMLESS:
        return labels[part]
    user, others = labels["harmless_to_user"], labels["harmless_to_others"]
    return (user * others).mask((user == 0) | (others == 0), 0.0)


def _of_words(items: pd.DataFrame) -> np.ndarray:
    columns = [f"d_{name}" for name in PROXY.parts]
    if not set(columns) <= set(items):
        return np.full(len(items), UNLABELLED, dtype=object)
    said = PROXY.verdicts(items[columns].to_numpy(dtype=float).T)
    return np.where(pd.isna(said), UNLABELLED, said)
