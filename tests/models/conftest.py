"""Tiny models, each written once a session, and short ways to say a conversation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from harness.preference import Message, Unit
from harness.testing.tiny import tiny_language_model, tiny_model

Tiny = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """`tiny(family, **settings)`: the folder of a tiny model; not to be written into."""
    made: dict[Any, Path] = {}

    def make(family: str = "bert", **settings: Any) -> Path:
        key = (family, repr(sorted(settings.items())))
        if key not in made:
            made[key] = tiny_model(tmp_path_factory.mktemp(family) / family, family, **settings)
        return made[key]

    return make


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """`tiny_lm(family, **settings)`: the folder of a tiny language model; not to be written into."""
    made: dict[Any, Path] = {}

    def make(family: str = "llama", **settings: Any) -> Path:
        key = (family, repr(sorted(settings.items())))
        if key not in made:
            made[key] = tiny_language_model(tmp_path_factory.mktemp(family) / family, family, **settings)
        return made[key]

    return make


@pytest.fixture(scope="session")
def load(tiny: Any):
    """`load(family, **settings)`: a tiny model; not to be changed."""
    made: dict[Any, Any] = {}

    def get(family: str, **settings: Any) -> Any:
        key = (family, repr(settings))
        if key not in made:
            made[key] = AutoModelForSequenceClassification.from_pretrained(
                tiny(family, **settings), dtype=torch.float32
            )
        return made[key].eval()

    return get


def talk(*contents: str) -> tuple[Message, ...]:
    """A conversation that ends with the assistant: user and assistant in turn."""
    roles = ["user", "assistant"] * len(contents)
    return tuple(Message(r, c) for r, c in zip(roles[len(contents) % 2 :], contents, strict=False))


def unit(*contents: str, item: str = "item", side: str = "chosen") -> Unit:
    """A unit with that conversation."""
    return Unit(f"{item}#{side}", item, "cluster", "data", "subset", "helpful", side, talk(*contents))
