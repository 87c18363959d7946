"""What every task and every adapter must hold, as two functions that raise AssertionError with the cure."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harness.datasets import DATASETS
from harness.models.base import Adapter, Encoded, PairwiseAdapter, Unencodable
from harness.models.tree import grow
from harness.preference import OBJECTIVES, PreferenceItem, Unit
from harness.task import BASELINES, Attach, Capture, Compare, Metric, Request, Score, Task, baseline_table, pair_rows
from harness.testing import planted
from harness.testing.planted import Members, PlantedSubject

NAME = re.compile(r"[a-z][a-z0-9_]*")
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
FAMILY: Members = tuple((m, 0) for m in ("helpful", "harmless", "mixed", "helpful_half", "harmless_half"))
DRAWS = 20
"""Bootstrap draws while checking: enough to run every line."""

MODELS: Mapping[str, planted.Scorer] = {
    "an oracle": planted.oracle,
    "a constant": planted.constant,
    "noise": planted.noise,
    "a model that fails on every chosen reply": lambda u: None if u.side.startswith("chosen") else 0.0,
}
"""Planted models that `evaluate` must survive, by what they are."""


# --- tasks --------------------------------------------------------------------------------------


def check_task(task: Task, items: Sequence[PreferenceItem] | None = None, *, params: Any = None) -> None:
    """Checks a task against planted models, alone and as a family of five; raises AssertionError naming what does not hold.

    Complete metadata; `steps` deterministic, with unit ids that name one conversation each and do not
    depend on item order; `evaluate` pure (no mutation, no memory, no dependence on row order) and without
    exception on a constant, a failing model and trivial baselines; well-formed metrics. `items` default to
    planted ones that carry the names and objectives of the task's suite, `params` to the task's own with
    few bootstrap draws.
    """
    check_metadata(task)
    data = tuple(suite_items(task) if items is None else items)
    chosen = _few_draws(task.Params()) if params is None else params
    for members in (planted.SINGLE, FAMILY):
        check_steps(task, data, chosen, members)
        check_purity(task, data, chosen, members)
        check_survives(task, data, chosen, members)


def suite_items(task: Task, n: int = 24) -> tuple[PreferenceItem, ...]:
    """Planted items under the dataset, subset and objective names of the task's required suite: `n` pairs and a few of other shapes."""
    rng = np.random.default_rng(0)
    shapes: tuple[dict[str, Any], ...] = (
        {"n": n, "per_cluster": 2},
        {"n": 4, "shape": (1, 3)},
        {"n": 4, "styles": ("concise", "plain", "markdown")},
    )
    required = [name for name in task.meta.suite if not name.endswith("?")]
    names = sorted({place for name in required for place in _places(name)})
    return tuple(
        item
        for dataset, subset, objective in names
        for shape in shapes
        for item in planted.items(rng, dataset=dataset, subset=subset, objective=objective, **shape)
    )


def _places(name: str) -> list[tuple[str, str, str]]:
    """(dataset, subset, objective) of every subset a suite name stands for."""
    dataset, _, subset = name.partition("/")
    if dataset not in DATASETS.names():
        return [(dataset, subset, "other")] if subset else [(dataset, o, o) for o in OBJECTIVES]
    objectives = DATASETS.get(dataset).objectives
    return [(dataset, s, o) for s, o in objectives.items() if subset in ("", s)]


def _few_draws(params: Any) -> Any:
    counts = [f.name for f in dataclasses.fields(params) if f.name.endswith("draws")]
    return dataclasses.replace(params, **dict.fromkeys(counts, DRAWS))


def check_metadata(task: Task) -> None:
    """Name in snake case, version, summary, suite and needs are there; `Params` is a frozen dataclass with defaults."""
    meta = task.meta
    assert NAME.fullmatch(meta.name), f"task name {meta.name!r}: expected ASCII snake case such as 'my_task'"
    for needed in ("version", "summary", "suite", "needs", "main_metrics", "license"):
        assert getattr(meta, needed), f"{meta.name}: TaskMeta.{needed} is empty; every task declares it"
    params = task.Params
    frozen = dataclasses.is_dataclass(params) and params.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen, f"{meta.name}: Params must be a frozen dataclass, found {params.__name__}"
    required = [f.name for f in dataclasses.fields(params) if f.default is f.default_factory is dataclasses.MISSING]
    assert not required, f"{meta.name}: parameters {required} have no default; a task runs without being told any"


