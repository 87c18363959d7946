"""Texts that begin alike as one row: the shared prefix once, the branches behind it, each seeing only its own path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.models.base import Encoded


@dataclass(frozen=True)
class Tree:
    """One row of a batch. A single text is a tree without a fork.

    `ids`, `positions` and `visible` have one entry a packed token: its id, its place in its text (positions
    restart behind a fork), and the packed index up to which (exclusive) later tokens may attend to it. Token q
    attends to k iff k <= q < visible[k]. `paths[i]` are the packed indices of `texts[i]`'s tokens, in order.
    """

    texts: tuple[Encoded, ...]
    ids: np.ndarray
    positions: np.ndarray
    visible: np.ndarray
    paths: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def forks(self) -> bool:
        """Whether the row holds more than one text, and so needs a mask of its own."""
        return len(self.texts) > 1


def shared_prefix(a: Encoded, b: Encoded) -> int:
    """Number of leading tokens two texts have in common."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(a.ids[:n] != b.ids[:n])
    return int(differ[0]) if len(differ) else n


def sort_key(text: Encoded) -> bytes:
    """Orders texts by their ids, so that those with the longest common prefix are neighbours."""
    return np.ascontiguousarray(text.ids, dtype=">u4").tobytes()


def single(text: Encoded) -> Tree:
    """A row that holds one text."""
    n = len(text)
    places = np.arange(n)
    return Tree((text,), text.ids, places, np.full(n, n), (places,))


def grow(texts: Sequence[Encoded]) -> Tree:
    """The prefix tree of some texts without segment ids, in depth-first order: each shared prefix is there once."""
    texts = sorted(texts, key=sort_key)
    ids, positions, visible = [texts[0].ids], [np.arange(len(texts[0]))], np.full(sum(map(len, texts)), -1)
    paths, total = [np.arange(len(texts[0]))], len(texts[0])
    for before, text in pairwise(texts):
        fork, n = shared_prefix(before, text), len(text)
        visible[paths[-1][fork:]] = total  # what the new branch does not share ends where it begins
        paths.append(np.concatenate([paths[-1][:fork], np.arange(total, total + n - fork)]))
        ids.append(text.ids[fork:])
        positions.append(np.arange(fork, n))
        total += n - fork
    visible[paths[-1]] = total
    return Tree(tuple(texts), np.concatenate(ids), np.concatenate(positions), visible[:total], tuple(paths))
