"""What is evaluated: one model or a family of them, and how its engines answer the requests of tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.condition import NONE, Condition
from harness.engine.engine import Engine, Job, compare_jobs
from harness.errors import InputError
from harness.models.base import Resolved
from harness.preference import Unit
from harness.task import (
    TABLE_COLUMNS,
    Accumulate,
    Attach,
    Capture,
    Captured,
    Compare,
    Request,
    Score,
    ScoreTable,
    empty_table,
    pair_rows,
)

TOLD_WHEN_LOADED = frozenset({"neurons"})
"""What a kind of model offers and one of them may still lack: it says so in its description, `neurons_missing`."""

MEMBERS = ("model", "helpful", "harmless", "mixed", "helpful_half", "harmless_half", "base", "reference")


@dataclass(frozen=True)
class Member:
    """A model's place in the subject: which part it plays, which seed of it, and the engine that scores with it."""

    member: str
    seed: int
    engine: Engine

    @property
    def resolved(self) -> Resolved:
        """The model itself."""
        return self.engine.resolved

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model can do."""
        return self.resolved.adapter.capabilities

    def lacks(self, need: frozenset[str]) -> str | None:
        """Why it offers none of these, or None; the model is loaded where only it can tell and it has not told before."""
        name, wanted = self.resolved.name, " or ".join(sorted(need))
        offered = self.capabilities & need
        if not offered:
            return f"{name} offers {', '.join(sorted(self.capabilities)) or 'nothing'}; the task needs {wanted}"
        if offered - TOLD_WHEN_LOADED:
            return None
        reasons = [self.engine.missing(capability) for capability in sorted(offered)]
        return None if None in reasons else f"{name} lacks {wanted}: {'; '.join(map(str, reasons))}"

    @property
    def reads(self) -> bool:
        """Whether it reads texts of its own; a base without a head only goes along with a member that does."""
        return bool(self.capabilities & {"scores", "compares"})


@dataclass(frozen=True)
class Subject:
    """The members of what is evaluated; a single model is a subject with one member called `model`."""

    name: str
    kind: Literal["model", "family"]
    members: tuple[Member, ...]

    def lacks(self, needs: Iterable[str]) -> str | None:
        """Why a task with these needs does not apply, or None. A need `a|b` is met by either; of what reads no text nothing is needed."""
        for member in filter(attrgetter("reads"), self.members):
            for need in sorted(needs):
                if (reason := member.lacks(frozenset(need.split("|")))) is not None:
                    return reason
        return None

    def ensure(self, requests: Sequence[Request]) -> None:
        """Have the scores of all requests, member by member: the union, so that tasks share forward passes."""
        for member in self.members:
            asked = [request for request in requests if member in self.asked(request)]
            member.engine.ensure(job for request in asked for job in _jobs(member, request))
            for request in asked:
                if isinstance(request, Accumulate):
                    self._accumulated(member, request)

    def answer(self, request: Request) -> Any:
        """The answer to an ensured request, in the form `harness.task` documents."""
        if isinstance(request, Attach):
            return None
        if isinstance(request, Capture):
            return _captured(self.asked(request), request)
        if isinstance(request, Accumulate):
            return {(m.member, m.seed): self._accumulated(m, request) for m in self.asked(request)}
        return pd.concat([_rows(member, request) for member in self.asked(request)], ignore_index=True)

    def asked(self, request: Request) -> tuple[Member, ...]:
        """The members that a request is for: of those that read texts the named ones, and not the one they are compared with."""
        named, against = getattr(request, "members", ()), getattr(request, "against", "")
        return tuple(
            m for m in self.members if m.reads and m.member != against and (not named or (m.member, m.seed) in named)
        )

    def against(self, member: Member, name: str) -> Member:
        """The member `name` that `member` is compared with: of the same seed, or the first where there are not as many seeds of both.

        Raises InputError where there is none.
        """
        mine, others = ([m for m in self.members if m.member == part] for part in (member.member, name))
        if not others:
            raise InputError(
                f"{self.name} has no member {name!r} to compare {member.member} with; add --role {name}=PATH, the model it was trained from"
            )
        return next((m for m in others if len(others) == len(mine) and m.seed == member.seed), others[0])

    def _accumulated(self, member: Member, request: Accumulate) -> dict[str, np.ndarray]:
        """The request's sums for one member, from the store where they were made before; gradients are of the oriented score."""
        sign = -1.0 if member.resolved.spec.direction == "lower_is_better" else 1.0
        weights = request.weights or (1 / len(request.units),) * len(request.units)
        against = self.against(member, request.against).resolved if request.against else None
        return member.engine.accumulate(request.units, [sign * w for w in weights], request.reading, against)


def _captures(member: Member, what: str) -> bool:
    return "hidden_states" in member.capabilities and bool(what)


def _jobs(member: Member, request: Request) -> Iterable[Job]:
    if isinstance(request, Capture):
        if _captures(member, request.what):
            yield from (Job(unit, capture=request.what) for unit in request.units)
    elif isinstance(request, Compare):
        yield from _compare_jobs(member, request, NONE, 0)
    elif isinstance(request, Score):
        for condition in request.conditions:
            if "scores" in member.capabilities:
                yield from (Job(u, condition=condition, replicate=request.replicate) for u in request.units)
            else:
                for pair in pair_rows(request.units):
                    yield from _compare_jobs(member, pair, condition, request.replicate)


