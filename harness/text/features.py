"""Features of many replies at once.

A new feature is a decorated function of (prompt text, reply) in a module imported here, or in a plugin:

    @feature("spoiler", "binary")
    def ellipsis(prompt: str, reply: str) -> float:
        "1 where the reply trails off, else 0."
        return float("..." in reply)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import pandas as pd

from harness.text import phrases, sentiment, surface  # noqa: F401  (importing them registers their features)
from harness.text.feature import FEATURES, Feature, feature

__all__ = ["FEATURES", "Feature", "feature", "featurize"]


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
    a name that is not registered.
    """
    chosen = [FEATURES.get(name) for name in (FEATURES.names() if names is None else names)]
    rows = []
    for unit in units:
        *before, last = (turn.content for turn in unit.conversation)
        prompt = "\n".join(before)
        rows.append((unit.unit_id, *(f.function(prompt, last) for f in chosen)))
    return pd.DataFrame(rows, columns=["unit_id", *(f.column for f in chosen)])
