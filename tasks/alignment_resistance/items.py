"""From the score table to one row an item: how it was judged, how its sides differ, and whom labelers side with."""

from __future__ import annotations

import pandas as pd

from harness.llm.schema import LABELS, NUMBERED
from harness.outcomes import outcomes
from harness.sides import side_means
from harness.task import ScoreTable, originals
from harness.text.features import FEATURES, STANDARD

from .opinions import opinions
from .rules import Rule

FEATURE_NAMES = STANDARD
"""A fixed list, so that what a coefficient is adjusted for does not depend on what else is installed."""

LABEL_PREFIX = "label_"
LABEL_NAMES = ("log_words", *(LABEL_PREFIX + name for name in NUMBERED))
"""What labels are regressed beside: length, the best-known confound."""

TAILS = (0.01, 0.99)
"""Quantiles of the sample at which features without fixed ends are cut: single replies would carry their coefficient."""


def item_frame(table: ScoreTable, rule: Rule) -> pd.DataFrame:
    """One row an item, member and seed, in the order of their ids.

    Beside the columns of `outcomes`: `wrong` = 1 - credit; for every feature in the table its difference
    `d_{feature}`, chosen minus rejected, means over the replies of a side, and `d_label_{field}` for its labels; the columns of `opinions` by `rule`.
    """
    rows = originals(table)
    items = outcomes(rows)
    items["wrong"] = 1.0 - items["credit"]
    texts = rows.sort_values("unit_id").drop_duplicates("unit_id")
    items = items.merge(_differences(texts), how="left", on="item_id", validate="many_to_one")
    items = pd.concat([items, opinions(texts, items, rule)], axis=1)
    return items.sort_values(["member", "seed", "item_id"], ignore_index=True)


def _differences(texts: ScoreTable) -> pd.DataFrame:
    names = [name for name in FEATURE_NAMES if FEATURES.get(name).column in texts]
    labels = {LABELS[name].column: name for name in NUMBERED if LABELS[name].column in texts}
    said = texts[list(labels)].astype(float).rename(columns={c: LABEL_PREFIX + name for c, name in labels.items()})
    values = pd.concat([texts[["item_id", "side"]], *(_cut(texts, name) for name in names), said], axis=1)
    chosen, rejected = side_means(values, [*names, *said.columns])
    return (chosen - rejected).add_prefix("d_").reset_index()


def _cut(texts: ScoreTable, name: str) -> pd.Series:
    feature = FEATURES.get(name)
    values = texts[feature.column].astype(float).rename(name)
    return values.clip(*values.quantile(list(TAILS))) if feature.form == "open" else values


def single(items: pd.DataFrame) -> pd.DataFrame:
    """One row an item, whoever scored it: what does not depend on the model."""
    return items.drop_duplicates("item_id").sort_values("item_id", ignore_index=True)
