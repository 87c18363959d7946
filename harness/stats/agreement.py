"""Do two labelings agree? On levels beyond chance, and on the differences of pairs that regressions rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from harness.stats.clusters import Codes, Floats, code, effective, numbers
from harness.stats.estimate import Estimate, student


def kappa(a: ArrayLike, b: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Cohen's kappa (1960) of two labelings (n,) of the same rows: 1 full agreement, 0 what chance brings, below 0 less.

    Labels are categories, strings or numbers; rows are joined by the caller. Linearised in the shares of cells,
    CR1, t on Fisher's z, on G* - 1 (near 1 a plain t interval covers 90 %, this one 94), p against 0. Null without rows and where all labels are one
    category, so that chance alone agrees everywhere; no interval where the linearisation has no spread: full
    agreement, or one labeling of a single category. Raises ValueError on missing labels and unequal lengths.
    """
    first, second, categories = _categories(a, b)
    n = first.size
    codes, groups = code(clusters, n)
    if categories < 2:
        return Estimate.null("one category: chance alone agrees everywhere" if n else "no rows", n, groups)
    shares = [np.bincount(x, minlength=categories) / n for x in (first, second)]
    observed, chance = float((first == second).mean()), float(shares[0] @ shares[1])
    value = (observed - chance) / (1 - chance)
    by_chance = shares[1][first] + shares[0][second] - 2 * chance
    influence = ((first == second) - observed - (1 - value) * by_chance) / (n * (1 - chance))
    return _linearised(value, influence, codes, groups, effective(np.bincount(codes)))


def retest_correlation(dx_first: ArrayLike, dx_second: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Uncentred correlation, -1 to 1, of a feature's pair differences labelled twice (n,): the label's reliability.

    sum xy / sqrt(sum x^2 sum y^2), x and y chosen minus rejected, so exchanging the sides of any pairs in both
    changes nothing. A regression on differences is attenuated by it, and a kappa of levels at .7 may come with .3
    (corrections to the methods, 20). CR1 and t on Fisher's z, on G_eff - 1 of the clusters that differ, p against 0.
    Null where one labeling has no pair that differs; no interval where the two are proportional. Raises ValueError
    on NaN and unequal lengths.
    """
    x, y = numbers(dx_first, "dx_first"), numbers(dx_second, "dx_second")
    if x.shape != y.shape:
        raise ValueError(f"one difference a pair in both: found {x.size} and {y.size}")
    codes, groups = code(clusters, x.size)
    if not (x.any() and y.any()):
        return Estimate.null("no pair differs in one of the labelings", x.size, groups)
    x, y = (v / np.sqrt((v**2).sum()) for v in (x, y))
    value, size = float(np.clip(x @ y, -1, 1)), (x**2 + y**2) / 2
    influence = x * y - value * size
    return _linearised(value, influence, codes, groups, effective(np.bincount(codes, weights=size)))


def _categories(a: ArrayLike, b: ArrayLike) -> tuple[Codes, Codes, int]:
    """Both labelings as numbers of shared categories, and how many of these there are."""
    labels = [np.asarray(x, dtype=object) for x in (a, b)]
    if labels[0].ndim != 1 or labels[0].shape != labels[1].shape:
        raise ValueError(f"one label a row in both: found shapes {labels[0].shape} and {labels[1].shape}")
    codes, categories = pd.factorize(np.concatenate(labels))
    if missing := int((codes < 0).sum()):
        raise ValueError(f"{missing} labels are missing: leave out rows that one labeling has not")
    return codes[: labels[0].size], codes[labels[0].size :], len(categories)


def _linearised(value: float, influence: Floats, codes: Codes, groups: int, g_eff: float) -> Estimate:
    """A number from -1 to 1 whose rows move it by `influence` (n,), adding up to 0: CR1, t on Fisher's z, g_eff - 1."""
    sums = np.bincount(codes, weights=influence, minlength=groups)
    se = float(np.sqrt((sums**2).sum() * groups / max(1, groups - 1)))
    if se < 1e-12:
        reason = f"no spread between {groups} clusters: no interval"
        return Estimate(value, n=codes.size, n_clusters=groups, reason=reason)
    method = "linearised, CR1, t on Fisher's z"
    z = student(float(np.arctanh(value)), se / (1 - value**2), g_eff - 1, codes.size, groups, method)
    if z.low is None or z.high is None:
        return replace(z, value=value)
    return replace(z, value=value, se=se, low=float(np.tanh(z.low)), high=float(np.tanh(z.high)))