def check_steps(task: Task, items: Sequence[PreferenceItem], params: Any, members: Members = planted.SINGLE) -> None:
    """The same requests when replayed; one conversation a unit id; the same ids for items in any order."""
    name = task.meta.name
    first, again, backwards = (_requests(task, data, params, members) for data in (items, items, items[::-1]))
    same = len(first) == len(again) and all(map(_equal, first, again))
    assert same, (
        f"{name}: steps yielded other requests when replayed; on resume it must repeat itself, so seed its draws"
    )
    texts: dict[str, Any] = {}
    for unit in _units(first):
        known = texts.setdefault(unit.unit_id, unit.conversation)
        assert known == unit.conversation, (
            f"{name}: unit id {unit.unit_id!r} names two conversations; make it say which"
        )
    moved = {u.unit_id for u in _units(first)} ^ {u.unit_id for u in _units(backwards)}
    assert not moved, (
        f"{name}: unit ids such as {min(moved)!r} depend on the order of the items; build ids from item ids, "
        "and sort ids before any draw"
    )


@dataclass(frozen=True)
class _Recorder(PlantedSubject):
    """A planted subject that remembers what it was asked."""

    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Any:
        self.asked.append(request)
        return super().answer(request)


def _requests(task: Task, items: Sequence[PreferenceItem], params: Any, members: Members) -> list[Request]:
    subject = _Recorder(planted.noise, members, _features)
    planted.gather_planted(task, items, params, subject)
    return subject.asked


def _features(unit: Unit) -> tuple[float, ...]:
    return planted.noise(unit), planted.oracle(unit) + planted.noise(unit) ** 2, planted.response_words(unit), 1.0


def _units(requests: Sequence[Request]) -> list[Unit]:
    return [unit for request in requests for unit in _UNITS[type(request)](request)]


_UNITS: dict[type, Any] = {
    Score: lambda r: r.units,
    Capture: lambda r: r.units,
    Compare: lambda r: (r.a, r.b),
    Attach: lambda r: (),
}


def _equal(a: Request, b: Request) -> bool:
    if not (isinstance(a, Attach) and isinstance(b, Attach)):
        return a == b
    arrays = a.arrays.keys() == b.arrays.keys() and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)
    return arrays and (a.frame is b.frame if a.frame is None or b.frame is None else a.frame.equals(b.frame))


def check_purity(task: Task, items: Sequence[PreferenceItem], params: Any, members: Members = planted.SINGLE) -> None:
    """`evaluate` leaves table and arrays as they are and gives the same metrics again and on shuffled rows."""
    where = f"{task.meta.name} ({len(members)} members)"
    table, arrays = planted.gather_planted(task, items, params, PlantedSubject(planted.noise, members, _features))
    before, arrays_before = table.copy(deep=True), {k: v.copy() for k, v in arrays.items()}
    first = task.evaluate(table, arrays, params)
    pd.testing.assert_frame_equal(table, before, obj=f"{where}: evaluate changed its table; copy first. The table")
    unchanged = arrays.keys() == arrays_before.keys() and all(
        np.array_equal(arrays[k], v, equal_nan=v.dtype.kind == "f") for k, v in arrays_before.items()
    )
    assert unchanged, f"{where}: evaluate changed its arrays; copy first"
    _assert_same(first, task.evaluate(table, arrays, params), f"{where}: evaluate gave other numbers when called again")
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    _assert_same(first, task.evaluate(shuffled, arrays, params), f"{where}: evaluate depends on the order of the rows")


