"""Where a labeler sides with the chosen reply (c), with the rejected one (r), or with neither (i)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.stats.estimate import Estimate
from harness.stats.over_seeds import Bootstrap, over, proportion
from harness.task import Metric

from .opinions import BY_LABELS, BY_WORDS, UNCLEAR, UNLABELLED
from .regimes import regime_rows
from .resistance import conviction
from .rows import plain, row
from .rules import PROXY, VERDICTS, Rule
from .sample import Sample
from .siding import siding_rows

NO_LABELS = "no pair has a verdict: label the replies with reward-harness label, then run with --labels FILE"
NO_WORDS = "no pair has a verdict: the score table has no features of single replies"


@dataclass(frozen=True)
class Source:
    """Where verdicts come from: the name rows bear in `rule`, the column of items, why it may be empty, and whether it
    decides enough pairs to be split further.
    """

    rule: str
    column: str
    absent: str
    splits: bool


def sources(rule: Rule) -> tuple[Source, Source]:
    """The labels under a rule, and the word lists, which decide some 3 % of the pairs of hh-rlhf."""
    return Source(rule.name, BY_LABELS, NO_LABELS, splits=True), Source(PROXY.name, BY_WORDS, NO_WORDS, splits=False)


def verdict_rows(
    sample: Sample, reference: Sample | None, source: Source, dims: Mapping[str, str], bootstrap: Bootstrap
) -> list[Metric]:
    """Resistance by verdict over all items and in every subset, then what `_within` splits by it.

    Without any verdict only the null rows over all items.
    """
    dims = {**dims, "rule": source.rule}
    metrics = _split_rows(sample, source, dims, bootstrap)
    if not sample.items[source.column].isin(VERDICTS).any():
        return metrics
    for (dataset, subset), part in sample.subsets().items():
        metrics += _split_rows(part, source, {**dims, "dataset": dataset, "subset": subset}, bootstrap)
    return metrics + (_within(sample, reference, source, dims, bootstrap) if source.splits else [])


def _within(
    sample: Sample, reference: Sample | None, source: Source, dims: Mapping[str, str], bootstrap: Bootstrap
) -> list[Metric]:
    """Conviction and regimes within each verdict, and how often the labeler sides with the human label in each regime."""
    metrics = []
    for verdict in VERDICTS:
        inside = (sample.items[source.column] == verdict).to_numpy()
        of = {**dims, "verdict": verdict}
        metrics += [row(name, found, of) for name, found in conviction(sample, inside, bootstrap).items()]
        if reference is not None:
            metrics += regime_rows(sample.where(inside), reference, of, bootstrap)
    if reference is not None:
        metrics += siding_rows(sample, reference, source.column, dims, bootstrap)
    return metrics


def _split_rows(sample: Sample, source: Source, dims: Mapping[str, str], bootstrap: Bootstrap) -> list[Metric]:
    """Resistance within each verdict, the share of all misalignment in each, and the risk ratio of r over c."""
    given = sample.items[source.column].to_numpy()
    n = len(given)
    missing = {f"n_{state}": plain(float((given == state).sum()), n) for state in (UNCLEAR, UNLABELLED)}
    decided = np.isin(given, VERDICTS)
    found = _found(sample.where(decided), given[decided], bootstrap)
    if not decided.any():
        found = dict.fromkeys(found, Estimate.null(source.absent, n))
    return [row(name, estimate, dims) for name, estimate in {**found, **missing}.items()]


def _found(judged: Sample, given: np.ndarray, bootstrap: Bootstrap) -> dict[str, Estimate]:
    within = {v: judged.where(given == v) for v in VERDICTS}
    return {
        **{f"resistance_{v}": proportion(s.wrong, s.clusters) for v, s in within.items()},
        **{f"n_{v}": plain(float(len(s.items)), len(given)) for v, s in within.items()},
        **{f"share_wrong_{v}": _share(judged, given == v, bootstrap) for v in VERDICTS},
        "risk_ratio_r_vs_c": _risk_ratio(judged, given, bootstrap),
    }


def _share(judged: Sample, inside: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    sums = np.stack([judged.wrong * inside, judged.wrong], axis=2)
    base = np.any(judged.wrong > 0, axis=0)
    return bootstrap.ratio(sums, judged.clusters, lambda t: over(t[..., 0], t[..., 1]), base)


def _risk_ratio(judged: Sample, given: np.ndarray, bootstrap: Bootstrap) -> Estimate:
    """Resistance where the labeler sides with rejected over resistance where it sides with chosen; null where either is small."""
    groups = [given == "r", given == "c"]
    smaller = min(groups, key=lambda g: len(np.unique(judged.clusters[g])))
    columns = [x for g in groups for x in (judged.wrong * g, np.broadcast_to(g, judged.wrong.shape))]
    return bootstrap.ratio(np.stack(columns, axis=2), judged.clusters, _risk, smaller)


def _risk(totals: np.ndarray) -> np.ndarray:
    wrong_r, n_r, wrong_c, n_c = np.moveaxis(totals, -1, 0)
    return over(over(wrong_r, n_r), over(wrong_c, n_c))
