"""Models whose neurons are planted: which of them carries which objective is known, and every answer follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from harness.condition import Condition
from harness.errors import InputError
from harness.preference import Unit, canonical_json, messages_json
from harness.task import Accumulate, Attach, Capture, Captured, Members, Request, Score, ScoreTable
from harness.testing import planted

SITES = ("mlp", "activation")
"""Where these models have neurons; both names mean the same ones here."""

After = Callable[[np.ndarray, float, np.ndarray], np.ndarray]
"""Scores (units,) under an ablation, from intact scores (units,), the share of neurons held, and standard normal noise
(units,) that depends on the unit and on which neurons are held."""


@dataclass(frozen=True, eq=False)
class NeuronModel:
    """A linear model on neurons, read at the one response token that every unit has.

    The activation of a unit is mean + spread x z + s tuning / 2: z standard normal from the unit's id, s = 1 for a
    chosen reply and -1 for a rejected one, `tuning` by `dataset/subset`, none where that is not named. Its score is
    the sum of weights x activation, plus `noise` x another normal number from its id, which no ablation reaches.
    All arrays are (layers, neurons); `key` tells models apart whose random numbers are to differ.
    """

    weights: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    tuning: Mapping[str, np.ndarray] = field(default_factory=dict)
    noise: float = 0.0
    key: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """(layers, neurons)."""
        return self.weights.shape

    def activations(self, units: Sequence[Unit]) -> np.ndarray:
        """(units, layers, neurons), float64."""
        z = self._draws(units)[:, 1 : 1 + self.weights.size].reshape(-1, *self.shape)
        sides = np.array([1.0 if u.side.startswith("chosen") else -1.0 for u in units])
        shifts = np.stack([np.broadcast_to(self.tuning.get(f"{u.dataset}/{u.subset}", 0.0), self.shape) for u in units])
        return self.mean + self.spread * z + sides[:, None, None] * shifts / 2

    def fixed(self, units: Sequence[Unit]) -> np.ndarray:
        """(units,): the part of each score that is not carried by neurons."""
        return self.noise * self._draws(units)[:, 0]

    def disturbance(self, units: Sequence[Unit], held: np.ndarray) -> np.ndarray:
        """(units,): standard normal numbers that depend on each unit and on the neurons in the mask `held`."""
        latent = self._draws(units)[:, 1 + self.weights.size :]
        return latent[:, held.ravel()].sum(1) / np.sqrt(max(1, held.sum()))

    def _draws(self, units: Sequence[Unit]) -> np.ndarray:
        return np.stack([_normal(f"{self.key}|{u.unit_id}", 1 + 2 * self.weights.size) for u in units])


@lru_cache(maxsize=8192)
def _normal(text: str, size: int) -> np.ndarray:
    """Standard normal numbers that depend on a text alone."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big")).standard_normal(size)


@dataclass(frozen=True)
class PlantedNeurons:
    """Answers requests as a subject of real models does, from `models` by (member, seed), all of one shape.

    A condition holds its neurons at its values; with `after` it acts through that function alone, whatever its
    neurons. A reading's span and skip change nothing, for a unit has one response token. `Capture` is answered
    with nothing. Raises InputError for models of several shapes, a site, a neuron or a reading that is not
    there, and for a request of another kind.
    """

    models: Mapping[tuple[str, int], NeuronModel]
    after: After | None = None

    def __post_init__(self) -> None:
        shapes = {model.shape for model in self.models.values()}
        if len(shapes) != 1:
            raise InputError(f"the members of a subject have layers and neurons of one shape; found {sorted(shapes)}")

    @property
    def members(self) -> Members:
        """(member, seed) of every model."""
        return tuple(self.models)

    def ensure(self, requests: Sequence[Request]) -> None:
        """Nothing to prepare."""

    def answer(self, request: Request) -> Any:
        """The answer in the form `harness.task` documents."""
        if type(request) not in _ANSWERS:
            known = ", ".join(kind.__name__ for kind in _ANSWERS)
            raise InputError(f"PlantedNeurons answers {known}; found a {type(request).__name__}")
        return _ANSWERS[type(request)](self, request)

    def _score(self, request: Score) -> ScoreTable:
        members, names = planted.asked(self.members, request), [c.name for c in request.conditions]
        scores = [self._scores(self.models[m], request.units, request.conditions) for m in members]
        frame = planted.table(request.units, planted.constant, replicate=request.replicate)
        many = frame.iloc[np.repeat(np.arange(len(frame)), len(names) * len(members))].reset_index(drop=True)
        who = pd.DataFrame(list(members) * (len(frame) * len(names)), columns=["member", "seed"])
        values = np.stack(scores, axis=-1).ravel()
        condition = np.tile(np.repeat(np.array(names, object), len(members)), len(frame))
        return many.assign(condition=condition, member=who["member"], seed=who["seed"], score=values, score_raw=values)

    def _scores(self, model: NeuronModel, units: Sequence[Unit], conditions: Iterable[Condition]) -> np.ndarray:
        """(units, conditions)."""
        activations = model.activations(units)
        intact = (activations * model.weights).sum((1, 2)) + model.fixed(units)
        columns = []
        for condition in conditions:
            held, values = _held(condition, model.shape)
            lost = (activations[:, held] - values[held]) @ model.weights[held]
            if self.after is None or not held.any():
                columns.append(intact - lost)
            else:
                columns.append(self.after(intact, float(held.mean()), model.disturbance(units, held)))
        return np.stack(columns, axis=-1)

    def _accumulate(self, request: Accumulate) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        reading = request.reading
        if reading.what not in _READINGS:
            raise InputError(f"unknown reading {reading.what!r} of neurons; known: {', '.join(_READINGS)}")
        _require_site(reading.site)
        counts = {"tokens": np.array(float(len(request.units))), "units": np.array(float(len(request.units)))}
        return {
            member: _READINGS[reading.what](self, member, request) | counts
            for member in planted.asked(self.members, request)
        }

    def base(self, against: str, seed: int) -> NeuronModel:
        """The model of the member called `against` with this seed, or its first; raises InputError without one."""
        seeds = {s: model for (member, s), model in self.models.items() if member == against}
        if not seeds:
            raise InputError(
                f"no member {against!r} to compare with; the subject has {sorted({m for m, _ in self.models})}"
            )
        return seeds.get(seed, next(iter(seeds.values())))

    def _capture(self, request: Capture) -> dict[tuple[str, int], Captured]:
        return {}

    def _attach(self, request: Attach) -> None:
        return None


