"""Features of many replies at once.

A new feature is a decorated function of (prompt text, reply) in a module imported here, or in a plugin:

    @feature("spoiler", "binary")
    def ellipsis(prompt: str, reply: str) -> float:
        "1 where the reply trails off, else 0."
        return float("..." in reply)

Another distribution can offer a `Feature` as an entry point of the group `reward_harness.features`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import pandas as pd

from harness.errors import InputError
from harness.text import (  # noqa: F401  (importing them registers their features)
    phrases,
    readability,
    refusals,
    sentiment,
    surface,
    toxicity,
)
from harness.text.feature import FEATURES, Feature, feature

__all__ = ["FEATURES", "STANDARD", "Feature", "feature", "featurize"]

STANDARD = (
    "log_words", "sentence_count", "readability", "lexical_diversity", "digits_urls", "overlap", "toxicity",
    "refusal_on_harmful", "refusal_on_benign", "hedging", "politeness", "first_person", "sentiment", "question",
    "exclamation", "lists", "headings", "bold", "code",
)  # fmt: skip
"""The features of a regression: a fixed list, so that what a price is adjusted for does not depend on what else is
installed. Length comes first; `refusal` is the sum of its two kinds and therefore not in it."""


class Turn(Protocol):
    """What is read of a message."""

    @property
    def content(self) -> str:
        """Its text."""
        ...


class Reply(Protocol):
    """What is read of a unit: its id, and its messages with the reply last."""

    @property
    def unit_id(self) -> str:
        """Identity of the row."""
        ...

    @property
    def conversation(self) -> Sequence[Turn]:
        """The messages in order."""
        ...


def featurize(units: Iterable[Reply], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Feature values of units: one row a unit, `unit_id` and a float column `x_{name}` for each name (default: all,
    in the order of their names).

    The prompt a feature sees is every message before the last, joined by line breaks. Raises UnknownNameError for
    a name that is not registered and InputError for two features of one column.
    """
    chosen = [FEATURES.get(name) for name in (FEATURES.names() if names is None else names)]
    columns = [f.column for f in chosen]
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise InputError(f"two features are called {twice[0].removeprefix('x_')!r}: name one of them, once")
    rows = []
    for unit in units:
        *before, last = (turn.content for turn in unit.conversation)
        prompt = "\n".join(before)
        rows.append((unit.unit_id, *(f.function(prompt, last) for f in chosen)))
    return pd.DataFrame(rows, columns=["unit_id", *columns])
