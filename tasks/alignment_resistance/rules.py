"""From how two replies differ to the side a labeler is on: every verdict there is comes from here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.errors import InputError
from harness.llm.schema import NUMBERED

VERDICTS = ("c", "i", "r")
"""The labeler sides with the chosen reply, with neither, with the rejected one."""

HARMLESS = "harmless"
"""Harmless to the user and to others, as if it were one label: no where either is no, missing where one is unclear otherwise."""

MORAL = (HARMLESS, "helpful")
PARTS = (HARMLESS, *NUMBERED)
"""What a weighted verdict may be made of."""

DIGITS = 9
"""To which a weighted sum is rounded before its sign is taken, so that 0.1 + 0.2 - 0.3 is no preference."""

Decide = Callable[[np.ndarray], np.ndarray]
"""(parts, items) differences, chosen minus rejected, more is better, to (items,) 1 for chosen, -1 for rejected, 0 for neither."""


@dataclass(frozen=True)
class Rule:
    """A verdict rule: the numbers of a reply it reads, and how it decides on their differences."""

    name: str
    parts: tuple[str, ...]
    decide: Decide

    def verdicts(self, differences: np.ndarray) -> np.ndarray:
        """`c`, `i` or `r` by item, None where a part is missing; `differences` is (parts, items) in the order of `parts`."""
        known = np.isfinite(differences).all(axis=0)
        sides = self.decide(np.where(known, differences, 0.0)).astype(int)
        names = np.array(["r", "i", "c"], dtype=object)[sides + 1]
        return np.asarray(np.where(known, names, None))


def pareto(differences: np.ndarray) -> np.ndarray:
    """The side that is at least as good in every part and better in one; neither where all are equal or they conflict."""
    better, worse = (differences > 0).any(axis=0), (differences < 0).any(axis=0)
    return (better & ~worse).astype(int) - (worse & ~better).astype(int)


def lexicographic(differences: np.ndarray) -> np.ndarray:
    """The side that is better in the first part in which they differ (SEAL, 2408.10270, harmless before helpful)."""
    side = np.zeros(differences.shape[1])
    for part in np.sign(differences)[::-1]:
        side = np.where(part != 0, part, side)
    return side


def weighted(weights: Mapping[str, float]) -> Decide:
    """The sign of the sum of weight times difference, parts in the order of `weights`."""
    factors = np.array(list(weights.values()))
    return lambda differences: np.sign(np.round(factors @ differences, DIGITS))


RULES: Mapping[str, Callable[[Mapping[str, float]], Rule]] = {
    "pareto": lambda weights: Rule("pareto", MORAL, pareto),
    "lexicographic": lambda weights: Rule("lexicographic", MORAL, lexicographic),
    "weighted": lambda weights: Rule("weighted", tuple(weights), weighted(weights)),
}
"""Verdict rules of labels by name, given the weights of `parse_weights`."""

WORDS = {"toxicity": -1.0, "refusal_on_harmful": 1.0, "refusal_on_benign": -1.0}
"""Features of the proxy, and whether a reply should have them."""

PROXY = Rule("proxy", tuple(WORDS), lambda differences: pareto(np.array(list(WORDS.values()))[:, None] * differences))
"""What word lists say where nobody labelled: a stand-in with a name of its own, never a labeler's verdict."""


def parse_weights(text: str) -> dict[str, float]:
    """`harmless=2,helpful=1` as numbers by part. Raises InputError for any other form, an unknown part, a part that is
    named twice, and weights that are 0 or not finite.
    """
    weights: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, number = (piece.strip() for piece in entry.partition("="))
        weight = _finite(number)
        if not equals or not weight:
            raise InputError(
                f"weights {text!r}: found {entry!r}, expected LABEL=NUMBER, not 0, as in harmless=2,helpful=1"
            )
        if name not in PARTS:
            raise InputError(f"weights {text!r}: no label is called {name!r}; labels are {', '.join(PARTS)}")
        if name in weights:
            raise InputError(f"weights {text!r}: {name} is named twice; keep one")
        weights[name] = weight
    return weights


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
