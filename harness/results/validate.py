"""Is a tree of results what it claims to be? Every rule looks at one result and says what was found, expected and to do."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from harness.errors import HarnessError, InputError
from harness.outcomes import outcomes
from harness.results.agreement import called, disagreements
from harness.results.schema import FileRecord, MetricRecord, ResultRecord, config_hash
from harness.results.store import file_sha256, find_results, read_samples
from harness.task import KEY_COLUMNS, TABLE_COLUMNS, ScoreTable, originals

Recompute = Callable[[Path], Sequence[MetricRecord]]
"""Metrics of a result folder, evaluated again from its samples."""

REVISION = re.compile(r"[0-9a-f]{40}|(local|endpoint|family)-[0-9a-f]{12}")
NULL_MODEL = "null/"
TEXT_LENGTH = 200
"""No derived value of a row is longer than this; a reply would be."""

LOCAL_PATH = re.compile(
    r"(?<![\w.~/…-])(?<!<(?=/\w+>))(?:/[A-Za-z_.][\w.@+-]*(?:/[\w.@+-]*)*|~/\S*|[A-Za-z]:[\\/]\S+|\\\\\w+\\\S*)|\bfile://\S+"
)
TOLERANCE = 1e-9


@dataclass(frozen=True, order=True)
class Finding:
    """A rule that a result breaks: `path` is its result.json below the root, `message` says what to do."""

    path: str
    rule: str
    message: str


@dataclass(frozen=True)
class Checked:
    """A readable result: its file, its place below the root, its record, its samples."""

    file: Path
    place: Path
    record: ResultRecord

    @property
    def folder(self) -> Path:
        """Where the files of the result lie."""
        return self.file.parent

    @cached_property
    def samples(self) -> ScoreTable | None:
        """The score table, or None where there is none that can be read (the `files` rule says so)."""
        if self.record.samples is None:
            return None
        try:
            return read_samples(self.folder)
        except HarnessError:
            return None


Rule = Callable[[Checked], Iterator[str]]


def validate(root: Path, recompute: Recompute | None = None) -> list[Finding]:
    """Findings of every result below `root`, sorted; an empty list is a valid tree.

    `recompute` evaluates a result folder again; without it metrics are not compared with the samples.
    """
    findings: list[Finding] = []
    known: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file in find_results(root):
        place = file.relative_to(root)
        try:
            record = ResultRecord.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            findings.append(Finding(place.as_posix(), "schema", _unreadable(error)))
            continue
        known[record.path_parts()].append(place)
        checked = Checked(file, place, record)
        rules = RULES if recompute is None else {**RULES, "recompute": recomputed(recompute)}
        findings += [Finding(place.as_posix(), name, text) for name, rule in rules.items() for text in rule(checked)]
    return sorted([*findings, *_duplicates(known)])


def _unreadable(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        return f"{where}: {first['msg']}; expected a result of the published schema: run the task again"
    return f"cannot be read: {error}; expected UTF-8 JSON: run the task again"


def _duplicates(known: dict[tuple[str, ...], list[Path]]) -> Iterator[Finding]:
    for parts, places in known.items():
        for place in places[1:]:
            text = f"same identity {'/'.join(parts)} as {places[0].as_posix()}; expected one: delete either folder"
            yield Finding(place.as_posix(), "duplicate", text)


# --- rules on the record ------------------------------------------------------------------------


def path_is_identity(result: Checked) -> Iterator[str]:
    """The folder is named by what the result is about."""
    expected, found = "/".join(result.record.path_parts()), result.place.parent.as_posix()
    if found != expected:
        yield f"lies in {found}, expected {expected}: move the folder there"


def config_is_identity(result: Checked) -> Iterator[str]:
    """The config hash is the one of the record's task, data, limit and specs: nothing of it was edited afterwards."""
    record = result.record
    models = [(m.member, m.seed, m.model.spec, m.model.device) for m in record.subject.members]
    expected = config_hash(record.task, models)
    if record.task.config_hash != expected:
        yield (
            f"config_hash is {record.task.config_hash}, expected {expected} from the task, data, limit and specs in the "
            "record; run the task again instead of editing its result"
        )


def revisions(result: Checked) -> Iterator[str]:
    """Models are named by a commit or a content hash, data by a commit or nothing."""
    subject = result.record.subject
    named = [(subject.name, subject.revision), *((m.model.id, m.model.revision) for m in subject.members)]
    for name, revision in dict.fromkeys(named):
        if not REVISION.fullmatch(revision) and not name.startswith(NULL_MODEL):
            yield (
                f"{name} has revision {revision!r}, expected 40 hex digits, or local-, endpoint- or family- and 12: "
                "run again with --revision COMMIT"
            )
    for data in result.record.task.datasets:
        if data.revision is not None and not re.fullmatch(r"[0-9a-f]{40}", data.revision):
            yield f"{data.name}/{data.subset} has revision {data.revision!r}, expected 40 hex digits or null: run again"


def no_local_paths(result: Checked) -> Iterator[str]:
    """Nothing in the record names a place on the machine that made it."""
    for where, text in _strings(json.loads(result.file.read_text(encoding="utf-8"))):
        found = LOCAL_PATH.search(text)
        if found:
            yield f"{where} holds the local path {found[0]!r}; expected none: run again with relative paths"


