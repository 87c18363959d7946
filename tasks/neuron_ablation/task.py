"""The task: what is asked of the models, and which rows come out."""

from __future__ import annotations

from typing import Any

from harness.preference import Unit
from harness.task import TASKS, Arrays, Metric, ScoreTable, Steps, Task, TaskData, TaskMeta

from . import rows, steps
from .params import Params
from .plots import PLOTS


@TASKS.register("neuron_ablation")
class NeuronAblation(Task):
    """Which neurons carry helpfulness and harmlessness, shown by taking them away."""

    meta = TaskMeta(
        name="neuron_ablation",
        version="1",
        summary="which neurons carry helpfulness and harmlessness: ablated, against controls of equal size and equal damage",
        suite=(
            "hh-rlhf/helpful-base", "hh-rlhf/harmless-base", "rm-bench/safety-refuse", "rm-bench/safety-response",
            "xstest?", "hh-rlhf/helpful-online", "hh-rlhf-train/harmless-base?", "rm-bench/code?",
        ),
        needs=frozenset({"scores", "neurons"}),
        main_metrics=("specificity_helpful", "specificity_harmless", "antagonism_helpful", "antagonism_harmless"),
        citation="Tanwar and Atanasova, Understanding helpfulness and harmless tension in reward models, arXiv 2606.13209",
    )  # fmt: skip
    Params = Params
    plots = PLOTS

    def steps(self, data: TaskData, params: Any) -> Steps:
        """Measure, ablate, match; see `steps`."""
        return steps.steps(data, params)

    def passes(self, data: TaskData, params: Any, member: tuple[str, int]) -> list[tuple[Unit, float]]:
        """Judged items under every condition, for who is ablated; the corpora once, forwards and backwards."""
        return steps.passes(data, params, member)

    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """All rows; pure."""
        return rows.rows(table, arrays, params)
