"""Coefficients on machine labels, corrected by the rows that people labelled as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Codes, Floats, code, cr1, numbers
from harness.stats.fit import Fit
from harness.stats.least_squares import named, row_weights, unfit

METHOD = "first differences corrected by gold labels, CR1, t"


def gold_corrected(
    d: ArrayLike,
    X_labels: ArrayLike,
    X_gold: ArrayLike,
    has_gold: ArrayLike,
    clusters: ArrayLike,
    names: Sequence[str],
    scale: str = "sw",
) -> Fit:
    """First differences of d (n,) on machine labels (n, k), less what the labels get wrong where gold is known.

    beta(labels, all rows) + [beta(gold, gold rows) - beta(labels, gold rows)], each by least squares without
    intercept: errors in labels pull the first term, and the bracket takes out just that (prediction-powered
    inference, Angelopoulos et al. 2023; methods 6.5). `has_gold` (n,) marks the rows with gold labels, which must be
    a random part of all; rows of `X_gold` (n, k) elsewhere are not read. `d` comes in the unit that `scale` names.
    The covariance is that of the whole expression, from what each row adds to it, summed by cluster (CR1). Null with
    a reason where any of the three has no fit. Raises ValueError on NaN, on shapes that disagree, and unless
    `has_gold` is true or false.
    """
    y = numbers(d, "d")
    gold = np.asarray(has_gold)
    if gold.shape != y.shape or gold.dtype != np.bool_:
        raise ValueError(f"has_gold must be {y.size} times true or false; found {gold.dtype} of shape {gold.shape}")
    if np.shape(X_gold) != np.shape(X_labels):
        raise ValueError(f"gold and labels differ in shape: {np.shape(X_gold)} and {np.shape(X_labels)}")
    labels = named(X_labels, y.size, names)
    known = named(np.where(gold[:, None], X_gold, 0.0), y.size, names)[gold]
    codes, groups = code(clusters, y.size)
    reason = unfit(labels, groups) or _unfit_gold(known, labels[gold], codes[gold])
    if reason:
        return Fit.none(tuple(names), reason, codes, groups, scale, METHOD)
    weights, influence = _part(y, labels)
    (of_gold, moved), (of_labels, taken) = (_part(y[gold], design) for design in (known, labels[gold]))
    weights[:, gold] += of_gold - of_labels
    influence[:, gold] += (moved - taken) * _factor(codes[gold], known) / _factor(codes, labels)
    return Fit(tuple(names), weights @ y, cr1(influence, codes, groups), weights, codes, groups, scale, METHOD)


def _unfit_gold(known: Floats, labels: Floats, codes: Codes) -> str | None:
    groups = len(np.unique(codes))
    reason = unfit(known, groups) or unfit(labels, groups)
    return f"among the rows with gold labels: {reason}" if reason else None


def _part(y: Floats, design: Floats) -> tuple[Floats, Floats]:
    """What each row adds to the coefficients, (k, n), and by how much it moves them."""
    weights = row_weights(design)
    return weights, weights * (y - design @ (weights @ y))


def _factor(codes: Codes, design: Floats) -> float:
    """The root of CR1's factor: each part of the sum carries that of its own rows."""
    groups, (n, k) = len(np.unique(codes)), design.shape
    return float(np.sqrt(groups / (groups - 1) * (n - 1) / (n - k)))
