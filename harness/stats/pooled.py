"""The published estimator of feature imprint, faults and all, so that its numbers can be had beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import numbers
from harness.stats.fit import Fit
from harness.stats.least_squares import named, row_weights, unfit

METHOD = "pooled OLS, classical errors, t (legacy)"


def seal_pooled(rewards: ArrayLike, X: ArrayLike, names: Sequence[str]) -> Fit:
    """OLS with an intercept of the rewards of all texts (2n,) on their features X (2n, k), in reward points.

    A replication of SEAL (arXiv 2408.10270) as its code was released, not as its text says, and not to be believed
    (methods 0.1, 0.2, 5.3): no effect of the prompt, so that what goes with the prompt is charged to the features; the
    errors are classical, though the two texts of a pair and the pairs of a prompt depend on each other and the spread
    does not stay the same; rewards are in raw units, which two models need not share; length is only controlled for if
    it is among the features. The pair number, a covariate there, is left out: it is the order of a file. t on
    2n - k - 1 degrees of freedom; the published correction, Bonferroni over the intercept too, is left to the caller.
    The intercept is not in the fit. Null with a reason where the features are not of full rank beside the intercept.
    Raises ValueError on NaN and on shapes that disagree.
    """
    y = numbers(rewards, "rewards")
    design = np.column_stack([np.ones(y.size), named(X, y.size, names)])
    texts = np.arange(y.size)
    if reason := unfit(design, y.size):
        return Fit.none(tuple(names), reason, texts, y.size, "reward", METHOD)
    weights = row_weights(design)
    coef = weights @ y
    df = y.size - design.shape[1]
    variance = float(((y - design @ coef) ** 2).sum()) / df
    covariance = variance * weights @ weights.T
    return Fit(tuple(names), coef[1:], covariance[1:, 1:], weights[1:], texts, y.size, "reward", METHOD, df=float(df))
