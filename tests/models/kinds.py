"""One tiny model of every kind, written to a folder when asked for: what is tried on all kinds alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.models.spec import Heads, ModelSpec
from harness.testing.tiny import tiny_model

Build = Callable[[Path], ModelSpec]

KINDS: dict[str, Build] = {}
"""By the letter of the catalogue and what it is: writes a model below a folder and returns the spec that scores with it."""


def kind(name: str) -> Callable[[Build], Build]:
    """Enter a builder under a name."""

    def enter(build: Build) -> Build:
        assert name not in KINDS, f"two kinds are called {name!r}"
        KINDS[name] = build
        return build

    return enter


@kind("A1 decoder classifier")
def decoder_classifier(folder: Path) -> ModelSpec:
    return ModelSpec(model=str(tiny_model(folder / "llama", "llama")), template="tokenizer")


@kind("A2 encoder, pair of texts")
def encoder_pair(folder: Path) -> ModelSpec:
    return ModelSpec(model=str(tiny_model(folder / "deberta", "deberta-v2")), template={"pair": "plain"})


@kind("A4 encoder, one text")
def encoder_text(folder: Path) -> ModelSpec:
    return ModelSpec(model=str(tiny_model(folder / "modernbert", "modernbert")), template="hh")


@kind("B1 several labels")
def several_labels(folder: Path) -> ModelSpec:
    path = tiny_model(folder / "neox", "gpt-neox", num_labels=3)
    return ModelSpec(model=str(path), template="tokenizer", heads=Heads(weights=(1.0, 0.5, -1.0)))
