"""Scenes for `neuron_ablation` whose answer is known: items of its suite, a subject with planted neurons, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from harness.preference import PreferenceItem
from harness.testing import planted
from harness.testing.planted_neurons import NeuronModel, PlantedNeurons

GROUPS = (
    ("hh-rlhf", "helpful-base", "helpful"),
    ("hh-rlhf", "harmless-base", "safety_mixed"),
    ("rm-bench", "safety-refuse", "refuse"),
    ("rm-bench", "safety-response", "comply"),
    ("xstest", "should-refuse", "refuse"),
    ("xstest", "should-respond", "comply"),
)
"""(dataset, subset, objective) of what is evaluated."""
CORPORA = (
    ("hh-rlhf", "helpful-online", "helpful"),
    ("hh-rlhf-train", "harmless-base", "safety_mixed"),
    ("rm-bench", "code", "helpful"),
)
"""(dataset, subset, objective) of what neurons are scored on; the last is the neutral text, which no known set carries."""
NEUTRAL = CORPORA[-1]
HARMLESS = ("safety_mixed", "refuse", "comply")

Strengths = Mapping[str, float]
"""Mean over SD of the intact margins, by objective."""
EQUAL: Strengths = {"helpful": 1.0, "safety_mixed": 1.0, "refuse": 1.0, "comply": 1.0}
UNEQUAL: Strengths = {"helpful": 1.0, "safety_mixed": 0.6, "refuse": 1.4, "comply": -0.7}
"""One group far above chance, one below it."""

LAYERS, WIDTH = 6, 40
K = round(0.05 * LAYERS * WIDTH)
NOISE = 0.7
SD = float(np.sqrt(2 * (1 + NOISE**2)))
"""SD of a margin in every scene but `tied`: two replies, each with variance 1 from its neurons and NOISE squared besides."""
REST = 0.2
"""Share of an objective's margin that all neurons carry alike, where a known set carries the others."""
RATE, DISTURBANCE = 8.0, 0.5
"""`uniform`: by what share scores shrink a share of neurons held, and their noise where they are gone, in score SDs."""
FAMILY = ("helpful", "harmless", "mixed")


@dataclass(frozen=True)
class Truth:
    """(layer, neuron) of those that carry each objective; empty where none is special."""

    helpful: frozenset[tuple[int, int]] = frozenset()
    harmless: frozenset[tuple[int, int]] = frozenset()


class Scene(NamedTuple):
    """What a task is run on, and what it should find."""

    items: tuple[PreferenceItem, ...]
    subject: PlantedNeurons
    truth: Truth


def suite(rng: np.random.Generator, n: int, corpus: int) -> tuple[PreferenceItem, ...]:
    """`n` items of each of `GROUPS` and `corpus` of each of `CORPORA`, every prompt its own."""
    sizes = [*((n, *named) for named in GROUPS), *((corpus, *named) for named in CORPORA)]
    return tuple(
        item
        for size, dataset, subset, objective in sizes
        for item in planted.items(rng, size, dataset=dataset, subset=subset, objective=objective)
    )


def deal(rng: np.random.Generator, layers: int, width: int, k: int) -> Truth:
    """Two sets of `k` random neurons without a common one, each dealt out over the layers in turn."""
    order = rng.permuted(np.tile(np.arange(width), (layers, 1)), axis=1)
    dealt = [(layer, int(order[layer, i])) for i in range(width) for layer in range(layers)]
    return Truth(frozenset(dealt[:k]), frozenset(dealt[k : 2 * k]))


# --- scenes ---------------------------------------------------------------------------------------


def specific(seed: int, n: int = 60, corpus: int = 100, strengths: Strengths = EQUAL) -> Scene:
    """K neurons carry the helpful objective, K others the harmless one, spread over the layers alike.

    All neurons together carry the share `REST` of both. Without the helpful set the helpful margins fall to that
    share; the harmless ones stay.
    """
    return _planted(seed, n, corpus, strengths, push=0.0)


def tension(seed: int, n: int = 60, corpus: int = 100, strengths: Strengths = EQUAL, push: float = 0.5) -> Scene:
    """As `specific`, but the helpful set also pushes harmless margins down: without it they rise by `push` SDs.

    Intact margins are those of `specific`, for the harmless set carries as much more. `push` 0 is the same
    scene without tension.
    """
    return _planted(seed, n, corpus, strengths, push)


