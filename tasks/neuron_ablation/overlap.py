"""How much two sets of neurons share, beyond what their layers alone would give; how reliable scores are; how deep sets lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise

import numpy as np
from scipy.stats import spearmanr

from harness.task import Arrays, Metric

from .columns import plain, row
from .params import Params
from .sets import TIES, Chosen, Ranking, per_layer

RELIABLE = 0.9
"""Split-half reliability below which a ranking is flagged."""

THIRDS = ("early", "mid", "late")


def top(score: np.ndarray, percent: float, params: Params) -> Chosen:
    """The best `percent` of a (layers, width) score."""
    return TIES[params.ties](score, Ranking.of(score, params.rank), percent)


def overlaps(arrays: Arrays, params: Params) -> Iterator[Metric]:
    """Every pair of (model, corpus) rankings at every percentage; a model and its base by mean |activation|."""
    scores, activity = (
        {name.removeprefix(kind): a for name, a in arrays.items() if name.startswith(kind)}
        for kind in ("score/", "activity/")
    )
    for percent in params.levels:
        tops = {name: top(score, percent, params) for name, score in scores.items()}
        for a, b in combinations(sorted(tops), 2):
            yield from _shared(tops[a], tops[b], scores[a], {"a": a, "b": b, "p": f"{percent:g}"})
        for name, (own, base) in sorted(activity.items()):
            dims = {"a": name, "b": f"base/{name.split('/')[1]}", "p": f"{percent:g}", "score": "abs_mean"}
            yield from _shared(top(own, percent, params), top(base, percent, params), own, dims)


def _shared(a: Chosen, b: Chosen, score: np.ndarray, dims: Mapping[str, str]) -> Iterator[Metric]:
    """Jaccard, share of the smaller set, lift over chance, and overlap beyond what layer profiles give (corrections, 20)."""
    n, both, smaller = int((~np.isnan(score)).sum()), len(np.intersect1d(a, b)), min(len(a), len(b))
    if not smaller:
        yield from (row(name, plain(None, reason="empty set"), dims) for name in ("jaccard", "overlap_frac", "overlap"))
        return
    jaccard = both / (len(a) + len(b) - both)
    expected = len(a) * len(b) / n
    chance = expected / (len(a) + len(b) - expected)
    widths = (~np.isnan(score)).sum(axis=1)
    by_layer = float((per_layer(a, score.shape) * per_layer(b, score.shape) / np.maximum(widths, 1)).sum())
    yield row("jaccard", plain(jaccard, smaller), dims)
    yield row("overlap_frac", plain(both / smaller, smaller), dims)
    yield row("overlap_lift", plain(jaccard / chance, smaller), dims)
    beyond = (both - by_layer) / (smaller - by_layer) if smaller > by_layer else None
    yield row(
        "overlap",
        plain(beyond, smaller, None if beyond is not None else "the layers are full: overlap is forced"),
        dims,
    )


def reliabilities(arrays: Arrays, params: Params) -> Iterator[Metric]:
    """Spearman-Brown split-half reliability of every score, and the overlap of the halves' top sets."""
    for name in sorted(n for n in arrays if n.startswith("half/")):
        _, model, objective = name.split("/")
        first, second = arrays[name]
        dims = {"member": model.rpartition(".")[0], "seed": model.rpartition(".")[2], "objective": objective}
        known = np.isfinite(first) & np.isfinite(second)
        vary = all(len(np.unique(half[known])) > 1 for half in (first, second))
        r = float(spearmanr(first[known], second[known]).statistic) if vary else np.nan
        full = 2 * r / (1 + r) if r > -1 else np.nan
        flag = f"below {RELIABLE}: more pairs would move the sets" if full < RELIABLE else None
        reason = "the scores of a half are all equal" if np.isnan(full) else flag
        yield row("score_reliability", plain(full, int(known.sum()), reason), dims)
        for percent in params.levels:
            a, b = (top(half, percent, params) for half in (first, second))
            found = {m.name: m for m in _shared(a, b, first, dims | {"p": f"{percent:g}"})}["overlap"]
            yield row("half_overlap", plain(found.value, found.n or 0, found.reason), found.dims)


def depth(chosen: Chosen, score: np.ndarray, dims: Mapping[str, str]) -> Iterator[Metric]:
    """Share of a set in the first, middle and last third of the layers, by true depth; a layer on a border counts in parts."""
    counts = per_layer(chosen, score.shape)
    layers = len(counts)
    edges = np.linspace(0, layers, len(THIRDS) + 1)
    for third, (low, high) in zip(THIRDS, pairwise(edges), strict=True):
        inside = np.clip(np.minimum(np.arange(layers) + 1, high) - np.maximum(np.arange(layers), low), 0, 1)
        share = float(counts @ inside / len(chosen)) if len(chosen) else None
        yield row(f"layer_share_{third}", plain(share, len(chosen), None if share is not None else "empty set"), dims)
