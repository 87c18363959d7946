"""What a run was asked for: options and task parameters checked, subjects resolved, identities hashed."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from harness.engine.engine import Engine
from harness.engine.progress import Progress
from harness.engine.store import ScoreStore
from harness.engine.workers import pool_opener
from harness.errors import InputError
from harness.models.base import Adapter, Resolved
from harness.models.spec import Frozen, ModelSpec
from harness.preference import canonical_json
from harness.subject import MEMBERS, Member, Subject
from harness.task import TASKS, Task

Model = str | Path | ModelSpec | Adapter

PLAYED_BY = {"base": "backbone"}
"""Members that are loaded with an adapter of their own, whatever their checkpoint is."""


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How models are loaded: flags beat the spec, the spec beats `auto`; and in how many workers (1: in this process)."""

    revision: str | None = None
    spec: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    max_length: int | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    workers: int = 1


class FamilyFile(Frozen):
    """A family as a YAML file: lists are seeds, paths are relative to the file."""

    name: str
    members: dict[str, list[str] | str]


def resolve_subject(
    model: Model | None,
    roles: Mapping[str, Sequence[Model] | Model] | None,
    family: Path | None,
    options: LoadOptions,
    store: ScoreStore,
    report: Callable[[Progress], None],
) -> Subject:
    """The subject of a run from exactly one of a model, roles, or a family file; raises InputError otherwise."""
    if sum(x is not None for x in (model, roles or None, family)) != 1:
        raise InputError("give exactly one of --model M, --role MEMBER=M (repeated), or --family FILE")
    name = None
    if family is not None:
        name, roles = _read_family(Path(family))
    models = {"model": [model]} if model is not None else {m: _as_list(v) for m, v in (roles or {}).items()}
    unknown = sorted(set(models) - set(MEMBERS))
    if unknown:
        near = difflib.get_close_matches(unknown[0], MEMBERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"members are {', '.join(MEMBERS)}."
        raise InputError(f"no member is called {unknown[0]!r}; {hint}")
    members = tuple(
        Member(member, seed, open_engine(m, options, store, report, PLAYED_BY.get(member)))
        for member, some in models.items()
        for seed, m in enumerate(some)
    )
    if not any(m.reads for m in members):
        raise InputError(
            f"{', '.join(m.resolved.name for m in members)}: no model here reads texts, so there is nothing to evaluate; "
            "a base stands beside a reward model: add --role model=M"
        )
    if model is not None:
        return Subject(members[0].resolved.name, "model", members)
    return Subject(_family_name(name, members), "family", members)


def open_engine(
    model: Any,
    options: LoadOptions,
    store: ScoreStore,
    report: Callable[[Progress], None],
    adapter: str | None = None,
) -> Engine:
    """The engine that scores with a model. Whoever opens it closes it: there may be workers."""
    return Engine(resolve_model(model, options, store, adapter), store, report, open_pool=pool_opener(options.workers))


def resolve_model(model: Any, options: LoadOptions, store: ScoreStore, adapter: str | None = None) -> Resolved:
    """A model found but not loaded, with this registered adapter or the one its files ask for.

    An adapter object is taken as it is and never shares stored scores with another run.
    """
    from harness.models.resolve import resolve

    if isinstance(model, Adapter):
        content = os.urandom(16).hex()
        spec = getattr(model, "spec", None) or ModelSpec(model=type(model).__name__)
        name = f"local/{type(model).__name__}"
        return Resolved(name, spec, type(model), f"local-{content[:12]}", content, instance=model)
    how = dataclasses.asdict(options)
    del how["workers"]  # where a model runs is no part of what it is
    return resolve(model, **how, adapter=adapter, hash_file=store.file_sha256)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _read_family(path: Path) -> tuple[str, dict[str, list[str]]]:
    try:
        family = FamilyFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise InputError(
            f"cannot read the family {path}: {str(error).splitlines()[0]}; expected YAML such as "
            "{name: mine, members: {helpful: [PATH], harmless: [PATH], mixed: [PATH]}}"
        ) from error
    beside = path.resolve().parent

    def place(model: str) -> str:
        return str(beside / model) if (beside / model).exists() else model

    return family.name, {m: [place(p) for p in _as_list(v)] for m, v in family.members.items()}


def _family_name(name: str | None, members: Sequence[Member]) -> str:
    """`org/name`: the shared organisation of the members that read texts, and the given name or what their names begin with."""
    scoring = [m.resolved.name for m in members if m.reads]
    orgs = {name.split("/")[0] for name in scoring}
    org = orgs.pop() if len(orgs) == 1 else "local"
    names = [name.split("/")[-1] for name in scoring]
    common = "".join(c[0] for c in takewhile(lambda c: len(set(c)) == 1, zip(*names, strict=False))).strip("-_. ")
    return f"{org}/{name or common or 'family'}"


def subject_revision(subject: Subject) -> str:
    """A single model's revision; of a family `family-` and 12 hex digits over members, seeds and fingerprints."""
    if subject.kind == "model":
        return subject.members[0].resolved.revision
    parts = sorted([m.member, m.seed, m.resolved.fingerprint] for m in subject.members)
    return f"family-{hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:12]}"


def resolve_tasks(tasks: Sequence[str | Task]) -> list[Task]:
    """Task objects from registered names or objects; raises UnknownNameError with the nearest names."""
    if not tasks:
        raise InputError(f"no task was named; known: {', '.join(TASKS.names())}")
    return [TASKS.get(t)() if isinstance(t, str) else t for t in tasks]


def task_params(task: Task, given: Mapping[str, Any]) -> Any:
    """The task's parameters with `given` ones (text is parsed to the field's type); raises InputError naming the field."""
    fields = {f.name: f for f in dataclasses.fields(task.Params)}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"its parameters are {', '.join(fields)}."
            raise InputError(f"{task.meta.name} has no parameter {name!r}; {hint}")
    try:
        return TypeAdapter(task.Params).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{task.meta.name}.{first['loc'][0] if first['loc'] else '?'}"
        raise InputError(f"-P {where}={first['input']}: {first['msg']}") from error


def split_params(assignments: Sequence[str], tasks: Sequence[Task]) -> dict[str, dict[str, str]]:
    """`task.param=value` strings by task; raises InputError for another form or a task that is not run."""
    names = {task.meta.name for task in tasks}
    params: dict[str, dict[str, str]] = {}
    for text in assignments:
        left, equals, value = text.partition("=")
        task, dot, name = left.partition(".")
        if not equals or not dot or task not in names:
            raise InputError(
                f"-P {text}: expected TASK.PARAM=VALUE with a task of this run ({', '.join(sorted(names))})"
            )
        params.setdefault(task, {})[name] = value
    return params
