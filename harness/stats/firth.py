"""Firth's penalised logit for dependent rows: coefficients that stay finite and little biased where cells are small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from harness.stats.clusters import Floats, code, cr1
from harness.stats.estimate import Estimate, student
from harness.stats.fit import Fit
from harness.stats.least_squares import unfit
from harness.stats.regression import logit_weights, separating

SCALE = "log_odds"
CLOSE = 1e-6
"""Largest step that may be left to the fit, in standard errors where all is indifferent."""


def firth_logit(y: Floats, X: Floats, clusters: ArrayLike, names: Sequence[str], method: str) -> Fit:
    """Logit of y (n,), 0 to 1, on the columns of X (n, k), an intercept only where one is among them; log-odds.

    Firth's penalised likelihood (1993; Heinze & Schemper 2002) takes out the bias of small samples and has a maximum
    under separation too, where its errors mean nothing: ask `separated`. CR1 covariance, t on G_eff - 1. Redundant
    columns, no more rows than columns, a single cluster and a fit that does not end give no fit but a reason.
    """
    codes, groups = code(clusters, y.size)
    size = scale(X)
    design = X / size
    reason = unfit(design, groups)
    coef = None if reason else _maximum(y, design)
    if coef is None:
        reason = reason or "the fit ran away: a combination of features all but determines the outcome"
        return Fit.none(tuple(names), reason, codes, groups, SCALE, method)
    covariance = cr1(_influence(y, design, coef), codes, groups) / np.outer(size, size)
    weights = logit_weights(design, expit(design @ coef)) / size[:, None]
    return Fit(tuple(names), coef / size, covariance, weights, codes, groups, SCALE, method)


def separated(y: Floats, X: Floats, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a combination that predicts y (n,) perfectly (the likelihood alone has no maximum); none: ()."""
    direction = separating(y, X / scale(X))
    return () if direction is None else tuple(n for n, x in zip(names, direction, strict=True) if abs(x) > 1e-6)


def scale(X: Floats) -> Floats:
    """Root mean square of each column of X (n, k), 1 where it is empty: divided by it, units change no fit."""
    root = np.sqrt((X**2).sum(axis=0) / max(1, len(X)))
    return np.where(root > 0, root, 1.0)


def risk_difference(fit: Fit, X: Floats, name: str, instead: Sequence[str] = ()) -> Estimate:
    """Average marginal effect of a 0/1 column: mean over the rows of P(y | name = 1) - P(y | name = 0), as a proportion.

    `instead` are columns that exclude `name` (other cells of the same factor), 0 on both sides. `X` (n, k) is what
    was fitted. Standard error by the delta method from the fit's covariance, t on G_eff - 1. Null with the fit's
    reason; raises ValueError for a column that is not in the fit.
    """
    if fit.reason:
        return Estimate.null(fit.reason, fit.n, fit.n_clusters)
    with_it, without = X.copy(), X.copy()
    for column in (name, *instead):
        with_it[:, fit.names.index(column)] = without[:, fit.names.index(column)] = 0.0
    with_it[:, fit.names.index(name)] = 1.0
    one, zero = (expit(design @ fit.coef) for design in (with_it, without))
    slope = ((one * (1 - one)) @ with_it - (zero * (1 - zero)) @ without) / len(X)
    step = dict(zip(fit.names, slope.tolist(), strict=True))
    se, df = fit.combine(step).se, fit.effective_clusters(step) - 1
    method = f"{fit.method}; average marginal effect"
    return student(float((one - zero).mean()), 0.0 if se is None else se, df, fit.n, fit.n_clusters, method)


def _maximum(y: Floats, X: Floats) -> Floats | None:
    """The maximum of log-likelihood + log|information|/2; None if it is not reached."""
    q, r = np.linalg.qr(X)
    white = 2 * q  # the information is the identity where all is indifferent

    def loss(at: Floats) -> float:
        eta = white @ at
        penalty = np.linalg.slogdet(_information(white, expit(eta)))[1] / 2
        return float(np.logaddexp(0, eta).sum() - y @ eta - penalty)

    def slope(at: Floats) -> Floats:
        return -_information(white, expit(white @ at)) @ _influence(y, white, at).sum(axis=1)

    # Fisher scoring, the textbook way, crawls where single pairs carry a coefficient; quasi-Newton steps do not.
    found = minimize(loss, np.zeros(X.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-9}).x
    step = _influence(y, white, found).sum(axis=1)
    return np.linalg.solve(r, 2 * found) if np.abs(step).max() < CLOSE else None


def _information(X: Floats, mu: Floats) -> Floats:
    return (X * (mu * (1 - mu))[:, None]).T @ X


def _influence(y: Floats, X: Floats, coef: Floats) -> Floats:
    """What each row adds to a step of Fisher scoring, (k, n); its residual has Firth's pull to indifference.

    The pull is h (1/2 - mu), h the leverage of the row. At the maximum the rows add up to 0.
    """
    mu = expit(X @ coef)
    toward = np.linalg.solve(_information(X, mu), X.T)
    leverage = mu * (1 - mu) * (X.T * toward).sum(axis=0)
    return toward * (y - mu + leverage * (0.5 - mu))
