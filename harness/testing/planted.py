"""Score tables whose truth is planted, and a driver that runs a task on a Python function: no model, no engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from scipy.special import expit

from harness import preference
from harness.errors import InputError
from harness.gather import Gathering, gather
from harness.labels import NO_LABELS, Labels
from harness.preference import Message, PreferenceItem, Unit, canonical_json, messages_json
from harness.results.store import storable
from harness.subject import Subject
from harness.task import (
    TABLE_COLUMNS,
    Accumulate,
    Attach,
    Capture,
    Captured,
    Compare,
    Members,
    Metric,
    Request,
    Score,
    ScoreTable,
    Task,
    TaskData,
    pair_rows,
    unit_noise,
)

Scorer = Callable[[Unit], float | None]
"""A planted reward model: a unit's score, or None for a unit it fails on."""

Featurizer = Callable[[Unit], Sequence[float] | np.ndarray]
"""A planted representation: a unit's `head_input` row."""

SINGLE: Members = (("model", 0),)


# --- planted models -----------------------------------------------------------------------------


def oracle(unit: Unit) -> float:
    """1 for a chosen reply, 0 for a rejected one: right on every item shape. Its negation is always wrong."""
    return float(unit.side.startswith("chosen"))


def constant(unit: Unit) -> float:
    """0 for everything: a tie everywhere, so chance on every item shape."""
    return 0.0


def response_words(unit: Unit) -> float:
    """White-space separated words of the response: what `null/longest` scores."""
    return float(len(unit.conversation[-1].content.split()))


def noise(unit: Unit) -> float:
    """A number in [0, 1) from the unit id: what `null/random` scores."""
    return unit_noise(unit.unit_id)


# --- items --------------------------------------------------------------------------------------


def items(
    rng: np.random.Generator,
    n: int,
    *,
    dataset: str = "planted",
    subset: str = "all",
    objective: str = "helpful",
    shape: tuple[int, int] = (1, 1),
    styles: tuple[str, ...] = (),
    per_cluster: int = 1,
) -> tuple[PreferenceItem, ...]:
    """`n` items of random words, replies of 3 to 30 words, lengths independent of the side.

    `shape` is (chosen, rejected) replies an item; `styles` names both sides of a style matrix and sets
    the shape; `per_cluster` consecutive items share their prompt.
    """
    counts = (len(styles), len(styles)) if styles else shape
    meta = {"styles": styles} if styles else {}
    made = []
    for i in range(n):
        prompt = (Message("user", f"{dataset} {subset} question {i // per_cluster}"),)
        chosen, rejected = (tuple(_words(rng) for _ in range(k)) for k in counts)
        cluster = preference.cluster_id(prompt)
        name = f"{dataset}/{subset}/{counts[0]}x{counts[1]}/{i:05d}"
        made.append(PreferenceItem(name, prompt, chosen, rejected, dataset, subset, objective, cluster, meta))
    return tuple(made)


def _words(rng: np.random.Generator) -> str:
    return " ".join(f"w{k}" for k in rng.integers(1000, size=rng.integers(3, 31)))


# --- tables -------------------------------------------------------------------------------------


def table(
    data: Iterable[PreferenceItem | Unit],
    score: Scorer | Mapping[str, Scorer],
    members: Members = SINGLE,
    conditions: Sequence[str] = ("none",),
    replicate: int = 0,
) -> ScoreTable:
    """The score table a model with these scores would have filled: `TABLE_COLUMNS`, one row a unit, member and condition.

    `data` are items (every reply becomes a unit) or units. `score` is one function for all members, or
    one by member name. A None or non-finite score becomes a failed row with a null score.
    """
    rows = [
        _row(unit, _of(score, member)(unit), member, seed, condition, replicate)
        for unit in _units(data)
        for condition in conditions
        for member, seed in members
    ]
    return _frame(rows)


def compare_table(
    pairs: Iterable[Compare],
    score: Scorer | Mapping[str, Scorer],
    members: Members = SINGLE,
    conditions: Sequence[str] = ("none",),
    replicate: int = 0,
) -> ScoreTable:
    """The rows a pairwise-only model would have given: side `a>b`, P(a preferred to b) = logistic(score a - score b).

    Arguments as for `table`; a pair with a reply that has no score is a failed row.
    """
    rows = []
    for pair in pairs:
        both = {"unit_id": f"{pair.a.unit_id}>{pair.b.unit_id}", "side": f"{pair.a.side}>{pair.b.side}"}
        for condition in conditions:
            for member, seed in members:
                a, b = (_of(score, member)(unit) for unit in (pair.a, pair.b))
                preference_ = None if a is None or b is None else float(expit(a - b))
                rows.append(_row(pair.a, preference_, member, seed, condition, replicate) | both)
    return _frame(rows)


def _units(data: Iterable[PreferenceItem | Unit]) -> list[Unit]:
    return [u for d in data for u in ((d,) if isinstance(d, Unit) else preference.units((d,)))]


def _of(planted: Any, member: str) -> Any:
    return planted[member] if isinstance(planted, Mapping) else planted