def _compare_jobs(member: Member, pair: Compare, condition: Condition, replicate: int) -> tuple[Job, Job]:
    if "scores" in member.capabilities:
        return Job(pair.a, None, condition, replicate), Job(pair.b, None, condition, replicate)
    first, second = compare_jobs(pair)
    return Job(first.unit, first.against, condition, replicate), Job(second.unit, second.against, condition, replicate)


def _captured(members: Sequence[Member], request: Capture) -> dict[tuple[str, int], Captured]:
    found = {}
    for member in members:
        if not _captures(member, request.what):
            continue
        arrays = {u.unit_id: member.engine.captured(Job(u, capture=request.what)) for u in request.units}
        rows = {unit_id: a for unit_id, a in arrays.items() if a is not None}
        if rows:
            found[member.member, member.seed] = Captured(tuple(rows), np.stack(list(rows.values())))
    return found


def _rows(member: Member, request: Score | Compare) -> ScoreTable:
    """Rows of the score table for one member: every unit asked for, failed or not."""
    if isinstance(request, Score) and "scores" in member.capabilities:
        return _score_rows(member, request)
    rows: list[dict[str, Any]] = []
    conditions, replicate = ((NONE,), 0) if isinstance(request, Compare) else (request.conditions, request.replicate)
    pairs = pair_rows(request.units) if isinstance(request, Score) else [request]
    for condition in conditions:
        rows += [_preference_row(member, pair, condition, replicate) for pair in pairs]
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def _score_rows(member: Member, request: Score) -> ScoreTable:
    """Rows of a scalar model: what a unit is, once; then what became of it, condition by condition."""
    if not request.units or not request.conditions:
        return empty_table()
    jobs = [Job(unit, replicate=request.replicate) for unit in request.units]
    units = pd.DataFrame([_identity(job.unit, member, job) | _text(member, job) for job in jobs])
    parts = [
        units.assign(
            condition=condition.name,
            **pd.DataFrame([_outcome(member, replace(job, condition=condition)) for job in jobs]),
        )
        for condition in request.conditions
    ]
    return pd.concat(parts, ignore_index=True).reindex(columns=list(TABLE_COLUMNS))


def _text(member: Member, job: Job) -> dict[str, Any]:
    """What of a row is the same under every condition."""
    request = member.engine.request(job)
    return {
        "n_tokens": request.n_tokens,
        "n_response_words": len(job.unit.conversation[-1].content.split()),
        "truncated": request.truncated,
        "ids_hash": request.ids_hash.hex(),
    }


def _outcome(member: Member, job: Job) -> dict[str, Any]:
    """What of a row is not."""
    stored = member.engine.outputs(job)
    raw = score = heads = None
    if stored.outputs is not None:
        raw, score = oriented(member, stored.outputs)
        heads = [float(x) for x in stored.outputs] if len(stored.outputs) > 1 else None
    status = "ok" if stored.error is None else "failed"
    return {"score": score, "score_raw": raw, "head_outputs": heads, "status": status, "error": stored.error}


def oriented(member: Member, outputs: np.ndarray) -> tuple[float, float]:
    """The score as the model said it, and so that higher is better."""
    spec = member.resolved.spec
    raw = float(member.resolved.adapter.raw_score(spec, outputs[None, :])[0])
    return raw, -raw if spec.direction == "lower_is_better" else raw


def _preference_row(member: Member, pair: Compare, condition: Condition, replicate: int) -> dict[str, Any]:
    """P(a preferred to b): both orders averaged, or the Bradley-Terry probability of a scalar model's two scores.

    `head_outputs` of a model that compares are its outputs for `a` first, then those for `b` first: each says how far
    the reply that came first is preferred. A scalar model has none.
    """
    first, second = _compare_jobs(member, pair, condition, replicate)
    stored = [member.engine.outputs(job) for job in (first, second)]
    error = next((s.error for s in stored if s.error is not None), None)
    value = heads = None
    if error is None:
        outputs = [s.outputs for s in stored if s.outputs is not None]
        numbers = [oriented(member, o)[1] for o in outputs]
        scalar = "scores" in member.capabilities
        value = 1 / (1 + np.exp(numbers[1] - numbers[0])) if scalar else (numbers[0] + 1 - numbers[1]) / 2
        heads = None if scalar else [float(x) for o in outputs for x in o]
    requests = [member.engine.request(job) for job in (first, second)]
    return _identity(pair.a, member, first) | {
        "unit_id": f"{pair.a.unit_id}>{pair.b.unit_id}",
        "side": f"{pair.a.side}>{pair.b.side}",
        "score": value,
        "score_raw": value,
        "head_outputs": heads,
        "n_tokens": sum(r.n_tokens for r in requests),
        "n_response_words": len(pair.a.conversation[-1].content.split()),
        "truncated": any(r.truncated for r in requests),
        "ids_hash": requests[0].ids_hash.hex(),
        "status": "ok" if error is None else "failed",
        "error": error,
    }


def _identity(unit: Unit, member: Member, job: Job) -> dict[str, Any]:
    return unit.columns() | {
        "condition": job.condition.name,
        "replicate": job.replicate,
        "member": member.member,
        "seed": member.seed,
    }
