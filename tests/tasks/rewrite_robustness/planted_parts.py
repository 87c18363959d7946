"""Rewritings of pairs whose verdicts are drawn, not scored."""

from __future__ import annotations

import numpy as np
import pandas as pd
from harness.tasks.rewrite_robustness.compared import Compared
from harness.tasks.rewrite_robustness.pairs import Pairs
from harness.tasks.rewrite_robustness.rewriting import Rewriting


def credits_(rng: np.random.Generator, shape: tuple[int, int], p: float) -> np.ndarray:
    """Verdicts right with probability p, one in ten a tie."""
    right = (rng.random(shape) < p).astype(float)
    return np.where(rng.random(shape) < 0.1, 0.5, right)


def pairs(n: int = 120, seeds: int = 1, seed: int = 0, p: float = 0.8, per_prompt: int = 2) -> Pairs:
    """Unchanged pairs in two subsets of one data set, `per_prompt` a prompt."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame(
        {
            "cluster_id": [f"c{i // per_prompt:04d}" for i in range(n)],
            "dataset": "d",
            "subset": [("one", "two")[(i // per_prompt) % 2] for i in range(n)],
        },
        index=pd.Index([f"i{i:04d}" for i in range(n)], name="item_id"),
    )
    margins = rng.normal(0.5, 1, (seeds, n))
    return Pairs(items, credits_(rng, (seeds, n), p), margins, dict.fromkeys(range(seeds), 1.0))


def part(
    of: Pairs,
    name: str,
    kind: str = "core",
    arm: str = "both",
    *,
    seed: int = 1,
    p: float = 0.7,
    touched: float = 0.8,
    invalid: float = 0.1,
) -> Compared:
    """A rewriting that changes a share of the pairs and leaves each right with probability p, whatever it was."""
    rng = np.random.default_rng(seed)
    mask = rng.random(len(of.items)) < touched
    frame = of.items[mask].reset_index().assign(valid=rng.random(mask.sum()) >= invalid, chance=0.5)
    frame = frame.set_index("item_id", drop=False).rename_axis(None)
    shape = (len(of.credits), len(frame))
    texts = frame[["item_id", "cluster_id", "valid"]].assign(side="chosen", edit_ratio=0.1, similarity=np.nan)
    before, scores = of.credits[:, mask], rng.normal(size=(4, *shape))
    return Compared(Rewriting(kind, name, arm), frame, before, credits_(rng, shape, p), *scores[:2], texts, *scores[2:])