def _row(unit: Unit, score: float | None, member: str, seed: int, condition: str, replicate: int) -> dict[str, object]:
    value = float(score) if score is not None and math.isfinite(score) else None
    text = canonical_json(messages_json(unit.conversation)).encode("utf-8", "surrogatepass")
    return {
        **{c: getattr(unit, c) for c in TABLE_COLUMNS if hasattr(unit, c)},
        "condition": condition,
        "replicate": replicate,
        "member": member,
        "seed": seed,
        "score": value,
        "score_raw": value,
        "head_outputs": None,
        "n_tokens": sum(len(m.content.split()) for m in unit.conversation),
        "n_response_words": int(response_words(unit)),
        "truncated": False,
        "ids_hash": hashlib.sha256(text).hexdigest(),
        "status": "failed" if value is None else "ok",
        "error": f"planted failure: score {score}" if value is None else None,
    }


def _frame(rows: list[dict[str, object]]) -> ScoreTable:
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS)).astype({"score": float, "score_raw": float})


# --- the driver ---------------------------------------------------------------------------------


class Answering(Protocol):
    """What plays a subject: has members, answers requests as `harness.subject.Subject` does."""

    @property
    def members(self) -> Members:
        """(member, seed) of every model."""

    def ensure(self, requests: Sequence[Request]) -> None:
        """Make ready to answer."""

    def answer(self, request: Request) -> Any:
        """The answer in the form `harness.task` documents."""


def asked(members: Members, request: Score | Accumulate) -> Members:
    """Those of `members` that a request is for: all of them where it names none."""
    return tuple(m for m in members if not request.members or m in request.members)


@dataclass(frozen=True)
class PlantedSubject:
    """Answers requests from Python functions, in the form in which a subject's engines do.

    `compares` plays a model that only compares: `Score` is answered with preference rows. Without
    `head_input` it plays one that shows no hidden states: `Capture` is answered with nothing.
    """

    score: Scorer | Mapping[str, Scorer]
    members: Members = SINGLE
    head_input: Featurizer | Mapping[str, Featurizer] | None = None
    compares: bool = False

    def ensure(self, requests: Sequence[Request]) -> None:
        """Nothing to prepare."""

    def answer(self, request: Request) -> Any:
        """The answer in the form `harness.task` documents."""
        return _ANSWERS[type(request)](self, request)

    def _score(self, request: Score) -> ScoreTable:
        how = (self.score, asked(self.members, request), [c.name for c in request.conditions], request.replicate)
        return compare_table(pair_rows(request.units), *how) if self.compares else table(request.units, *how)

    def _compare(self, request: Compare) -> ScoreTable:
        return compare_table([request], self.score, self.members)

    def _capture(self, request: Capture) -> dict[tuple[str, int], Captured]:
        if self.head_input is None:
            return {}
        ids = tuple(u.unit_id for u in request.units)
        return {
            (member, seed): Captured(
                ids, np.array([_of(self.head_input, member)(u) for u in request.units], np.float32)
            )
            for member, seed in self.members
        }

    def _accumulate(self, request: Accumulate) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        raise InputError(
            f"a task asked for {request.reading.what} of neurons, and a PlantedSubject is a function of the text without any; "
            "answer it with harness.testing.planted_neurons.PlantedNeurons"
        )

    def _attach(self, request: Attach) -> None:
        return None


_ANSWERS: dict[type, Callable[[PlantedSubject, Any], Any]] = {
    Score: PlantedSubject._score,
    Compare: PlantedSubject._compare,
    Capture: PlantedSubject._capture,
    Accumulate: PlantedSubject._accumulate,
    Attach: PlantedSubject._attach,
}


def drive(
    task: Task,
    data: Iterable[PreferenceItem],
    score: Scorer | Mapping[str, Scorer] = oracle,
    *,
    head_input: Featurizer | Mapping[str, Featurizer] | None = None,
    params: Any = None,
    members: Members = SINGLE,
    compares: bool = False,
    labels: Labels | None = None,
) -> tuple[ScoreTable, dict[str, np.ndarray], list[Metric]]:
    """Run a task as a run does, but answered by Python functions: (score table, attached arrays, metrics).

    `score` and `head_input` are one function for all members, or one by member name; see
    `PlantedSubject` for `compares` and for leaving out `head_input`. `params` defaults to the task's own.
    The table is what a result would store: float32 scores, rows sorted by key.
    """
    chosen = task.Params() if params is None else params
    found, arrays = gather_planted(
        task, tuple(data), chosen, PlantedSubject(score, members, head_input, compares), labels or NO_LABELS
    )
    return found, arrays, task.evaluate(found.copy(), dict(arrays), chosen)


def gather_planted(
    task: Task, data: Sequence[PreferenceItem], params: Any, subject: Answering, labels: Labels = NO_LABELS
) -> tuple[ScoreTable, dict[str, np.ndarray]]:
    """The first half of `drive`: the task's requests answered by `subject`, as (score table, attached arrays)."""
    gathering = Gathering(task.steps(TaskData(tuple(data), subject.members, labels), params))
    gather([gathering], cast(Subject, subject))
    return storable(gathering.table()), gathering.arrays