def check_survives(task: Task, items: Sequence[PreferenceItem], params: Any, members: Members = planted.SINGLE) -> None:
    """`evaluate` raises nothing on the models in `MODELS` and on the trivial baselines, and its metrics are well-formed."""
    tables: dict[str, Any] = {
        model: planted.gather_planted(task, items, params, PlantedSubject(score, members, _features))
        for model, score in MODELS.items()
    }
    scored, _ = tables["a constant"]
    tables |= {f"the baseline {name}": (baseline_table(scored, name), {}) for name in BASELINES}
    for model, (table, arrays) in tables.items():
        where = f"{task.meta.name} on {model} ({len(members)} members)"
        try:
            rows = task.evaluate(table, arrays, params)
        except Exception as error:
            raise AssertionError(f"{where}: evaluate raised {type(error).__name__}: {error}; give a null") from error
        check_metrics(rows, where)


def check_metrics(rows: Sequence[Metric], where: str = "metrics") -> None:
    """Unique keys, ASCII names, finite values or null with a reason, proportions within 0 and 1, intervals that lie the right way."""
    keys = [m.key for m in rows]
    twice = sorted({str(k) for k in keys if keys.count(k) > 1}) if len(set(keys)) < len(keys) else []
    assert not twice, f"{where}: {twice[0]} comes twice; a name with its dims is one row"
    for m in rows:
        at = f"{where}: metric {m.name} {dict(m.dims)}"
        assert METRIC_NAME.fullmatch(m.name), f"{at}: expected an ASCII name such as 'acc_helpful'"
        assert m.value is not None or m.reason, f"{at} is null without a reason; say why it is undefined"
        numbers = {"value": m.value, "se": m.se, "p": m.p, "p_holm": m.p_holm, "q_bh": m.q_bh}
        bad = {k: v for k, v in numbers.items() if v is not None and not math.isfinite(v)}
        assert not bad, f"{at}: {bad} is not finite; undefined is null with a reason"
        outside = {k: v for k, v in numbers.items() if k not in ("value", "se") and v is not None and not 0 <= v <= 1}
        assert not outside, f"{at}: {outside} lies outside 0 to 1"
        inside = m.unit != "proportion" or m.value is None or 0 <= m.value <= 1
        assert inside, f"{at}: {m.value} is outside 0 to 1; proportions are fractions, differences have unit pp"
        assert m.ci is None or m.ci.low <= m.ci.high, f"{at}: interval {m.ci} has its ends exchanged or undefined"


def _assert_same(a: Sequence[Metric], b: Sequence[Metric], text: str) -> None:
    first, second = ({m.key: m for m in rows} for rows in (a, b))
    different = first.keys() ^ second.keys()
    assert not different, f"{text}: {sorted(map(str, different))[0]} is in one of them only"
    for key, m in first.items():
        assert _close(m.value, second[key].value), f"{text}: {key} was {m.value}, then {second[key].value}"
        ends, others = ((x.ci.low, x.ci.high) if x.ci else (None, None) for x in (m, second[key]))
        same = all(map(_close, ends, others)) and _close(m.p, second[key].p)
        assert same, f"{text}: interval or p of {key} was {m.ci}, {m.p}, then {second[key].ci}, {second[key].p}"


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


# --- adapters -----------------------------------------------------------------------------------


