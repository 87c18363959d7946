"""A labeler that errs, a rewriter that changes what labels are about, and a model that minds: with every truth known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from harness.tasks.rewrite_robustness.compared import Compared
from harness.tasks.rewrite_robustness.relabelled import Relabelled
from harness.tasks.rewrite_robustness.rewriting import Rewriting

KIND = "paraphrase"


def compared(before, after, clusters, arm: str = "both", kind: str = "lm", valid=True) -> Compared:
    """Credits (seeds, pairs) before and after, as pairs i0/0, i1/0, …"""
    n = before.shape[1]
    items = [f"i{i}" for i in range(n)]
    frame = pd.DataFrame(
        {"item_id": items, "cluster_id": clusters, "dataset": "d", "subset": "s", "valid": valid},
        index=[f"{item}/0" for item in items],
    )
    none = np.zeros((len(before), 0))
    zero = np.zeros_like(before)
    texts = pd.DataFrame({"item_id": pd.Series(dtype=object), "valid": pd.Series(dtype=bool)})
    return Compared(Rewriting(kind, KIND, arm), frame, before, after, zero, zero, texts, none, none)


def relabelled(deltas: Mapping[str, np.ndarray], again: Mapping[str, np.ndarray], clusters, rng, field="helpful"):
    """Changes of one label by side, those of unchanged texts, and controls that matter to nothing."""
    n = len(clusters)
    parts = [
        pd.DataFrame(
            {
                "transform": KIND,
                "pair": [f"i{i}/0" for i in range(n)],
                "side": side,
                "edit_ratio": rng.random(n),
                "similarity": np.nan,
                "dlog_words": rng.normal(size=n),
                field: delta,
            }
        )
        for side, delta in deltas.items()
    ]
    repeats = [pd.DataFrame({"cluster_id": clusters, "side": side, field: x}) for side, x in again.items()]
    return Relabelled((field,), pd.concat(parts).set_index(["transform", "pair", "side"]), pd.concat(repeats))


def scene(rng: np.random.Generator, n: int = 500, effect: float = 0.3, error: float = 0.05, base: float = 0.1):
    """Right pairs of which `base` break, and `effect` more of those whose chosen reply truly lost the label.

    Two pairs a prompt. 12 % of the true labels change, each label read is wrong with the probability `error`.
    """
    clusters = np.array([f"p{i // 2:04d}" for i in range(n)])
    truth = rng.random(n) < 0.6
    new = np.where(rng.random(n) < 0.12, ~truth, truth)
    first, later, second = (np.where(rng.random(n) < error, ~x, x).astype(float) for x in (truth, new, truth))
    broken = rng.random(n) < base + effect * (truth & ~new)
    deltas = {"chosen": later - first, "rejected": np.where(rng.random(n) < 0.1, rng.choice([-1.0, 1.0], n), 0.0)}
    again = {"chosen": second - first, "rejected": np.zeros(n)}
    right = np.ones((1, n))
    return compared(right, right - broken, clusters), relabelled(deltas, again, clusters, rng)
