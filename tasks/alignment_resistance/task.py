"""The task: pairs scored once, features attached, every column computed from the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.stats.over_seeds import Bootstrap
from harness.task import TASKS, Arrays, Attach, Metric, Score, ScoreTable, Steps, Task, TaskData, TaskMeta

from .features import feature_rows, surface_rows
from .items import attachments, item_frame
from .regimes import regime_rows
from .resistance import margin_rows, resistance_rows
from .sample import Sample
from .verdicts import verdict_rows

REFERENCE = "reference"


@dataclass(frozen=True)
class Params:
    """`draws` of the cluster bootstrap, its `seed`, and at most `max_pairs` items per (dataset, subset), taken by the runner."""

    draws: int = 10_000
    seed: int = 0
    max_pairs: int | None = None


@TASKS.register("alignment_resistance")
class AlignmentResistance(Task):
    """Where a reward model disagrees with the human label, and which surface features go with it (SEAL, 2408.10270)."""

    meta = TaskMeta(
        name="alignment_resistance",
        version="1",
        summary="Where a reward model disagrees with the human label, how surely, and which surface features go with it.",
        suite=("hh-rlhf",),
        needs=frozenset({"scores|compares"}),
        main_metrics=("resistance",),
        citation="SEAL: Systematic Error Analysis for Value ALignment, arXiv 2408.10270",
    )
    Params = Params

    def steps(self, data: TaskData, params: Any) -> Steps:
        """One pass over all replies, and their features and verdicts."""
        units = data.units()
        yield Score(units), Attach(attachments(data.items, units))

    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """Rows of every member but `reference`, whose part is to be compared with; the surface baseline needs no model."""
        frame = item_frame(table)
        samples = {str(member): Sample.of(rows) for member, rows in frame.groupby("member", sort=True)}
        bootstrap = Bootstrap(frame["cluster_id"].to_numpy(), params.draws, params.seed)
        metrics = surface_rows(frame.drop_duplicates("item_id"), params.seed)
        for member, sample in samples.items():
            if member != REFERENCE:
                metrics += _member_rows(sample, samples.get(REFERENCE), member, bootstrap)
        return metrics


def _member_rows(sample: Sample, reference: Sample | None, member: str, bootstrap: Bootstrap) -> list[Metric]:
    dims = {"member": member}
    metrics = resistance_rows(sample, dims, main=True)
    for (dataset, subset), part in sample.subsets().items():
        metrics += resistance_rows(part, {**dims, "dataset": dataset, "subset": subset})
    metrics += margin_rows(sample, dims, bootstrap)
    metrics += verdict_rows(sample, dims, bootstrap)
    metrics += feature_rows(sample, dims)
    if reference is not None:
        metrics += regime_rows(sample, reference, dims, bootstrap)
    return metrics