def _strings(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield where, str(key)
            yield from _strings(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _strings(inner, f"{where}[{i}]")


def metric_rows(result: Checked) -> Iterator[str]:
    """Every metric row is a number inside its interval or a null with a reason, and no two rows are the same."""
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for metric in result.record.metrics:
        key = (metric.name, tuple(sorted(metric.dims.items())))
        if key in seen:
            yield f"two rows are called {called(metric)}; expected one: tell them apart by dims"
        seen.add(key)
        for text in _faults(metric):
            yield f"{called(metric)} {text}: correct the task's evaluate and recompute"


def _faults(metric: MetricRecord) -> Iterator[str]:
    value, ci = metric.value, metric.ci
    if value is None and not metric.reason:
        yield "is null, expected a reason with it"
    if value is None and ci is not None:
        yield "is null but has an interval, expected none"
    if value is not None and not math.isfinite(value):
        yield f"is {value}, expected a finite number, or null with a reason"
    if value is not None and ci is not None and not ci.low - TOLERANCE <= value <= ci.high + TOLERANCE:
        yield f"is {value:g}, expected inside its interval [{ci.low:g}, {ci.high:g}]"
    if metric.unit == "proportion" and value is not None and abs(value) > 1 + TOLERANCE:
        yield f"is the proportion {value:g}, expected a fraction of 1"
    for name in ("p", "p_holm", "q_bh"):
        p = getattr(metric, name)
        if p is not None and not 0 <= p <= 1:
            yield f"has {name} = {p:g}, expected 0 to 1"


# --- rules on the files beside it ---------------------------------------------------------------


def files(result: Checked) -> Iterator[str]:
    """The files that the record names are there, byte for byte and row for row."""
    for file in (result.record.samples, result.record.arrays):
        if file is not None:
            yield from _file_faults(result, file)
    if result.record.samples is None and result.record.status == "success":
        yield "has no samples; expected samples.parquet beside every success: run the task again"


def _file_faults(result: Checked, file: FileRecord) -> Iterator[str]:
    path = result.folder / file.path
    if path.parent != result.folder:
        yield f"names the file {file.path}, expected one in its own folder: write the result again"
    elif not path.is_file():
        yield f"{file.path} is missing; expected it beside result.json: restore it or run the task again"
    elif (found := file_sha256(path)) != file.sha256:
        yield f"{file.path} has sha256 {found[:12]}, expected {file.sha256[:12]}: restore it or run the task again"
    elif file is result.record.samples and result.samples is None:
        yield f"{file.path} is no readable Parquet table: run the task again"
    elif file is result.record.samples and result.samples is not None and len(result.samples) != file.rows:
        yield f"{file.path} has {len(result.samples)} rows, expected {file.rows}: run the task again"


def sample_columns(result: Checked) -> Iterator[str]:
    """Samples hold the contract's columns and short derived values, never texts."""
    if result.samples is None:
        return
    table = result.samples
    missing = [c for c in TABLE_COLUMNS if c not in table.columns]
    if missing:
        yield f"samples lack {', '.join(missing)}; expected every column of the score table: run the task again"
    for name in table.columns:
        if name not in TABLE_COLUMNS and not name.startswith("x_"):
            yield f"samples have the column {name!r}, expected the score table's or x_*: drop it, texts are not published"
        elif name.startswith("x_") and _longest(table[name]) > TEXT_LENGTH:
            yield (
                f"samples have texts of {_longest(table[name])} characters in {name}, expected at most {TEXT_LENGTH}: "
                "drop them, texts are not published"
            )


def _longest(column: pd.Series) -> int:
    if pd.api.types.is_numeric_dtype(column):
        return 0
    return max((len(value) for value in column if isinstance(value, str)), default=0)


def sample_keys(result: Checked) -> Iterator[str]:
    """No unit is scored twice under one condition, replicate, member and seed."""
    keys = list(KEY_COLUMNS)
    if result.samples is None or not set(keys) <= set(result.samples.columns):
        return
    twice = result.samples[result.samples.duplicated(keys)]
    if len(twice):
        first = ", ".join(f"{k}={twice.iloc[0][k]}" for k in keys)
        yield f"samples have {len(twice)} repeated keys, first {first}; expected each once: run the task again"


def counts(result: Checked) -> Iterator[str]:
    """The counts are those of the samples."""
    table, said = result.samples, result.record.counts
    if result.record.status != "success" or table is None or not set(TABLE_COLUMNS) <= set(table.columns):
        return
    ok = table["status"] == "ok"
    found = {
        "scored": int(ok.sum()),
        "failed": int((~ok).sum()),
        "truncated": int(table["truncated"].sum()),
        "ties": int(outcomes(originals(table))["tie"].sum()) if len(table) else 0,
    }
    for name, number in found.items():
        if number != getattr(said, name):
            yield f"counts.{name} is {getattr(said, name)}, the samples have {number}: run the task again"


def recomputed(recompute: Recompute) -> Rule:
    """The rule that `recompute` gives the metrics of the record, to a relative 1e-6."""

    def rule(result: Checked) -> Iterator[str]:
        if result.record.status != "success" or result.samples is None:
            return
        try:
            found = recompute(result.folder)
        except Exception as error:  # noqa: BLE001 - a third party's task may raise anything; that is the finding
            # An InputError names its own cure, such as the plugin that is missing.
            cure = "" if isinstance(error, InputError) else "; expected the samples to suffice: run the task again"
            yield f"metrics cannot be recomputed: {error}{cure}"
            return
        for text in disagreements(result.record.metrics, found):
            yield f"{text}: run recompute on the folder"

    return rule


RULES: dict[str, Rule] = {
    "path": path_is_identity,
    "config": config_is_identity,
    "revision": revisions,
    "local-path": no_local_paths,
    "metric": metric_rows,
    "files": files,
    "columns": sample_columns,
    "keys": sample_keys,
    "counts": counts,
}
