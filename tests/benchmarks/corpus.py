"""The texts that are scored: hh-rlhf where it is at hand, generated ones of like length elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness import preference
from harness.datasets import load, restrict
from harness.preference import Message, PreferenceItem, Unit, cluster_id
from harness.testing.tiny import WORDS

NAME = "hh-rlhf/helpful-base"
TYPICAL = 66.0
"""Median words of a generated prompt or reply: with a log-normal spread of 0.7, about the lengths of hh-rlhf."""


def items(n: int, shared: Path) -> tuple[PreferenceItem, ...]:
    """`n` pairs; fewer where the real data has fewer."""
    return restrict(load([NAME], shared / "data"), n).items if _is_real(shared) else generated(n)


def units(n: int, shared: Path) -> list[Unit]:
    """`n` texts, both replies of a pair next to each other; fewer where the real data has fewer."""
    return list(preference.units(items(n // 2, shared)))


def source(shared: Path) -> str:
    """What `units` reads: the name of the data, or that it is generated."""
    return NAME if _is_real(shared) else "generated"


def generated(n: int, words: float = TYPICAL, seed: int = 0) -> tuple[PreferenceItem, ...]:
    """`n` pairs of random words: prompt and both replies log-normal about `words`, each at least 5 words."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array(WORDS.split())
    lengths = np.maximum(5, rng.lognormal(np.log(words), 0.7, (n, 3))).astype(int)
    made = []
    for i, row in enumerate(lengths):
        prompt, chosen, rejected = (" ".join(rng.choice(vocabulary, k)) for k in row)
        messages = (Message("user", prompt),)
        made.append(
            PreferenceItem(
                f"{i}", messages, (chosen,), (rejected,), "generated", "all", "helpful", cluster_id(messages)
            )
        )
    return tuple(made)


def _is_real(shared: Path) -> bool:
    return (shared / "data").is_dir()
