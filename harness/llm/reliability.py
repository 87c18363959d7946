"""Whether labels can be relied on: the first labeler against itself, another one, and people, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from harness.labels import LabelRow, Labels, Pass, column, text_id
from harness.llm.schema import NUMBERED
from harness.preference import PreferenceItem, units
from harness.sides import side_means
from harness.stats.agreement import kappa, retest_correlation
from harness.stats.estimate import Estimate

LEAST = 0.4
"""Below this kappa a field is flagged, and nothing is to be ranked by it (methods, 6.5)."""


@dataclass(frozen=True)
class Reliability:
    """How one field of the pass `first` agrees with another pass: `kappa` over the texts that both labelled, and the
    correlation of `differences` between the replies of a pair over the pairs of which both labelled all: the part that
    a regression on differences can find again.
    """

    field: str
    against: Pass
    kappa: Estimate
    differences: Estimate

    @property
    def weak(self) -> bool:
        """Whether kappa is known and below 0.4."""
        return self.kappa.value is not None and self.kappa.value < LEAST


def reliability(rows: Iterable[LabelRow], items: Iterable[PreferenceItem]) -> list[Reliability]:
    """Every field with numbers against every pass but `first` that labelled a text of `items`; in the order of the schema.

    For kappa `unclear` is a value like the others: unclear once and yes the other time is a disagreement. In a
    difference it is missing, as everywhere. Texts of one prompt are one cluster.
    """
    known = tuple(items)
    clusters = {text_id(unit.conversation): unit.cluster_id for unit in units(known)}
    labels = Labels({(row.labeled_by, row.text): row for row in rows if row.labels and row.text in clusters})
    differences = _differences(labels, known)
    return [
        Reliability(name, against, _levels(labels, name, against, clusters), _changes(differences, name, against))
        for name in NUMBERED
        for against in labels.passes
        if against != "first"
    ]


def _levels(labels: Labels, name: str, against: Pass, clusters: Mapping[str, str]) -> Estimate:
    first, other = (
        {
            text: row.labels[name]
            for (p, text), row in labels.rows.items()
            if p == of and row.labels and name in row.labels
        }
        for of in ("first", against)
    )
    both = sorted(first.keys() & other.keys())
    if not both:
        return Estimate.null("no text has this label in both passes")
    return kappa(*([said[text] for text in both] for said in (first, other, clusters)))


def _differences(labels: Labels, items: Iterable[PreferenceItem]) -> pd.DataFrame:
    """Chosen minus rejected of every label column, one row an item, and its `cluster_id`."""
    known = tuple(units(items))
    frame = labels.frame(known).assign(item_id=[u.item_id for u in known], side=[u.side for u in known])
    chosen, rejected = side_means(frame, [c for c in frame.columns if c.startswith("x_")])
    return (chosen - rejected).assign(cluster_id=pd.Series({u.item_id: u.cluster_id for u in known}))


def _changes(differences: pd.DataFrame, name: str, against: Pass) -> Estimate:
    columns = [column(name), column(name, against)]
    if not set(columns) <= set(differences):
        return Estimate.null("no text was labelled first")
    both = differences.dropna(subset=columns)
    if both.empty:
        return Estimate.null("no pair has this label on both sides in both passes")
    return retest_correlation(*(both[c].to_numpy() for c in (*columns, "cluster_id")))
