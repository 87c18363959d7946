"""The five stages of an evaluation: resolve, plan, score, evaluate, record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import datasets, metrics
from harness.config import LoadOptions, Model, resolve_subject, resolve_tasks, task_params
from harness.datasets import Suite
from harness.doctor.automatic import examining
from harness.engine.progress import Progress
from harness.engine.store import ScoreStore
from harness.errors import HarnessError, InputError
from harness.gather import Gathering, gather
from harness.labels import NO_LABELS, Labels, read_labels
from harness.numerics import numerics
from harness.outcomes import outcomes
from harness.preference import Unit, units
from harness.record import new_record, record_stop, timing, up_to_date
from harness.results import store as files
from harness.results.agreement import disagreements
from harness.results.result import Result
from harness.results.schema import Counts, MetricRecord, Status, TaskRecord, config_hash
from harness.rewrites import NO_REWRITES, Rewrites, read_rewrites
from harness.subject import Subject
from harness.task import Arrays, Members, ScoreTable, Task, TaskData, empty_table, originals

MAX_FAILED = 0.02
"""Share of failed rows above which a result is `partial`: too many holes to be compared."""


@dataclass(frozen=True)
class Planned:
    """A task with its parameters and data, before any score."""

    task: Task
    params: Any
    suite: Suite
    record: TaskRecord
    labels: Labels = NO_LABELS
    rewrites: Rewrites = NO_REWRITES

    def data(self, members: Members) -> TaskData:
        """What the task sees of it, asked for these members."""
        return TaskData(self.suite.items, members, self.labels, self.rewrites)


def run(
    model: Model | None = None,
    tasks: Sequence[str | Task] = (),
    *,
    roles: Mapping[str, Sequence[Model] | Model] | None = None,
    family: Path | None = None,
    data: Sequence[str] | None = None,
    data_dir: Path | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    limit: int | None = None,
    labels: Path | None = None,
    rewrites: Path | None = None,
    results: Path = Path("results"),
    store: Path | None = None,
    options: LoadOptions | None = None,
    overwrite: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    command: str | None = None,
) -> list[Result]:
    """Evaluate one subject on some tasks and write what comes out below `results`; one Result a task.

    The subject is exactly one of `model`, `roles` (member -> model or list of seeds) or `family` (a YAML
    file); `labels` and `rewrites` are files that the verbs `label` and `rewrite` wrote. A model is a folder, a Hub id, `null/NAME`, `scores:FILE`, a ModelSpec or an adapter object; a task
    a registered name or an object. `data` replaces the tasks' suites. Raises InputError where the request is
    wrong and HarnessError where the run fails; what was scored by then stays in the store.
    """
    found = resolve_tasks(tasks)
    memory = ScoreStore(store)
    subject = resolve_subject(model, roles, family, options or LoadOptions(), memory, report)
    planned = plan_all(found, subject, params or {}, data, data_dir, limit, labels, rewrites)
    started = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "command": command}
    kept = {p.task.meta.name: up_to_date(p.task, p.record, subject, results) for p in planned if not overwrite}
    todo = [p for p in planned if not kept.get(p.task.meta.name)]
    with ExitStack() as engines:
        for member in subject.members:
            member.engine.open_pool = examining(member.engine.open_pool, memory)
            engines.callback(member.engine.close)
        fresh = score_and_record(todo, subject, results, started, overwrite) if todo else {}
    memory.close()
    return [kept.get(p.task.meta.name) or fresh[p.task.meta.name] for p in planned]


def plan_all(
    tasks: Sequence[Task],
    subject: Subject,
    params: Mapping[str, Mapping[str, Any]],
    data: Sequence[str] | None,
    data_dir: Path | None,
    limit: int | None,
    labels: Path | None,
    rewrites: Path | None,
) -> list[Planned]:
    """Every task with its data, and with the labels and rewrites of files where they are of its texts.

    Raises InputError where they are of no task's texts: they were made from other data.
    """
    given = read_labels(labels) if labels else NO_LABELS
    remade = read_rewrites(rewrites) if rewrites else NO_REWRITES
    planned = [
        plan(task, subject, params.get(task.meta.name, {}), data, data_dir, limit, given, remade) for task in tasks
    ]
    if remade and planned and not any(p.rewrites for p in planned):
        raise InputError(
            f"{rewrites} rewrites none of the replies to be scored: its {len(remade.rows)} rows are of other texts, or "
            "failed. Make it with reward-harness rewrite from the same --data and --max-pairs, or run without --rewrites"
        )
    if given and planned and not any(p.labels for p in planned):
        failed = sum(row.labels is None for row in given.rows.values())
        raise InputError(
            f"{labels} labels none of the replies to be scored: of its {len(given.rows)} rows {failed} have no label, the "
            "others are of other texts. Make it with reward-harness label from the same --data and --max-pairs, or run "
            "without --labels"
        )
    return planned


def plan(
    task: Task,
    subject: Subject,
    given: Mapping[str, Any],
    data: Sequence[str] | None,
    data_dir: Path | None,
    limit: int | None,
    labels: Labels,
    rewrites: Rewrites,
) -> Planned:
    """A task with checked parameters, loaded data, its labels and rewrites; `limit` and the task's own `max_pairs` bound each subset."""
    params = task_params(task, given)
    suite = datasets.load(data or task.meta.suite, data_dir)
    for bound in (getattr(params, "max_pairs", None), limit):
        suite = datasets.restrict(suite, bound)
    labels = labels.about(units(suite.items)) if labels else labels
    rewrites = rewrites.about(units(suite.items)) if rewrites else rewrites
    record = TaskRecord(
        name=task.meta.name,
        version=task.meta.version,
        params=dataclasses.asdict(params),
        config_hash="",
        datasets=suite.records,
        datasets_missing=suite.missing,
        limit=limit,
        labels=labels.record() if labels else None,
        rewrites=rewrites.record() if rewrites else None,
    )
    models = [(m.member, m.seed, m.resolved.spec.identity(), m.resolved.backend) for m in subject.members]
    record = record.model_copy(update={"config_hash": config_hash(record, models)})
    return Planned(task, params, suite, record, labels, rewrites)