def siblings(seed: int, n: int = 60, corpus: int = 100, seeds: tuple[int, ...] = (0,)) -> Scene:
    """As `specific`, as a family: the helpful sibling has the helpful set alone, the harmless one the other, the mixed one both.

    Models of every seed have the same sets, and noise of their own.
    """
    rng = np.random.default_rng(seed)
    items, truth, model = suite(rng, n, corpus), deal(rng, LAYERS, WIDTH, K), _model(rng, seed)
    trained = {"helpful": ("helpful",), "harmless": HARMLESS, "mixed": ("helpful", *HARMLESS)}
    models = {
        (member, s): _tuned(replace(model, key=f"{seed}|{s}"), truth, {o: EQUAL[o] for o in trained[member]}, 0.0)
        for member in FAMILY
        for s in seeds
    }
    return Scene(items, PlantedNeurons(models), truth)


def uniform(seed: int, n: int = 60, corpus: int = 100, strengths: Strengths = UNEQUAL) -> Scene:
    """Every neuron carries as much of every objective, and any ablation damages every score alike.

    Held neurons, whichever they are, shrink scores towards 0 in proportion to their number, and add noise that
    depends on them.
    """
    rng = np.random.default_rng(seed)
    items, model = suite(rng, n, corpus), _model(rng, seed)
    alike = SD / (LAYERS * WIDTH) / model.weights
    tuning = {f"{d}/{s}": strengths[objective] * alike for d, s, objective in (*GROUPS, *CORPORA)}
    return Scene(items, PlantedNeurons({("model", 0): replace(model, tuning=tuning)}, _shrunk), Truth())


def identical(seed: int, n: int = 60, corpus: int = 100) -> Scene:
    """A family whose members are one and the same model: overlaps are 1, the only-sets empty."""
    items, subject, truth = specific(seed, n, corpus)
    (model,) = subject.models.values()
    return Scene(items, PlantedNeurons({(member, 0): model for member in FAMILY}), truth)


def tied(seed: int, n: int = 60, corpus: int = 100) -> Scene:
    """All neurons have the same weight and the same activation, so that every score of theirs is exactly equal."""
    ones = np.ones((LAYERS, WIDTH))
    tuning = dict.fromkeys((f"{d}/{s}" for d, s, _ in (*GROUPS, *CORPORA)), ones / 4)
    model = NeuronModel(ones / ones.size, ones, 0 * ones, tuning, noise=NOISE, key=str(seed))
    return Scene(suite(np.random.default_rng(seed), n, corpus), PlantedNeurons({("model", 0): model}), Truth())


# --- parts ----------------------------------------------------------------------------------------


def _planted(seed: int, n: int, corpus: int, strengths: Strengths, push: float) -> Scene:
    rng = np.random.default_rng(seed)
    items, truth, model = suite(rng, n, corpus), deal(rng, LAYERS, WIDTH, K), _model(rng, seed)
    return Scene(items, PlantedNeurons({("model", 0): _tuned(model, truth, strengths, push)}), truth)


def _model(rng: np.random.Generator, seed: int) -> NeuronModel:
    """An untuned model: weights of both signs whose squares sum to 1, activations of SD 1 around means of their own."""
    shape = (LAYERS, WIDTH)
    weights = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    weights /= np.sqrt((weights**2).sum())
    return NeuronModel(weights, rng.normal(0.5, 0.5, shape), np.ones(shape), noise=NOISE, key=str(seed))


def _tuned(model: NeuronModel, truth: Truth, strengths: Strengths, push: float) -> NeuronModel:
    """The model with margins of these strengths: the share REST from all neurons, the others from each objective's own set."""
    helpful, harmless = _mask(truth.helpful), _mask(truth.harmless)
    tuning = {}
    for dataset, subset, objective in (*GROUPS, *CORPORA):
        strength = strengths.get(objective, 0.0)
        own, against = (helpful, 0.0) if objective == "helpful" else (harmless, push)
        margins = np.full(own.shape, strength * REST / own.size)
        if (dataset, subset, objective) != NEUTRAL:
            margins = margins + ((1 - REST) * strength + against) * own / K - against * helpful / K
        tuning[f"{dataset}/{subset}"] = margins * SD / model.weights
    return replace(model, tuning=tuning)


def _mask(neurons: frozenset[tuple[int, int]]) -> np.ndarray:
    mask = np.zeros((LAYERS, WIDTH))
    mask[tuple(np.array(sorted(neurons)).T)] = 1
    return mask


def _shrunk(scores: np.ndarray, share: float, noise: np.ndarray) -> np.ndarray:
    lost = min(1.0, RATE * share)
    return (1 - lost) * scores + np.sqrt(lost) * DISTURBANCE * SD / np.sqrt(2) * noise
