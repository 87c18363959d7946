"""Sets to compare a set with: as many neurons of the same layers, of those equally active, of those that matter for anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from .sets import Chosen, Ranking, per_layer

CONTROLS = ("rand_layer", "rand_label", "neutral_top", "damage")
"""Kinds of control. `damage` is `rand_layer` at the size that does as much damage as the set."""


def seeded(*names: object) -> np.random.Generator:
    """A generator of its own for everything that has a name: what is drawn for one thing never moves another."""
    digest = hashlib.sha256("|".join(map(str, names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], dtype=np.uint32))


class LayerDraw:
    """One random order of the neurons of every layer, from which sets of any size with given layer shares are cut.

    `candidates` are the flat numbers to draw from; sets of growing size are (up to rounding by layer) nested.
    """

    def __init__(self, candidates: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> None:
        shuffled = rng.permutation(np.sort(candidates))
        self._layers = [shuffled[shuffled // shape[1] == layer] for layer in range(shape[0])]

    def cut(self, shares: np.ndarray, n: int) -> Chosen:
        """`n` neurons whose layers have the proportions of `shares` (layers,): largest remainders, no layer beyond what it has."""
        wanted = allot(shares, n, np.array([len(layer) for layer in self._layers]))
        return np.sort(np.concatenate([layer[:k] for layer, k in zip(self._layers, wanted, strict=True)]))

    def most(self, shares: np.ndarray) -> int:
        """The largest set with these layer shares: where the first layer has no more to give."""
        has = np.array([len(layer) for layer in self._layers], dtype=float)
        used = shares > 0
        return int(np.floor((has[used] / shares[used]).min() * shares.sum() + 1e-9)) if used.any() else 0


def allot(shares: np.ndarray, n: int, has: np.ndarray) -> np.ndarray:
    """`n` in whole numbers by `shares` (layers,), largest remainders first, at most `has`; less than `n` only if all layers with a share are full."""
    exact = shares / shares.sum() * n if shares.sum() else np.zeros(len(shares))
    given = np.minimum(np.floor(exact + 1e-9), has).astype(int)
    order = sorted(np.flatnonzero(shares > 0), key=lambda i: (given[i] - exact[i], i))
    while (missing := n - given.sum()) > 0 and (room := [i for i in order if given[i] < has[i]]):
        given[room[:missing]] += 1
    return given


def rand_layer(chosen: Chosen, valid: np.ndarray, shape: tuple[int, int], r: int, seed: int, target: str) -> LayerDraw:
    """Draw `r` of the random orders that `rand_layer` and `damage` share: all neurons, the set's own among them."""
    return LayerDraw(valid, shape, seeded(seed, target, "rand_layer", len(chosen), int(chosen.sum()), r))


def rand_label(
    chosen: Chosen, active: np.ndarray, shape: tuple[int, int], draws: int, seed: int, target: str
) -> Iterator[Chosen]:
    """Sets with the set's number of neurons in each layer, drawn from `active`, the top of either objective, and the set."""
    shares = per_layer(chosen, shape)
    pool = np.union1d(active, chosen)
    for r in range(draws):
        rng = seeded(seed, target, "rand_label", len(chosen), int(chosen.sum()), r)
        yield LayerDraw(pool, shape, rng).cut(shares, len(chosen))


def neutral_top(chosen: Chosen, resampled: Sequence[Ranking]) -> Iterator[Chosen]:
    """The top as many on neutral text, once for each resample of that text."""
    for ranking in resampled:
        yield np.sort(ranking.order[: len(chosen)])
