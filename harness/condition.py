"""Named interventions on a model's neurons: plain data, and part of the key of every score made under them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.errors import InputError

NO_INTERVENTION = "none"


@dataclass(frozen=True, eq=False)
class Ablation:
    """Neurons held at fixed values at every token: 0 is zero ablation, a neuron's mean is mean ablation.

    `layers`, `neurons` (counted from 0, int32) and `values` (in units of the activation, float32) have one
    entry a neuron; any sequences are taken, and kept as read-only arrays. `site` is where in a layer the
    neurons are, a name in `harness.models.sites.SITES`. Raises InputError for unequal lengths, numbers
    that are no layer or neuron, a neuron named twice, or a value that is not finite in float32.
    """

    layers: np.ndarray
    neurons: np.ndarray
    values: np.ndarray
    site: str = "mlp"

    def __post_init__(self) -> None:
        kept = {
            "layers": _numbers("layers", self.layers),
            "neurons": _numbers("neurons", self.neurons),
            "values": _finite(self.values),
        }
        shapes = {name: array.shape for name, array in kept.items()}
        if len(set(shapes.values())) > 1 or kept["layers"].ndim != 1:
            raise InputError(f"an ablation needs one layer, neuron and value a neuron; found arrays of shape {shapes}")
        _require_distinct(kept["layers"], kept["neurons"])
        for name, array in kept.items():
            array.setflags(write=False)  # a digest of something that changes would be wrong
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.layers)


@dataclass(frozen=True, eq=False)
class Condition:
    """An intervention with a name: any number of ablations, or none of them for the unchanged model.

    `ablations` are kept in canonical form, one a site, sorted by layer and neuron, without empty ones.
    Two conditions are equal if their keys are. Raises InputError for an empty name, for `none` with
    ablations, and for a neuron that two ablations name.
    """

    name: str
    ablations: tuple[Ablation, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("a condition has an empty name; give it one, such as 'ablate/only_helpful@5'")
        if self.name == NO_INTERVENTION and self.ablations:
            raise InputError("the condition 'none' is the unchanged model; give one with ablations another name")
        object.__setattr__(self, "ablations", _canonical(self.ablations))

    @cached_property
    def digest(self) -> str:
        """Sha256, hex, over what is held at which value; neither the name nor the order of naming matters."""
        h = hashlib.sha256()
        for a in self.ablations:
            h.update(f"{a.site}|{len(a)}|".encode())
            for array, kind in ((a.layers, "<i4"), (a.neurons, "<i4"), (a.values, "<f4")):
                h.update(array.astype(kind).tobytes())
        return h.hexdigest()

    @cached_property
    def key(self) -> str:
        """What enters the key of a score: `none` for the unchanged model, else name and digest."""
        return NO_INTERVENTION if self.name == NO_INTERVENTION else f"{self.name}|{self.digest}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _canonical(ablations: Iterable[Ablation]) -> tuple[Ablation, ...]:
    """One ablation a site, sites by name, neurons by layer and number; the merged one checks itself for doubles."""
    by_site: dict[str, list[Ablation]] = {}
    for a in ablations:
        if len(a):
            by_site.setdefault(a.site, []).append(a)
    merged = []
    for site, parts in sorted(by_site.items()):
        layers, neurons, values = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("layers", "neurons", "values")
        )
        order = np.lexsort((neurons, layers))
        merged.append(Ablation(layers[order], neurons[order], values[order], site))
    return tuple(merged)


def _numbers(name: str, given: object) -> np.ndarray:
    """`given` as int32, refusing what a cast would silently change."""
    exact = np.asarray(given)
    with np.errstate(invalid="ignore"):
        numbers = exact.astype(np.int32)
    if not np.array_equal(exact, numbers) or (numbers < 0).any():
        raise InputError(f"{name} of an ablation are whole numbers from 0; found {exact}")
    return numbers


def _finite(given: object) -> np.ndarray:
    """`given` as float32, with one zero: -0.0 holds a neuron at the same value as 0.0."""
    with np.errstate(over="ignore"):
        values = np.array(given, np.float32) + np.float32(0)
    if not np.isfinite(values).all():
        raise InputError(f"values of an ablation are finite float32 numbers; found {np.asarray(given)}")
    return values


def _require_distinct(layers: np.ndarray, neurons: np.ndarray) -> None:
    codes, counts = np.unique(layers.astype(np.int64) << 32 | neurons, return_counts=True)
    twice = codes[counts > 1]
    if len(twice):
        layer, neuron = divmod(int(twice[0]), 1 << 32)
        raise InputError(f"neuron {neuron} of layer {layer} is ablated twice; name every neuron once")


NONE = Condition(NO_INTERVENTION)
