"""Which features decide a choice between two replies, in log-odds; and where a model pays more for one than people do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Floats, code, credits_of, numbers
from harness.stats.differences import unit
from harness.stats.firth import SCALE, firth_logit, separated
from harness.stats.fit import Fit
from harness.stats.least_squares import named, unfit

METHOD = "Firth logit without intercept, CR1, t"
MARGIN = "margin"
"""The model's own margin among the names of `gap`."""


def choice(credits: ArrayLike, X: ArrayLike, clusters: ArrayLike, names: Sequence[str]) -> Fit:
    """Intercept-free logit of "chosen is preferred" on features, in log-odds per unit of a feature; above 0: preferred.

    `credits` (n,) are 0 to 1, ties one half; `X` (n, k) is chosen minus rejected. Without an intercept, exchanging
    the sides of any pairs (credit to 1 - credit, X to -X) changes nothing, and people's choices are all credits
    of 1. Firth's penalised likelihood (1993; Heinze & Schemper 2002) takes out the bias of small samples. CR1
    covariance, t on G_eff - 1. Separation is reported, not smoothed away: it gives no fit but a reason, as do
    redundant features, fewer rows than features need, and a single cluster. Raises ValueError on NaN, on credits
    outside 0 to 1, and unless there is one name a column.
    """
    outcome = credits_of(credits)
    return _fit(outcome, named(X, outcome.size, names), clusters, tuple(names))


def gap(d: ArrayLike, X: ArrayLike, clusters: ArrayLike, names: Sequence[str]) -> Fit:
    """Log-odds per unit of a feature by which a model pays more than people do at equal reward; below 0: less.

    gap_j = -gamma_j in the intercept-free Firth logit of people's choice on b d + sum gamma_j X_j (corrections to
    the methods, 5). `d` (n,) are the model's margins and `X` (n, k) the features, both chosen minus rejected. The
    fit's names are "margin" and then the features; "margin" is b, log-odds of people's choice per s_w =
    sqrt(mean(d^2)/2) of the margin, so multiplying d by a positive number changes nothing. All features shrunk
    together is a noisy model: one with people's own mean utility has 4 to 6 % false alarms a feature while its noise
    is a tenth of the SD of what else people value, and up to 10 % at 2,000 pairs with three tenths. Reasons and errors as `choice`; also ValueError on a feature called "margin".
    """
    margins = numbers(d, "d")
    features = named(X, margins.size, names)
    if MARGIN in names:
        raise ValueError(f"{MARGIN!r} is the model's own margin: give the feature of that name another")
    in_unit = margins / unit(margins) if margins.any() else margins
    design = np.column_stack([in_unit, features])
    fit = _fit(np.ones(margins.size), design, clusters, (MARGIN, *names))
    if fit.reason:
        return fit
    sign = np.array([1.0, *[-1.0] * len(names)])
    covariance = np.outer(sign, sign) * fit.covariance
    return replace(fit, coef=sign * fit.coef, covariance=covariance, row_weights=sign[:, None] * fit.row_weights)


def _fit(y: Floats, X: Floats, clusters: ArrayLike, names: tuple[str, ...]) -> Fit:
    codes, groups = code(clusters, y.size)
    reason = _not_estimable(y, X, groups, names)
    if reason:
        return Fit.none(names, reason, codes, groups, SCALE, METHOD)
    return firth_logit(y, X, clusters, names, METHOD)


def _not_estimable(y: Floats, X: Floats, groups: int, names: tuple[str, ...]) -> str | None:
    if alike := [name for name, column in zip(names, X.T, strict=True) if not column.any()]:
        return f"no pair differs in {', '.join(alike)}"
    if reason := unfit(X, groups):
        return reason
    if involved := separated(y, X, names):
        return f"separation: choices are predicted perfectly by {', '.join(involved)}, no finite coefficients"
    return None
