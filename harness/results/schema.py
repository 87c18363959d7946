"""`result.json` as a pydantic model. The published JSON Schema is `ResultRecord.model_json_schema()`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from harness.models.spec import Frozen
from harness.preference import canonical_json

SCHEMA_VERSION = "1.3.0"
Status = Literal["success", "partial", "error", "not_applicable"]
Trained = Literal["yes", "no", "unknown"]


class DatasetRecord(Frozen):
    """One (dataset, subset) the task saw: where from, how much, and the hash of its canonical items."""

    name: str
    subset: str
    objective: str
    source: str
    revision: str | None
    n_items: int
    items_sha256: str
    set_aside: dict[str, int] = Field(default_factory=dict)
    license: str | None = None


class LabelsRecord(Frozen):
    """The labels a task used: the digest of their file, who labelled in each pass, under which questions."""

    sha256: str
    labelers: dict[str, tuple[str, ...]]
    schema_sha256: tuple[str, ...]
    n_texts: int
    n_failed: int


class RewritesRecord(Frozen):
    """The rewrites by language models that a task used: the digest of their file, who rewrote, how, in which words of asking."""

    sha256: str
    rewriters: tuple[str, ...]
    kinds: tuple[str, ...]
    prompts: tuple[str, ...]
    n_texts: int
    n_failed: int


class TaskRecord(Frozen):
    """Which measurement with which parameters on which data; `config_hash` is over it and over how the models were run."""

    name: str
    version: str
    params: dict[str, Any]
    config_hash: str
    datasets: tuple[DatasetRecord, ...]
    datasets_missing: tuple[str, ...] = ()
    limit: int | None = None
    labels: LabelsRecord | None = None
    rewrites: RewritesRecord | None = None


class ModelRecord(Frozen):
    """One model as it was run."""

    id: str
    revision: str
    fingerprint: str
    adapter: str
    spec: dict[str, Any]
    """The resolved spec without its prose: all that decided how the weights were used."""
    device: str
    template_sha256: str | None = None
    dtype: str | None = None
    attn_implementation: str | None = None
    pooling: str | None = None
    max_length: int | None = None
    truncation: str | None = None
    direction: str = "higher_is_better"
    quantization: str | None = None
    trust_remote_code: bool = False
    license: str | None = None
    training_datasets: tuple[str, ...] | None = None
    n_parameters: int | None = None


class MemberRecord(Frozen):
    """A model's place in the subject."""

    member: str
    seed: int
    model: ModelRecord
    trained_on_task_data: Trained = "unknown"


class SubjectRecord(Frozen):
    """What was evaluated: one model, or a family."""

    kind: Literal["model", "family"]
    name: str
    revision: str
    members: tuple[MemberRecord, ...]


def config_hash(task: TaskRecord, models: Iterable[tuple[str, int, dict[str, Any], str]]) -> str:
    """8 hex digits over what was measured on which data, and how the models were run (not which models).

    `models` are (member, seed, spec without prose, device). The hash names the result's folder, so that a
    record edited by hand no longer lies where it says.
    """
    asked = task.model_dump(mode="json", exclude={"config_hash", "datasets", "labels", "rewrites"})
    for name, files in (("labels", task.labels), ("rewrites", task.rewrites)):
        if files:
            asked[name] = files.sha256
    data = sorted([d.name, d.subset, d.items_sha256] for d in task.datasets)
    run = sorted([[member, seed, spec, device] for member, seed, spec, device in models], key=canonical_json)
    return hashlib.sha256(canonical_json([asked, data, run]).encode("utf-8", "surrogatepass")).hexdigest()[:8]


class IntervalRecord(Frozen):
    """A confidence interval."""

    low: float
    high: float
    level: float
    method: str


class MetricRecord(Frozen):
    """One long row: a number, or null with a reason."""

    name: str
    dims: dict[str, str] = Field(default_factory=dict)
    value: float | None
    reason: str | None = None
    unit: str
    higher_is_better: bool | None = None
    n: int | None = None
    n_clusters: int | None = None
    se: float | None = None
    ci: IntervalRecord | None = None
    p: float | None = None
    p_holm: float | None = None
    q_bh: float | None = None
    baselines: dict[str, float | None] = Field(default_factory=dict)
    main: bool = False


class Counts(Frozen):
    """Rows of the score table by what became of them; `skipped` are dataset rows set aside before scoring."""

    scored: int
    failed: int
    truncated: int
    ties: int
    skipped: int


class FileRecord(Frozen):
    """A file beside `result.json`."""

    path: str
    sha256: str
    rows: int | None = None


class Disclosures(Frozen):
    """What a reader must know before comparing."""

    trained_on_task_data: Trained = "unknown"
    trained_on: tuple[str, ...] = ()
    evaluator: Literal["first_party", "third_party", "maintainer"] = "third_party"


class CheckRecord(Frozen):
    """What a doctor's check found: `reason` unless all is well, what was measured, what to do."""

    check: str
    status: Literal["ok", "warn", "fail", "skipped"]
    reason: str = ""
    measured: dict[str, Any] = Field(default_factory=dict)
    advice: str = ""


class ExaminationRecord(Frozen):
    """What a doctor found of one member before its first result; `version` is that of the checks."""

    member: str
    seed: int
    form: Literal["short", "full"]
    version: str
    findings: tuple[CheckRecord, ...]


class ResultRecord(Frozen):
    """One task on one subject. Everything under `run`, `environment` and `examinations` is ignored when results are compared."""

    schema_version: str = SCHEMA_VERSION
    status: Status
    reason: str | None = None
    task: TaskRecord
    subject: SubjectRecord
    metrics: tuple[MetricRecord, ...] = ()
    counts: Counts
    numerics: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    run: dict[str, Any] = Field(default_factory=dict)
    samples: FileRecord | None = None
    arrays: FileRecord | None = None
    disclosures: Disclosures = Disclosures()
    examinations: tuple[ExaminationRecord, ...] = ()
    """One a member that was examined; none of a model whose scores were all remembered from before there was a doctor."""

    def path_parts(self) -> tuple[str, ...]:
        """Folders below the results root that identify this result: subject, revision, task, config."""
        return identity_parts(self.subject.name, self.subject.revision, self.task)


def identity_parts(subject: str, revision: str, task: TaskRecord) -> tuple[str, ...]:
    """Folder names of a result. Names are third-party data: no part can leave its folder or hide."""
    parts = (subject.replace("/", "__"), revision, f"{task.name}@{task.version}", task.config_hash)
    return tuple(re.sub(r"[^\w.@+-]", "-", part).lstrip(".") or "_" for part in parts)
