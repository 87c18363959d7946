"""Which texts go through the model together: prefixes shared where that is cheaper, rows of like length in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.models.base import Cost, Encoded
from harness.models.tree import Tree, grow, shared_prefix, single, sort_key

Batch = list[Tree]


def plan(
    texts: Sequence[Encoded], budget: int, cost: Cost, shares: int, scatter: np.random.Generator | None = None
) -> list[Batch]:
    """All texts as batches of rows, longest first; rows x longest is at most `budget` tokens (a longer row goes alone).

    `shares` is the number of tokens up to which a text may share a row with others that begin alike, 0 for
    none; a longer one never shares a batch with such rows either, because their mask says nothing of a
    sliding window. With `scatter`, rows are single texts, grouped at random: the same texts in other
    company, which is what measuring batch invariance needs.
    """
    if scatter is not None:
        return [[single(texts[i]) for i in part] for part in _scattered(_lengths(texts), budget, scatter)]
    may_share = [t.type_ids is None and len(t) <= shares for t in texts]
    alone = [single(t) for t, yes in zip(texts, may_share, strict=True) if not yes]
    trees = group([t for t, yes in zip(texts, may_share, strict=True) if yes], budget, cost)
    found = [[part[i] for i in chosen] for part in (alone, trees) for chosen in cut(_lengths(part), budget, cost)]
    return sorted(found, key=lambda batch: -len(batch[0]))


def group(texts: Sequence[Encoded], budget: int, cost: Cost) -> list[Tree]:
    """Prefix trees of the texts, each text in one, none of several texts larger than `budget` tokens.

    A tree saves the linear layers of its shared tokens and pays attention over a longer row: a text joins
    its neighbour in the order of their ids where it saves more than it costs.
    """
    found: list[Tree] = []
    members: list[Encoded] = []
    size = 0
    for text in sorted(texts, key=sort_key):
        shared = shared_prefix(members[-1], text) if members else 0
        joined = size + len(text) - shared
        extra = cost.attention * (float(joined) ** 2 - float(size) ** 2 - float(len(text)) ** 2)
        if members and (joined > budget or shared <= extra):
            found.append(grow(members))
            members, joined = [], len(text)
        members.append(text)
        size = joined
    return [*found, grow(members)] if members else found


def cut(lengths: np.ndarray, budget: int, cost: Cost) -> list[np.ndarray]:
    """Batches of indices into `lengths`: sorted downwards, cut where padding, attention and what every batch costs sum to least.

    Dynamic programming from the shortest row to the longest: for each row, where the batch it begins should stop.
    """
    order = np.argsort(-lengths, kind="stable")
    ordered, n = lengths[order], len(order)
    least, stops = np.zeros(n + 1), np.zeros(n, dtype=np.int64)
    for start in range(n - 1, -1, -1):
        longest = int(ordered[start])
        most = min(n, start + max(1, budget // max(1, longest)))
        row = longest * (1 + cost.attention * longest)
        totals = least[start + 1 : most + 1] + row * np.arange(1, most - start + 1)
        best = int(totals.argmin())
        least[start], stops[start] = totals[best] + cost.fixed, start + 1 + best
    found, start = [], 0
    while start < n:
        found.append(order[start : stops[start]])
        start = int(stops[start])
    return found


def _scattered(lengths: np.ndarray, budget: int, scatter: np.random.Generator) -> list[np.ndarray]:
    """Rows in random order, each batch as many as the budget holds."""
    order = scatter.permutation(len(lengths))
    found: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest, stop = int(lengths[order[start]]), start + 1
        while stop < len(order):
            longest = max(longest, int(lengths[order[stop]]))
            if longest * (stop + 1 - start) > budget:
                break
            stop += 1
        found.append(order[start:stop])
        start = stop
    return found


def _lengths(rows: Sequence[Encoded] | Sequence[Tree]) -> np.ndarray:
    return np.array([len(r) for r in rows], dtype=np.int64)
