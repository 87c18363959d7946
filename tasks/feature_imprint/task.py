"""The task: replies scored once, features attached, every column computed from the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import InputError
from harness.preference import Unit
from harness.task import TASKS, Arrays, Attach, Metric, Score, ScoreTable, Steps, Task, TaskData, TaskMeta, originals
from harness.text.features import featurize

from . import plots
from .causal import causal_rows, designed_rows, edited_units
from .columns import plain, row
from .design import Design
from .fits import Fits
from .imprint import change_rows, design_rows, human_fit, member_rows, subset_rows
from .margins import Margins
from .params import Params
from .regressors import Regressor, Scale, label_regressors, text_regressors
from .reliability import gold_rows, reliability_rows, unreliable
from .scalars import scalar_rows

REFERENCE = "reference"
DESIGNED = "evalbiasbench"
LABELLED = {"source": "labels"}
"""Rows of the regression on labels say so; those of the text features, which need nothing, have no such mark."""


@TASKS.register("feature_imprint")
class FeatureImprint(Task):
    """What a reward model pays for, feature by feature, with the prompt fixed (SEAL, 2408.10270, done with first differences)."""

    meta = TaskMeta(
        name="feature_imprint",
        version="1",
        summary="What a reward model pays for, feature by feature, with the prompt fixed, and what people pay.",
        suite=("hh-rlhf", f"{DESIGNED}?"),
        needs=frozenset({"scores"}),
        main_metrics=("target_imprint", "spoiler_imprint"),
        citation="SEAL: Systematic Error Analysis for Value ALignment, arXiv 2408.10270",
    )
    Params = Params
    plots = plots.PLOTS

    def steps(self, data: TaskData, params: Any) -> Steps:
        """One pass over all replies and the edited ones, their features, and their labels where there are any."""
        units, edited = data.units(), _edited(data, params)
        names = [r.name for r in text_regressors(params.names)]
        frame = featurize((*units, *edited), names)
        if data.labels:
            frame = frame.merge(data.labels.frame(units), how="left", on="unit_id", validate="one_to_one")
        yield Score((*units, *edited)), Attach(frame)

    def passes(self, data: TaskData, params: Any, member: tuple[str, int]) -> list[tuple[Unit, float]]:
        """Every reply once, and every edited one."""
        return [(unit, 1.0) for unit in (*data.units(), *_edited(data, params))]

    def evaluate(self, table: ScoreTable, arrays: Arrays, params: Any) -> list[Metric]:
        """Rows of every member but `reference`, whose part is to be compared with; what needs no model comes once."""
        regressors = text_regressors(params.names)
        _need(table, regressors)
        metrics = _source_rows(table, regressors, params, {})
        labels = label_regressors()
        if all(r.column in table for r in labels):
            texts = _texts(_regressed(table))
            metrics += reliability_rows(texts, LABELLED)
            metrics += _source_rows(table, labels, params, LABELLED, unreliable(texts))
        return metrics


def _need(table: ScoreTable, regressors: Sequence[Regressor]) -> None:
    """Raises InputError where a feature's values are not in the table in the version that is installed."""
    if absent := [r.column for r in regressors if r.column not in table]:
        raise InputError(
            f"the samples have no column {absent[0]}: they were made with another version of the feature, or without it; "
            "run the task again, its scores are in the store"
        )


def _edited(data: TaskData, params: Any) -> tuple[Unit, ...]:
    regressed = [unit for unit in data.units() if unit.dataset != DESIGNED]
    return edited_units(regressed, params.edited_texts, params.seed, params.edit_names)


def _regressed(table: ScoreTable) -> ScoreTable:
    """Rows of the unchanged replies that are regressed: not the designed pairs."""
    rows = originals(table)
    return rows[rows["dataset"] != DESIGNED]


def _texts(rows: ScoreTable) -> ScoreTable:
    """The replies, one row a unit, whoever scored it."""
    return rows.sort_values("unit_id").drop_duplicates("unit_id")


def _source_rows(
    table: ScoreTable,
    regressors: Sequence[Regressor],
    params: Params,
    dims: Mapping[str, str],
    distrusted: frozenset[str] = frozenset(),
) -> list[Metric]:
    """Everything one set of regressors gives, from the design's own rows to every member's."""
    rows = _regressed(table)
    texts = _texts(rows)
    design = Design.of(texts, regressors)
    human, parts = human_fit(design), design.subsets()
    metrics = [row("n_incomplete", plain(float(design.incomplete), len(design.items)), dims)]
    metrics += design_rows(design, human, dims)
    members = {str(member): Margins.of(mine, design) for member, mine in rows.groupby("member", sort=True)}
    for member, margins in members.items():
        if member == REFERENCE:
            continue
        of = {**dims, "member": member}
        found, beta, gaps = member_rows(margins, human, of)
        metrics += found + subset_rows(margins, parts, of)
        metrics += scalar_rows(margins, beta, gaps, params, of, lambda r: r.name not in distrusted)
        if REFERENCE in members:
            metrics += change_rows(margins, members[REFERENCE], of)
        if dims:
            metrics += gold_rows(margins, texts, of)
        else:
            metrics += _companion(table[table["member"] == member], design.scale, margins, beta, of)
    return metrics


def _companion(
    rows: ScoreTable, scale: Scale, margins: Margins, beta: Fits | None, dims: Mapping[str, str]
) -> list[Metric]:
    """Edited texts and designed pairs of one member, measured by the ruler of the regression."""
    unchanged = rows[(rows["condition"] == "none") & (rows["replicate"] == 0)]
    scaled = unchanged.join(scale.apply(unchanged))
    units = dict(zip(margins.seeds, margins.units.tolist(), strict=True))
    designed = scaled["dataset"] == DESIGNED
    metrics = causal_rows(scaled[~designed], beta, units, dims)
    if designed.any():
        metrics += designed_rows(scaled[designed], beta, units, dims)
    return metrics
