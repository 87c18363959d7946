"""What a neuron is worth to an objective: one number a neuron from running sums over that objective's corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Sums = Mapping[str, np.ndarray]
"""What an `Accumulate` request answers: arrays (layers, columns), `tokens`, `units`."""

LAPE_BAR = 0.95
"""Quantile of all activation probabilities that a neuron must pass in an objective to be of it."""


@dataclass(frozen=True)
class NeuronScore:
    """How a score is made: which sums it reads, of which model, and the formula.

    `of` gets the sums over the objective's own corpus and over the other objective's, and the number of heads a
    layer (0 for neurons); it returns (layers, neurons or heads), higher first, NaN or -inf for what cannot be chosen.
    """

    reading: str
    of: Callable[[Sums, Sums, int], np.ndarray]
    against: str = ""
    alone: bool = True
    """Whether one corpus is enough, so that it can be made of neutral text."""


def pooled(parts: Sequence[tuple[Sums, float]]) -> dict[str, np.ndarray]:
    """Sums over a corpus from those over its parts, each with its share of the pairs.

    Moments are averaged by tokens; `product` and `gradient`, which each part has of its own mean margin, by
    shares; `attribution` follows from both: product - mean x gradient.
    """
    tokens = np.array([float(sums["tokens"]) for sums, _ in parts])
    shares = np.array([share for _, share in parts])
    found: dict[str, np.ndarray] = {"tokens": np.array(tokens.sum())}
    for name in parts[0][0]:
        if name in ("tokens", "units", "heads", "attribution"):
            continue
        weights = shares / shares.sum() if name in ("product", "gradient") else tokens / tokens.sum()
        found[name] = np.tensordot(weights, np.stack([sums[name] for sums, _ in parts]), 1)
    if "product" in found:
        found["attribution"] = found["product"] - found["mean"] * found["gradient"]
    return found


def by_head(columns: np.ndarray, heads: int, total: Callable[..., np.ndarray]) -> np.ndarray:
    """(layers, columns) as (layers, heads) by `total` over a head's columns; unchanged where `heads` is 0."""
    return total(columns.reshape(len(columns), heads, -1), axis=2) if heads else columns


def _of(name: str, total: Callable[..., np.ndarray]) -> Callable[[Sums, Sums, int], np.ndarray]:
    return lambda own, other, heads: by_head(own[name], heads, total)


def _change(own: Sums, other: Sums, heads: int) -> np.ndarray:
    """Root mean square of the difference from the base model; of a head the mean norm of its difference."""
    return own["norm"] if heads else np.sqrt(own["mean_square"])


def _lape(own: Sums, other: Sums, heads: int) -> np.ndarray:
    """Minus the entropy of a neuron's activation probability over the two corpora, -inf below the bar.

    Source: 2606.13209 as its code has it (section 2, N5 of the methods): the bar is the 95th percentile of all
    probabilities of both corpora; a neuron counts for an objective whose probability passes it.
    """
    both = np.stack([by_head(sums["positive"], heads, np.mean) for sums in (own, other)])
    bar = np.nanquantile(both, LAPE_BAR)
    total = both.sum(axis=0)
    shares = np.divide(both, total, out=np.full_like(both, 0.5), where=total > 0)
    entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0).sum(axis=0)
    return np.where(both[0] > bar, -entropy, np.where(np.isnan(both[0]), np.nan, -np.inf))


SCORES: Mapping[str, NeuronScore] = {
    "attr": NeuronScore("attribution", _of("attribution", np.sum)),
    "abs_mean": NeuronScore("moments", _of("abs_mean", np.mean)),
    "signed_mean": NeuronScore("moments", _of("mean", np.mean)),
    "prob": NeuronScore("moments", _of("positive", np.mean)),
    "lape": NeuronScore("moments", _lape, alone=False),
    "rms_change": NeuronScore("change", _change, against="base"),
}
"""Neuron scores by name. `attr`: mean over pairs of the margin lost, to first order, when the neuron is held at its mean."""