def score_and_record(
    planned: Sequence[Planned], subject: Subject, results: Path, started: dict[str, Any], overwrite: bool
) -> dict[str, Result]:
    """Score, evaluate and record tasks; by task name. A run that stops half-way leaves records that say so."""
    reasons = {p.task.meta.name: subject.lacks(p.task.meta.needs) for p in planned}
    apply = [p for p in planned if reasons[p.task.meta.name] is None]
    members = tuple((m.member, m.seed) for m in subject.members)
    gatherings = {p.task.meta.name: Gathering(p.task.steps(p.data(members), p.params)) for p in apply}
    began = time.perf_counter()
    try:
        gather(list(gatherings.values()), subject)
        tables = {name: gathering.table() for name, gathering in gatherings.items()}
        checked = numerics(subject, {p.task.meta.name: asked_of(p, tables[p.task.meta.name]) for p in apply})
    except (KeyboardInterrupt, HarnessError) as error:
        if not isinstance(error, InputError):
            record_stop([(p.task, p.record) for p in apply], subject, results, started, error)
        raise
    started = started | {"seconds": round(time.perf_counter() - began, 1), "engine": timing(subject)}
    done = {}
    for p in planned:
        name = p.task.meta.name
        if reason := reasons[name]:
            empty = Counts(scored=0, failed=0, truncated=0, ties=0, skipped=0)
            record = new_record(
                p.task, p.record, subject, started, status="not_applicable", reason=reason, counts=empty
            )
            folder, written = files.write_result(results, record, empty_table(), {}, overwrite=overwrite)
            done[name] = Result(record, folder, written)
        else:
            found = tables[name], gatherings[name].arrays
            done[name] = evaluate(p, subject, found, results, started, checked[name], overwrite)
    return done


def asked_of(planned: Planned, table: ScoreTable) -> tuple[list[Unit], ScoreTable]:
    """The units of a task's data that it asked scores of, and its table: a task may leave some data for other uses."""
    asked = set(table["unit_id"])
    return [unit for unit in TaskData(planned.suite.items).units() if unit.unit_id in asked], table


def evaluate(
    planned: Planned,
    subject: Subject,
    gathered: tuple[ScoreTable, Arrays],
    results: Path,
    started: dict[str, Any],
    checked: dict[str, Any],
    overwrite: bool,
) -> Result:
    """Metrics of what was gathered, written with it. A task that fails here loses no score: its samples are written too."""
    table, arrays = files.storable(gathered[0]), gathered[1]
    counts = count(table, planned.suite)
    status: Status = "success"
    reason: str | None = None
    rows: tuple[MetricRecord, ...] = ()
    rows_all = counts.scored + counts.failed
    if counts.failed > MAX_FAILED * rows_all:
        status, reason = "partial", f"{counts.failed} of {rows_all} rows failed; at most {MAX_FAILED:.0%} may"
    try:
        rows = metrics.evaluate(planned.task, table, arrays, planned.params)
    except Exception as error:  # noqa: BLE001 - a third party's task may raise anything; the scores must survive it
        status, reason = (
            "error",
            f"{planned.task.meta.name} could not evaluate its table: {type(error).__name__}: {error}",
        )
    record = new_record(
        planned.task, planned.record, subject, started, status=status, reason=reason, counts=counts
    ).model_copy(update={"metrics": rows, "numerics": checked})
    folder, written = files.write_result(results, record, table, arrays, overwrite=overwrite)
    return Result(files.read_record(folder), folder, written)


def count(table: ScoreTable, suite: Suite) -> Counts:
    """Rows by what became of them, ties among the original texts, and dataset rows set aside."""
    ok = table["status"] == "ok"
    plain = originals(table)
    ties = int(outcomes(plain)["tie"].sum()) if len(plain) else 0
    return Counts(
        scored=int(ok.sum()),
        failed=int((~ok).sum()),
        truncated=int(table["truncated"].astype(bool).sum()),
        ties=ties,
        skipped=sum(sum(d.set_aside.values()) for d in suite.records),
    )


def recompute(folder: Path, *, overwrite: bool = False) -> tuple[Result, bool]:
    """Metrics again from a result folder's samples: no model, no torch. Returns the result, and whether it says what the folder says.

    With `overwrite` a changed result replaces the old one. Raises InputError where the folder holds no result.
    """
    record, table, arrays = files.read_record(folder), files.read_samples(folder), files.read_arrays(folder)
    task = resolve_tasks([record.task.name])[0]
    params = task_params(task, record.task.params)
    rows = metrics.evaluate(task, table, arrays, params)
    same = not any(disagreements(record.metrics, rows))
    if not same and overwrite:
        status = "success" if record.status == "error" else record.status
        changed = record.model_copy(update={"metrics": rows, "status": status, "reason": None})
        root = folder.resolve().parents[3]
        files.write_result(root, changed, table, arrays, overwrite=True)
    return Result(record.model_copy(update={"metrics": rows}), folder, written=not same and overwrite), same
