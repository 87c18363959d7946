"""The task: pairs scored once, features attached, every column computed from the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.stats.over_seeds import Bootstrap
from harness.task import TASKS, Arrays, Attach, Metric, Score, ScoreTable, Steps, Task, TaskData, TaskMeta
from harness.text.features import featurize

from .consensus import ACROSS
from .features import feature_rows, surface_rows
from .items import FEATURE_NAMES, LABEL_NAMES, item_frame, single
from .plots import PLOTS
from .regimes import regime_rows
from .reliability import reliability_rows
from .resistance import margin_rows, resistance_rows
from .rules import RULES, Rule, parse_weights
from .sample import Sample
from .verdicts import Source, sources, verdict_rows

REFERENCE = "reference"


@dataclass(frozen=True)
class Params:
    """`draws` of the cluster bootstrap, its `seed`, and at most `max_pairs` items per (dataset, subset), taken by the runner.

    `verdict` is the rule by which labels of two replies become a labeler's side; `weights` are those of `weighted`,
    `LABEL=NUMBER` with commas between, `harmless` being both kinds of harm. Raises InputError where they cannot be read.
    """

    draws: int = 10_000
    seed: int = 0
    max_pairs: int | None = None
    verdict: Literal["pareto", "lexicographic", "weighted"] = "pareto"
    weights: str = "harmless=2,helpful=1"

    def __post_init__(self) -> None:
        parse_weights(self.weights)

    @property
    def rule(self) -> Rule:
        """The verdict rule that is meant."""
        return RULES[self.verdict](parse_weights(self.weights))


@TASKS.register("alignment_resistance")
class AlignmentResistance(Task):
    """Where a reward model disagrees with the human label, and which surface features go with it (SEAL, 2408.10270)."""

    meta = TaskMeta(
        name="alignment_resistance",
        version="2",
        summary="Where a reward model disagrees with the human label, how surely, whether a labeler sides with it, and "
        "which surface features go with it.",
        suite=("hh-rlhf",),
        needs=frozenset({"scores|compares"}),
        main_metrics=("resistance",),
        citation="SEAL: Systematic Error Analysis for Value ALignment, arXiv 2408.10270",
    )
    Params = Params
    plots = PLOTS
    across = ACROSS

    def steps(self, data: TaskData, params: Any) -> Steps:
        """One pass over all replies, their features and, where there are any, their labels."""
        units = data.units()
        yield Score(units), Attach(featurize(units, FEATURE_NAMES))
        if data.labels:
            yield Attach(data.labels.frame(units))

    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """Rows of every member but `reference`, whose part is to be compared with; surface baseline and labeler need no model."""
        frame = item_frame(table, params.rule)
        samples = {str(member): Sample.of(rows) for member, rows in frame.groupby("member", sort=True)}
        bootstrap = Bootstrap(frame["cluster_id"].to_numpy(), params.draws, params.seed)
        metrics = surface_rows(single(frame), params.seed) + reliability_rows(single(frame), params.rule)
        for member, sample in samples.items():
            if member != REFERENCE:
                metrics += _member_rows(sample, samples.get(REFERENCE), member, sources(params.rule), bootstrap)
        return metrics


def _member_rows(
    sample: Sample, reference: Sample | None, member: str, verdicts: Sequence[Source], bootstrap: Bootstrap
) -> list[Metric]:
    dims = {"member": member}
    metrics = resistance_rows(sample, dims, main=True)
    for (dataset, subset), part in sample.subsets().items():
        metrics += resistance_rows(part, {**dims, "dataset": dataset, "subset": subset})
    metrics += margin_rows(sample, dims, bootstrap)
    for source in verdicts:
        metrics += verdict_rows(sample, reference, source, dims, bootstrap)
    metrics += feature_rows(sample, dims)
    if all(f"d_{name}" in sample.items for name in LABEL_NAMES):
        metrics += feature_rows(sample, {**dims, "source": "labels"}, LABEL_NAMES)
    if reference is not None:
        metrics += regime_rows(sample, reference, dims, bootstrap)
    return metrics
