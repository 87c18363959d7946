"""Whether labels can be relied on: the first labeler against itself, another one, and people, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.labels import PASSES, LabelRow, Pass, text_id
from harness.llm.schema import NUMBERED
from harness.preference import PreferenceItem, units
from harness.stats.agreement import kappa
from harness.stats.estimate import Estimate

LEAST = 0.4
"""Below this kappa a field is flagged, and nothing is to be ranked by it (methods, 6.5)."""


@dataclass(frozen=True)
class Reliability:
    """Cohen's kappa of one field between the pass `first` and another one, over the texts that both labelled."""

    field: str
    against: Pass
    kappa: Estimate

    @property
    def weak(self) -> bool:
        """Whether kappa is known and below 0.4."""
        return self.kappa.value is not None and self.kappa.value < LEAST


def reliability(rows: Iterable[LabelRow], items: Iterable[PreferenceItem]) -> list[Reliability]:
    """Every field with numbers against every other pass that labelled a text of `items`; in the order of the schema.

    `unclear` is a value like the others: unclear once and yes the other time is a disagreement. Texts of one prompt are
    one cluster.
    """
    clusters = {text_id(unit.conversation): unit.cluster_id for unit in units(items)}
    by_pass: dict[Pass, dict[str, LabelRow]] = {name: {} for name in PASSES}
    for row in rows:
        if row.labels is not None and row.text in clusters:
            by_pass[row.labeled_by][row.text] = row
    first = by_pass.pop("first")
    return [
        Reliability(name, against, _kappa(name, first, others, clusters))
        for name in NUMBERED
        for against, others in by_pass.items()
        if others
    ]


def _kappa(name: str, first: dict[str, LabelRow], others: dict[str, LabelRow], clusters: dict[str, str]) -> Estimate:
    a, b = (
        {text: row.labels[name] for text, row in rows.items() if row.labels and name in row.labels}
        for rows in (first, others)
    )
    both = sorted(a.keys() & b.keys())
    if not both:
        return Estimate.null("no text has this label in both passes")
    return kappa(*(np.array([said[t] for t in both]) for said in (a, b, clusters)))
