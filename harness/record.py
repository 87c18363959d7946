"""The record of a run: who was measured, with what, and whether it lies there already."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import subject_revision
from harness.disclosure import disclosures, trained_on
from harness.errors import HarnessError
from harness.preference import canonical_json
from harness.results import store as files
from harness.results.provenance import code_sha256, environment
from harness.results.result import Result
from harness.results.schema import (
    Counts,
    DatasetRecord,
    ExaminationRecord,
    MemberRecord,
    ModelRecord,
    ResultRecord,
    Status,
    SubjectRecord,
    TaskRecord,
    identity_parts,
)
from harness.subject import Member, Subject
from harness.task import Task, empty_table


def new_record(
    task: Task,
    asked: TaskRecord,
    subject: Subject,
    started: dict[str, Any],
    *,
    status: Status,
    reason: str | None,
    counts: Counts,
) -> ResultRecord:
    """A result without metrics yet: identity, provenance, what became of the rows."""
    device = subject.members[0].resolved.device
    made = environment(device) | {"code_sha256": code_sha256(type(task))}
    record = _subject_record(subject, asked.datasets)
    return ResultRecord(
        status=status,
        reason=reason,
        task=asked,
        subject=record,
        counts=counts,
        environment=made,
        run=started,
        disclosures=disclosures(record.members, asked.datasets),
        examinations=tuple(e for m in subject.members if (e := _examination(m)) is not None),
    )


def _subject_record(subject: Subject, datasets: Sequence[DatasetRecord]) -> SubjectRecord:
    members = tuple(
        MemberRecord(
            member=m.member,
            seed=m.seed,
            model=_model_record(m),
            trained_on_task_data=trained_on(m.resolved.spec.training_datasets, datasets)[0],
        )
        for m in subject.members
    )
    return SubjectRecord(kind=subject.kind, name=subject.name, revision=subject_revision(subject), members=members)


def _model_record(member: Member) -> ModelRecord:
    resolved = member.resolved
    spec, said = resolved.spec, member.engine.description()
    known = {k: v for k, v in said.items() if k in ModelRecord.model_fields}
    fields: dict[str, Any] = {
        "id": resolved.name,
        "revision": resolved.revision,
        "fingerprint": resolved.fingerprint,
        "adapter": f"{spec.adapter or resolved.adapter.__name__}@{resolved.adapter.version}",
        "spec": spec.identity(),
        "device": resolved.backend,
        "dtype": spec.dtype,
        "attn_implementation": spec.attn_implementation,
        "pooling": spec.pooling,
        "max_length": spec.max_length,
        "truncation": spec.truncation,
        "direction": spec.direction,
        "quantization": canonical_json(spec.quantization) if spec.quantization else None,
        "trust_remote_code": resolved.trust_remote_code,
        "license": spec.license,
        "training_datasets": spec.training_datasets,
    }
    return ModelRecord(**(fields | known))


def _examination(member: Member) -> ExaminationRecord | None:
    """What a doctor found of a member, now or earlier."""
    found = member.engine.store.examination(member.resolved.fingerprint)
    if found is None:
        return None
    kept = {name: found[name] for name in ("form", "version", "findings")}
    return ExaminationRecord(member=member.member, seed=member.seed, **kept)


def timing(subject: Subject) -> dict[str, Any]:
    """What the engines did, summed over members: seconds by stage, texts and tokens computed, texts remembered."""
    totals: dict[str, float] = {}
    for member in subject.members:
        for name, value in dataclasses.asdict(member.engine.timing).items():
            totals[name] = totals.get(name, 0) + value
    return {k: round(v, 2) for k, v in totals.items()}


def record_stop(
    planned: Sequence[tuple[Task, TaskRecord]],
    subject: Subject,
    results: Path,
    started: dict[str, Any],
    error: BaseException,
) -> None:
    """Leave a partial record of every task that was under way; the scores themselves are in the store already."""
    scored = sum(m.engine.timing.texts for m in subject.members)
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    for task, asked in planned:
        counts = Counts(scored=scored, failed=0, truncated=0, ties=0, skipped=0)
        record = new_record(task, asked, subject, started, status="partial", reason=reason, counts=counts)
        with contextlib.suppress(HarnessError):  # the disk may be what stopped the run; its error is the one to show
            files.write_result(results, record, empty_table(), {})


def up_to_date(task: Task, asked: TaskRecord, subject: Subject, results: Path) -> Result | None:
    """The result that lies there already, if the same code would measure the same models on the same data again."""
    folder = results.joinpath(*identity_parts(subject.name, subject_revision(subject), asked))
    if not (folder / files.RESULT).exists():
        return None
    record = files.read_record(folder)
    same_code = record.environment.get("code_sha256") == code_sha256(type(task))
    whole = record.samples is not None and files.file_sha256(folder / files.SAMPLES) == record.samples.sha256
    finished = record.status in ("success", "not_applicable")
    prints = sorted(m.model.fingerprint for m in record.subject.members)
    same_models = prints == sorted(m.resolved.fingerprint for m in subject.members)
    return Result(record, folder, written=False) if finished and same_code and whole and same_models else None
