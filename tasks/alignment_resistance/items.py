"""From data to what is attached, and from the score table to one row an item."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.outcomes import outcomes
from harness.preference import PreferenceItem, Unit
from harness.sides import side_means
from harness.task import ScoreTable, originals
from harness.text.features import FEATURES, featurize

VERDICT = "x_verdict"
VERDICTS = ("c", "i", "r")
FEATURE_NAMES = (
    "log_words", "question", "exclamation", "first_person", "refusal", "hedging", "politeness", "lists", "bold", "code",
    "digits_urls", "overlap", "sentiment", "lexical_diversity",
)  # fmt: skip
"""A fixed list, so that what a coefficient is adjusted for does not depend on what else is installed."""


def attachments(items: Sequence[PreferenceItem], units: Sequence[Unit]) -> pd.DataFrame:
    """The features of every unit and, where the data brings verdicts in `meta["verdict"]`, those of its item."""
    frame = featurize(units, FEATURE_NAMES)
    verdicts = {item.id: item.meta["verdict"] for item in items if item.meta.get("verdict") in VERDICTS}
    if verdicts:
        frame[VERDICT] = [verdicts.get(unit.item_id) for unit in units]
    return frame


def item_frame(table: ScoreTable) -> pd.DataFrame:
    """One row an item, member and seed, in the order of their ids.

    Beside the columns of `outcomes`: `wrong` = 1 - credit, `verdict` (c, i, r or null) and, for every feature
    in the table, its difference `d_{feature}`, chosen minus rejected, means over the replies of a side.
    """
    rows = originals(table)
    items = outcomes(rows)
    items["wrong"] = 1.0 - items["credit"]
    texts = rows.sort_values("unit_id").drop_duplicates("unit_id")
    items = items.merge(_differences(texts), how="left", on="item_id", validate="many_to_one")
    items["verdict"] = items["item_id"].map(_verdicts(texts))
    return items.sort_values(["member", "seed", "item_id"], ignore_index=True)


def _differences(texts: pd.DataFrame) -> pd.DataFrame:
    columns = [c for c in (FEATURES.get(name).column for name in FEATURE_NAMES) if c in texts]
    chosen, rejected = side_means(texts, columns)
    return (chosen - rejected).rename(columns=lambda c: "d_" + c.removeprefix("x_")).reset_index()


def _verdicts(texts: pd.DataFrame) -> dict[str, str]:
    if VERDICT not in texts:
        return {}
    given = texts[texts[VERDICT].isin(VERDICTS)]
    return dict(zip(given["item_id"], given[VERDICT], strict=True))
