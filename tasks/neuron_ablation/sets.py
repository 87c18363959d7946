"""From neuron scores to sets: exactly k neurons, ties broken by layer and number, sets named by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

OBJECTIVES = ("helpful", "harmless")
SETS = ("own_helpful", "own_harmless", "only_helpful", "only_harmless", "shared", "shared_m")
HEADLINE = ("only_helpful", "only_harmless", "shared_m")
"""Sets with controls."""

Chosen = np.ndarray
"""A set of neurons: flat numbers, layer x width + neuron, ascending int64."""


@dataclass(frozen=True)
class Ranking:
    """Neurons of a (layers, width) score from the best to the worst, those without a number left out.

    `order` are flat numbers; `place[n]` is the place of flat number n in it, or beyond all where it is not in it.
    """

    order: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, rank: str) -> Ranking:
        """Rank by score, globally or (`layer`) so that every layer gives the same share of its neurons."""
        flat = score.ravel()
        ranked = np.argsort(-np.where(np.isfinite(flat), flat, -np.inf), kind="stable")
        ranked = ranked[np.isfinite(flat[ranked])]
        if rank == "layer":
            layer = ranked // score.shape[1]
            sizes = np.bincount(layer, minlength=len(score))
            within = np.empty(len(ranked))
            for i in range(len(score)):
                within[layer == i] = (np.arange(sizes[i]) + 0.5) / max(1, sizes[i])
            ranked = ranked[np.argsort(within, kind="stable")]
        place = np.full(flat.size, flat.size, dtype=np.int64)
        place[ranked] = np.arange(len(ranked))
        return cls(ranked, place)


def size(score: np.ndarray, percent: float) -> int:
    """k = round(percent of the neurons there are); widths may differ by layer."""
    return round(percent / 100 * int((~np.isnan(score)).sum()))


def _exact(score: np.ndarray, ranking: Ranking, percent: float) -> Chosen:
    return np.sort(ranking.order[: size(score, percent)])


def _keep(score: np.ndarray, ranking: Ranking, percent: float) -> Chosen:
    """The paper's rule (S1): every neuron at or above the percentile of all, so that ties are all kept; never at -inf."""
    flat = score.ravel()
    bar = np.nanpercentile(np.maximum(flat, np.finfo(flat.dtype).min), 100 - percent)
    return np.flatnonzero(np.isfinite(flat) & (flat >= bar))


TIES: Mapping[str, Callable[[np.ndarray, Ranking, float], Chosen]] = {"exact": _exact, "keep": _keep}


def choose(scores: Mapping[str, np.ndarray], percent: float, rank: str, ties: str) -> dict[str, Chosen]:
    """The sets of `SETS` at `percent` from the (layers, width) scores of both objectives.

    own_o is the top k by objective o; only_o its own part; `shared` what both have. `shared_m` has as many
    neurons as an only-set: those whose worse place in the two rankings is best, so that it is the intersection
    at another percentage, smaller or larger. Sets may be empty.
    """
    rankings = {o: Ranking.of(scores[o], rank) for o in OBJECTIVES}
    helpful, harmless = (TIES[ties](scores[o], rankings[o], percent) for o in OBJECTIVES)
    only = {"only_helpful": np.setdiff1d(helpful, harmless), "only_harmless": np.setdiff1d(harmless, helpful)}
    worse = np.maximum(*(rankings[o].place for o in OBJECTIVES))
    both = np.flatnonzero(worse < worse.size)
    matched = both[np.argsort(worse[both], kind="stable")][: min(map(len, only.values()))]
    return {
        "own_helpful": helpful,
        "own_harmless": harmless,
        **only,
        "shared": np.intersect1d(helpful, harmless),
        "shared_m": np.sort(matched),
    }


def per_layer(chosen: Chosen, shape: tuple[int, int]) -> np.ndarray:
    """How many of a set's neurons lie in each layer, (layers,)."""
    return np.bincount(chosen // shape[1], minlength=shape[0])