def check_adapter(adapter: Adapter, units: Sequence[Unit], *, atol: float = 1e-5) -> None:
    """Checks a loaded adapter on `units` (of different lengths, at least three encodable); raises AssertionError.

    `encode` gives one Encoded or Unencodable a unit, the same each time and whatever stands beside it;
    `forward` gives finite float32 outputs (batch, heads) that agree within `atol` between one padded batch,
    the reversed batch, one at a time and, up to `shares` tokens, a row that shares prefixes; `raw_score` gives one finite number each; `head_input`, where the
    adapter shows hidden states, has one row a unit. Use float32 weights.
    """
    name = type(adapter).__qualname__
    encoded = _check_encode(adapter, units, name)
    usable = [e for e in encoded if isinstance(e, Encoded)]
    errors = sorted({e.error for e in encoded if isinstance(e, Unencodable)})
    assert len(usable) >= 3, (
        f"{name}: only {len(usable)} units could be encoded ({'; '.join(errors)}); give at least three"
    )
    batch = _outputs(adapter, usable, name)
    _assert_near(
        batch, _outputs(adapter, usable[::-1], name)[::-1], atol, f"{name}: outputs depend on the order in a batch"
    )
    alone = np.concatenate([_outputs(adapter, [e], name) for e in usable])
    _assert_near(batch, alone, atol, f"{name}: a padded batch is not scored as one at a time; check mask and pooling")
    _check_sharing(adapter, usable, alone, atol, name)
    scores = np.asarray(adapter.raw_score(adapter.spec, batch))
    assert scores.shape == (len(usable),), f"{name}: raw_score gave shape {scores.shape}, expected ({len(usable)},)"
    assert np.isfinite(scores).all(), f"{name}: raw_score is not finite"
    if isinstance(adapter, PairwiseAdapter):
        assert ((scores >= 0) & (scores <= 1)).all(), (
            f"{name}: a preference must be a probability, found {scores.min()} to {scores.max()}"
        )
    if "hidden_states" in adapter.capabilities:
        states = adapter.forward(usable, frozenset({"head_input"})).captures.get("head_input")
        assert states is not None, f"{name}: offers hidden_states but forward captured no head_input"
        assert states.ndim == 2, f"{name}: head_input has shape {states.shape}, expected (units, width)"
        assert len(states) == len(usable), f"{name}: head_input has shape {states.shape}"


def _check_sharing(adapter: Adapter, usable: Sequence[Encoded], alone: np.ndarray, atol: float, name: str) -> None:
    """Texts within the adapter's own limit, in one row that shares their prefixes, are scored as one at a time."""
    fitting = [i for i, e in enumerate(usable) if e.type_ids is None and len(e) <= adapter.shares]
    if len(fitting) < 2:
        return
    tree = grow([usable[i] for i in fitting])
    place = {id(usable[i]): i for i in fitting}
    found = adapter.forward_trees([tree]).outputs
    expected = alone[[place[id(text)] for text in tree.texts]]
    _assert_near(found, expected, atol, f"{name}: shares is {adapter.shares}, but texts in one row change each other")


def _check_encode(adapter: Adapter, units: Sequence[Unit], name: str) -> list[Encoded | Unencodable]:
    asked: Sequence[Any] = units
    encode: Any = adapter.encode
    if isinstance(adapter, PairwiseAdapter):
        asked, encode = [(p.a, p.b) for p in pair_rows(units)], adapter.encode_pairs
    first, again, backwards = encode(asked), encode(asked), encode(asked[::-1])[::-1]
    assert len(first) == len(asked), (
        f"{name}: encode gave {len(first)} answers to {len(asked)} units; refuse with Unencodable"
    )
    digests = [_digest(e) for e in first]
    assert digests == [_digest(e) for e in again], f"{name}: encode is not deterministic"
    assert digests == [_digest(e) for e in backwards], f"{name}: encode depends on the order of the units"
    assert digests == [_digest(encode([u])[0]) for u in asked], f"{name}: encode depends on the other units"
    return first


def _digest(encoded: Encoded | Unencodable) -> Any:
    return encoded.digest() if isinstance(encoded, Encoded) else encoded.error


def _outputs(adapter: Adapter, batch: Sequence[Encoded], name: str) -> np.ndarray:
    outputs = adapter.forward(batch).outputs
    shape = outputs.shape
    assert len(shape) == 2, f"{name}: outputs have shape {shape}, expected ({len(batch)}, heads)"
    assert shape[0] == len(batch), f"{name}: outputs have shape {shape}, expected ({len(batch)}, heads)"
    assert outputs.dtype == np.float32, f"{name}: outputs are {outputs.dtype}, expected float32"
    assert np.isfinite(outputs).all(), f"{name}: outputs are not finite"
    return outputs


def _assert_near(a: np.ndarray, b: np.ndarray, atol: float, text: str) -> None:
    worst = float(np.abs(a - b).max())
    assert worst <= atol, f"{text}: largest difference {worst:.2g}, allowed {atol:.2g}"
