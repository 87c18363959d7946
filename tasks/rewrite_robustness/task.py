"""The task: replies scored as they are, as they are again, and rewritten; every column computed from the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from harness.preference import Unit
from harness.stats.estimate import Estimate
from harness.task import TASKS, Arrays, Attach, Metric, Score, ScoreTable, Steps, Task, TaskData, TaskMeta

from . import plots
from .columns import plain, row
from .compared import compared
from .directed import directed_rows
from .effects import effect_rows
from .flips import flip_rows
from .natural import Matrix, cell_rows
from .pairs import Pairs
from .params import Params
from .rejections import rejection_rows
from .relabelled import Relabelled
from .scalars import CORE, scalar_rows, subset_rows
from .variants import Attempt, attempt_frames, attempts, rewritten

REFERENCE = "reference"
NATURAL = "natural"


@TASKS.register("rewrite_robustness")
class RewriteRobustness(Task):
    """Does the verdict on a pair survive a rewording (SEAL, 2408.10270, section on robustness; reWordBench, 2503.11751)."""

    meta = TaskMeta(
        name="rewrite_robustness",
        version="1",
        summary="Whether a reward model keeps its verdict when replies are reworded without a change of meaning, and "
        "what it pays for noise and bait.",
        suite=("hh-rlhf", "rm-bench?"),
        needs=frozenset({"scores"}),
        main_metrics=("mean_drop_pp", "worst_drop_pp", "break_rate"),
        citation="SEAL: Systematic Error Analysis for Value ALignment, arXiv 2408.10270; "
        "reWordBench: Benchmarking and Improving the Robustness of Reward Models with Transformed Inputs, arXiv 2503.11751",
    )
    Params = Params
    plots = plots.PLOTS

    def steps(self, data: TaskData, params: Any) -> Steps:
        """One pass over all replies and their rewrites, a second over the replies in other batches; then margins to draw."""
        units, tried = data.units(), attempts(data, params)
        made = rewritten(tried)
        frames = _attached(data, tried)
        scored, again, *_ = yield (
            Score((*units, *made)),
            Score(units, replicate=1),
            *(Attach(frame) for frame in frames),
        )
        table = pd.concat([scored, again], ignore_index=True)
        joined = reduce(lambda left, right: left.merge(right, how="left", on="unit_id"), frames, table)
        yield Attach(arrays=_scatter(joined))

    def passes(self, data: TaskData, params: Any, member: tuple[str, int]) -> list[tuple[Unit, float]]:
        """Every reply twice, for the noise floor, and every rewrite once."""
        made = rewritten(attempts(data, params))
        return [*((unit, 2.0) for unit in data.units()), *((unit, 1.0) for unit in made)]

    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """What became of the rewrites, then the rows of every member but `reference`."""
        metrics, relabelled = rejection_rows(table), Relabelled.of(table)
        for member, rows in _members(table):
            metrics += _member_rows(rows, relabelled, params, {"member": member})
        return metrics


def _attached(data: TaskData, tried: Sequence[Attempt]) -> list[pd.DataFrame]:
    """Columns of the rewrites, what became of every attempt, and the labels of both where there are any."""
    frames = list(attempt_frames(tried))
    return [*frames, data.labels.frame((*data.units(), *rewritten(tried)))] if data.labels else frames


def _members(table: ScoreTable) -> Iterable[tuple[str, ScoreTable]]:
    """Rows by member; a reference is only ever compared with."""
    return ((str(member), rows) for member, rows in table.groupby("member", sort=True) if member != REFERENCE)


def _scatter(table: ScoreTable) -> dict[str, np.ndarray]:
    """Margins before and after in s_w by `scatter/{member}/{set}/{transform}`, (pairs, 2) float32.

    Of the first seed, both replies rewritten, where the rewrites are valid; nothing of a member that has no unit.
    """
    found = {}
    for member, rows in _members(table):
        first = rows[rows["seed"] == rows["seed"].min()]
        pairs, matrix = Pairs.of(first), Matrix.of(first)
        (unit,) = _units(pairs, matrix).values()
        for one in (*compared(first, ["both"]), *matrix.compared()):
            points = np.stack([one.valid.margin_before[0], one.valid.margin_after[0]], axis=1)
            if one.rewriting.arm == "both" and len(points) and unit > 0:
                name = f"scatter/{member}/{one.rewriting.kind}/{one.rewriting.name}"
                found[name] = (points / unit).astype(np.float32)
    return found


def _units(pairs: Pairs, matrix: Matrix) -> Mapping[int, float]:
    """s_w by seed: of the pairs, so that a matrix of styles beside them changes none of their rows, or else of the matrix."""
    return matrix.units if matrix.styles and pairs.items.empty else pairs.units


def _member_rows(rows: ScoreTable, relabelled: Relabelled, params: Params, dims: Mapping[str, str]) -> list[Metric]:
    """Everything of one member, from its own numbers to every rewriting's."""
    pairs, matrix = Pairs.of(rows), Matrix.of(rows)
    units = _units(pairs, matrix)
    unit, n = np.array([units[seed] for seed in sorted(units)]), len(pairs.items)
    own = {CORE: pairs, NATURAL: matrix.pairs} if matrix.styles else {CORE: pairs}
    rewordings = compared(rows)
    every = [*rewordings, *matrix.compared()]
    return [
        row("n", plain(float(n), n), dims),
        row("n_failed", plain(float(pairs.failed), n + pairs.failed), dims),
        row("s_w", _mean_unit(unit, n), dims),
        *scalar_rows(every, own, params, dims),
        *subset_rows(rewordings, pairs, params, dims),
        *effect_rows(every, unit, params, dims),
        *cell_rows(matrix, dims),
        *directed_rows(rows, units, dims),
        *flip_rows(rewordings, relabelled, dims),
    ]


def _mean_unit(unit: np.ndarray, n: int) -> Estimate:
    return plain(float(unit.mean()), n) if np.isfinite(unit).all() else Estimate.null("no pair was scored")
