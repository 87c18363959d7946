"""A real transformer with planted neurons: known ones detect marker words in the context and move the score, no others do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness.errors import InputError
from harness.preference import PreferenceItem
from harness.testing.planted_scenes import NEUTRAL, Truth, deal, suite
from harness.testing.tiny import WORDS, tiny_model

MARKERS = {"helpful": ("good", "learn", "tell"), "harmless": ("sorry", "not", "no")}
"""Words that the neurons of each objective detect; each is one token."""
FILLERS = tuple(sorted({w for w in WORDS.split() if len(w) > 2} - {w for words in MARKERS.values() for w in words}))

LAYERS, WIDTH = 4, 60
K = round(0.05 * LAYERS * WIDTH)
CONSTANT, MARKS, VOTE, READ, BALANCE = 0, (1, 2), 3, 4, 5
"""Places in the residual stream: 1 in every token; 1 in marker words of each objective; a token's vote; the score; minus
the sum of the others."""
RESERVED = (CONSTANT, *MARKS, VOTE, READ, BALANCE)
SMALL, TASTE, GATHER, READOUT = 0.05, 0.1, 0.5, 20.0
"""Scale of the random weights, and of the vote of a word as such; gains of the last attention and of the head."""


# --- items ----------------------------------------------------------------------------------------


def marked_items(rng: np.random.Generator, n: int, corpus: int, words: int = 14) -> tuple[PreferenceItem, ...]:
    """The items of `planted_scenes.suite` in words the models know: `words` a reply, 3 to 5 of them markers in a chosen one.

    A rejected reply has 0 or 1. Markers are those of the helpful objective where the item's is, else of the harmless one;
    the neutral text has none.
    """
    return tuple(_marked(rng, item, words) for item in suite(rng, n, corpus))


def _marked(rng: np.random.Generator, item: PreferenceItem, words: int) -> PreferenceItem:
    neutral = (item.dataset, item.subset, item.objective) == NEUTRAL
    markers = MARKERS["helpful" if item.objective == "helpful" else "harmless"]
    many, few = (0, 0) if neutral else (int(rng.integers(3, 6)), int(rng.integers(0, 2)))
    return replace(item, chosen=(_reply(rng, markers, many, words),), rejected=(_reply(rng, markers, few, words),))


def _reply(rng: np.random.Generator, markers: Sequence[str], count: int, words: int) -> str:
    first, *others = rng.choice(FILLERS, words - count)  # some tokenizers break the first word of a reply into pieces
    drawn = rng.permutation([*rng.choice(markers, count), *others])
    return " ".join([str(first), *map(str, drawn)])


# --- models ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """The weights of a model that are planted in, as (outputs, inputs).

    `attention` has (query, key, value, out) of every layer, `mlp` (in, out), `gates` the gate of every MLP that has one;
    `head` is a chain of matrices from the last state to the score.
    """

    embedding: Any
    attention: tuple[tuple[Any, ...], ...]
    mlp: tuple[tuple[Any, ...], ...]
    head: tuple[Any, ...]
    gates: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """A family of `tiny`, its template, and how its parts are found."""

    family: str
    template: str | dict[str, str]
    parts: Callable[[Any], Parts]
    write: float
    """How much a planted neuron adds to a vote for one unit of its activation."""


def _weights(modules: Sequence[Any], *paths: str) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(module.get_submodule(path).weight for path in paths) for module in modules)


def _llama(model: Any) -> Parts:
    layers = model.model.layers
    return Parts(
        model.model.embed_tokens.weight,
        _weights(layers, *(f"self_attn.{name}_proj" for name in "qkvo")),
        _weights(layers, "mlp.up_proj", "mlp.down_proj"),
        (model.score.weight,),
        tuple(gate for (gate,) in _weights(layers, "mlp.gate_proj")),
    )


def _bert(model: Any) -> Parts:
    layers = model.bert.encoder.layer
    inner = tuple(f"attention.self.{name}" for name in ("query", "key", "value"))
    return Parts(
        model.bert.embeddings.word_embeddings.weight,
        _weights(layers, *inner, "attention.output.dense"),
        _weights(layers, "intermediate.dense", "output.dense"),
        (model.bert.pooler.dense.weight, model.classifier.weight),
    )


ARCHITECTURES = {
    "llama": Architecture("llama-sp", "tokenizer", _llama, 0.006),
    "bert": Architecture("bert", {"pair": "plain"}, _bert, 0.03),
}


def planted_transformer(path: Path, architecture: str = "llama", seed: int = 0) -> Truth:
    """Write a transformer of `LAYERS` x `WIDTH` neurons with two planted sets of K to `path`, as `tiny_model` does; returns the sets.

    Every token has a vote: a number of its own, which no ablation reaches, and what planted neurons of all layers but
    the last add where it is a marker word of their objective. The last layer's attention averages the votes to where the
    head reads. All other weights are small and random. With `reward_model.yaml`, so that `harness.models.resolve`
    finds how to score.
    Raises InputError for an architecture that is not in `ARCHITECTURES`.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if architecture not in ARCHITECTURES:
        raise InputError(f"no planted transformer {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    kind = ARCHITECTURES[architecture]
    sizes: dict[str, Any] = {"num_hidden_layers": LAYERS, "intermediate_size": WIDTH, "initializer_range": SMALL}
    tiny_model(path, kind.family, seed=seed, **sizes)
    model = AutoModelForSequenceClassification.from_pretrained(path)
    rng = np.random.default_rng(seed)
    truth = deal(rng, LAYERS - 1, WIDTH, K)
    _plant(rng, kind.parts(model), kind.write, AutoTokenizer.from_pretrained(path), truth)
    model.save_pretrained(path)
    spec = {"model": ".", "adapter": "sequence-classification", "template": kind.template, "dtype": "float32"}
    (path / "reward_model.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return truth


def _plant(rng: np.random.Generator, parts: Parts, write: float, tokenizer: Any, truth: Truth) -> None:
    """Change the weights in place."""
    import torch

    with torch.no_grad():
        _embed(rng, parts.embedding, tokenizer)
        for reads in (*(value for _, _, value, _ in parts.attention), *(into for into, _ in parts.mlp), *parts.gates):
            reads[:, RESERVED] = 0
        for mark, neurons in zip(MARKS, (truth.helpful, truth.harmless), strict=True):
            for layer, neuron in neurons:
                _plant_neuron(parts, layer, neuron, mark, write)
        _gather(parts)


def _embed(rng: np.random.Generator, embedding: Any, tokenizer: Any) -> None:
    """The constant in every token, noise and a vote in every word, a mark instead of both in marker words.

    Noise and votes of the words are 0 on average, and every row adds up to 0: else more markers in a reply would
    be a difference that other neurons and the norms of layers see.
    """
    import torch

    def ids(words: Sequence[str]) -> list[int]:
        return [tokenizer.encode(word, add_special_tokens=False)[0] for word in words]

    embedding[:, RESERVED] = 0
    embedding[:] = torch.nn.functional.normalize(embedding)
    embedding[ids(FILLERS), VOTE] = torch.from_numpy(rng.normal(0, TASTE, len(FILLERS))).to(embedding.dtype)
    embedding[ids(FILLERS)] -= embedding[ids(FILLERS)].mean(0)
    for mark, words in zip(MARKS, MARKERS.values(), strict=True):
        embedding[ids(words)] = 0
        embedding[ids(words), mark] = 1
    embedding[:, CONSTANT] = 1
    embedding[:, BALANCE] -= embedding.sum(1)


def _plant_neuron(parts: Parts, layer: int, neuron: int, mark: int, write: float) -> None:
    """Read the mark alone, write to the vote alone; a gate is open for every token."""
    reads, writes = parts.mlp[layer]
    reads[neuron] = 0
    reads[neuron, mark] = 1
    writes[:, neuron] = 0
    writes[VOTE, neuron] = write
    for gate in parts.gates[layer : layer + 1]:
        gate[neuron] = 0
        gate[neuron, CONSTANT] = 1


def _gather(parts: Parts) -> None:
    """A last attention that looks everywhere alike and moves the votes to where the head reads, and that head."""
    query, key, value, out = parts.attention[-1]
    for weight in (query, key, value, *parts.head):
        weight[:] = 0
    value[0, VOTE] = GATHER
    out[READ] = 0
    out[READ, 0] = 1
    for matrix, place in zip(parts.head, (READ, 0), strict=False):
        matrix[0, place] = 1
    parts.head[-1][0] *= READOUT