_ANSWERS: dict[type, Callable[[PlantedNeurons, Any], Any]] = {
    Score: PlantedNeurons._score,
    Accumulate: PlantedNeurons._accumulate,
    Capture: PlantedNeurons._capture,
    Attach: PlantedNeurons._attach,
}


def _require_site(site: str) -> None:
    if site not in SITES:
        raise InputError(f"planted models have no neurons at {site!r}; known: {', '.join(SITES)}")


def _held(condition: Condition, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which neurons a condition holds, and at what: a mask and values, (layers, neurons)."""
    held, values = np.zeros(shape, bool), np.zeros(shape)
    for ablation in condition.ablations:
        _require_site(ablation.site)
        if (ablation.layers >= shape[0]).any() or (ablation.neurons >= shape[1]).any():
            raise InputError(
                f"{condition.name}: a neuron of layer {ablation.layers.max()} or number {ablation.neurons.max()} cannot be "
                f"ablated: the planted model has {shape[0]} layers of {shape[1]} neurons, both counted from 0"
            )
        held[ablation.layers, ablation.neurons] = True
        values[ablation.layers, ablation.neurons] = ablation.values
    return held, values


# --- readings: what `harness.models.accumulate` sums over tokens, here over units -------------------


def _moments(subject: PlantedNeurons, member: tuple[str, int], request: Accumulate) -> dict[str, np.ndarray]:
    a = subject.models[member].activations(request.units)
    found = {"mean": a, "abs_mean": abs(a), "mean_square": a**2, "positive": (a > 0).astype(float)}
    # Added up unit by unit, so that neurons that are equal in every unit are equal in every sum.
    return {name: values.sum(0) / len(a) for name, values in found.items()}


def _attribution(subject: PlantedNeurons, member: tuple[str, int], request: Accumulate) -> dict[str, np.ndarray]:
    model, units, found = subject.models[member], request.units, _moments(subject, member, request)
    total = np.array(request.weights or (1 / len(units),) * len(units))[:, None, None]
    product = (total * model.weights * model.activations(units)).sum(0)
    gradient = (total * model.weights).sum(0)
    attribution = product - found["mean"] * gradient
    return found | {"product": product, "gradient": gradient, "attribution": attribution}


def _sample(subject: PlantedNeurons, member: tuple[str, int], request: Accumulate) -> dict[str, np.ndarray]:
    units = sorted(request.units, key=_digest)
    return {"sample": subject.models[member].activations(units).astype(np.float32)}


def _change(subject: PlantedNeurons, member: tuple[str, int], request: Accumulate) -> dict[str, np.ndarray]:
    models = subject.models[member], subject.base(request.against, member[1])
    after, before = (model.activations(request.units) for model in models)
    parts = {"mean_square": (after - before) ** 2, "abs_mean": np.abs(after), "base_abs_mean": np.abs(before)}
    return {name: part.sum(0) / len(after) for name, part in parts.items()}


def _digest(unit: Unit) -> bytes:
    text = canonical_json(messages_json(unit.conversation))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_READINGS: dict[str, Callable[[PlantedNeurons, tuple[str, int], Accumulate], dict[str, np.ndarray]]] = {
    "moments": _moments,
    "attribution": _attribution,
    "sample": _sample,
    "change": _change,
}
