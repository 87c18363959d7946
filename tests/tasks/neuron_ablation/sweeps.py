"""Score tables of random numbers over items of every group, some prompts with several items, some items of styles."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness.tasks.neuron_ablation.sweep import Sweep

from harness.preference import PreferenceItem
from harness.task import ScoreTable
from harness.testing import planted

PLACES = (
    ("hh-rlhf", "helpful-base", "helpful", {"per_cluster": 2}),
    ("hh-rlhf", "chat", "helpful", {}),
    ("rm-bench", "safety-refuse", "refuse", {"styles": ("concise", "plain", "rich")}),
    ("xstest", "should-refuse", "refuse", {"per_cluster": 3}),
    ("xstest", "should-respond", "comply", {}),
)
CONDITIONS = ("none", "a", "b", "c")


def items(n: int = 20, places: Any = PLACES) -> tuple[PreferenceItem, ...]:
    """`n` of every place."""
    rng = np.random.default_rng(0)
    return tuple(
        item for d, s, o, more in places for item in planted.items(rng, n, dataset=d, subset=s, objective=o, **more)
    )


def table(seed: int = 0, conditions: tuple[str, ...] = CONDITIONS, n: int = 20, places: Any = PLACES) -> ScoreTable:
    """Chosen replies score one more than rejected ones, less so the later the condition up to the fourth; noise of SD 1."""
    found = planted.table(items(n, places), planted.oracle, conditions=conditions)
    rng = np.random.default_rng(seed)
    signal = found["score"] * (1 - 0.2 * found["condition"].map(conditions.index).astype(float).clip(upper=3))
    return found.assign(score=(signal + rng.normal(0, 1, len(found))).round(1))  # rounded: some ties


def sweep(seed: int = 0, conditions: tuple[str, ...] = CONDITIONS, n: int = 20, places: Any = PLACES) -> Sweep:
    """The table as a sweep, complete."""
    return Sweep.of(table(seed, conditions, n, places), ("model", 0)).complete(conditions)
