"""Whether a labeler's verdicts can be trusted: against itself, another labeler, and people."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from harness.labels import Pass
from harness.stats.agreement import kappa
from harness.stats.estimate import Estimate
from harness.task import Metric

from .opinions import BY_LABELS, opinion_column
from .rows import plain, row
from .rules import VERDICTS, Rule
from .verdicts import NO_LABELS

AGAINST: Mapping[str, tuple[Pass, str]] = {
    "labeler_kappa": ("second", "no second labeler judged a pair: label some replies with another model, pass second"),
    "labeler_retest": ("retest", "no pair was labelled twice: let the labeler repeat some replies, pass retest"),
    "labeler_gold": ("gold", "nobody judged a pair by hand: label some replies yourself, pass gold"),
}
"""By column: whose verdicts the first labeler's are compared with, and why there may be none."""

LEAST = 0.4
"""Below this kappa verdicts are not to be read as a second opinion (methods, 6.5)."""


def reliability_rows(items: pd.DataFrame, rule: Rule) -> list[Metric]:
    """Cohen's kappa of the verdict on pairs that both passes judged, and `labeler_n`, pairs with a verdict of the first.

    `labeler_reliable` is 1 where every kappa there is reaches 0.4, 0 where one does not, null where there is none.
    `items` has one row an item. These rows are of the labels, so they have no member.
    """
    dims = {"rule": rule.name}
    judged = int(items[BY_LABELS].isin(VERDICTS).sum())
    found = {name: _agreement(items, *against) for name, against in AGAINST.items()}
    return [
        row("labeler_n", plain(float(judged), len(items)), dims),
        *(row(name, estimate, dims) for name, estimate in found.items()),
        row("labeler_reliable", _reliable(found), dims),
    ]


def _agreement(items: pd.DataFrame, against: Pass, absent: str) -> Estimate:
    first, other = (items[opinion_column(p)] for p in ("first", against))
    if not first.isin(VERDICTS).any():
        return Estimate.null(NO_LABELS)
    both = first.isin(VERDICTS) & other.isin(VERDICTS)
    if not both.any():
        return Estimate.null(absent)
    return kappa(first[both].to_numpy(), other[both].to_numpy(), items.loc[both, "cluster_id"].to_numpy())


def _reliable(found: Mapping[str, Estimate]) -> Estimate:
    known = [estimate for estimate in found.values() if estimate.value is not None]
    if not known:
        return Estimate.null(next(estimate.reason for estimate in found.values()) or "no kappa")
    weakest = min(known, key=lambda estimate: estimate.value or 0.0)
    return plain(float((weakest.value or 0.0) >= LEAST), weakest.n)
