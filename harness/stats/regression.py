"""Logistic regression of credits on features of pairs, with errors for dependent rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import linprog
from scipy.special import expit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from harness.stats.clusters import Codes, Floats, code, credits_of, effective, numbers
from harness.stats.estimate import LEVEL, Estimate, quantile


@dataclass(frozen=True)
class LogitFit:
    """Coefficients in log-odds, the intercept first, (k + 1,) each; average marginal effects of the k features.

    With a `reason` there was nothing to estimate and every array is empty.
    """

    coef: Floats
    se: Floats
    df: Floats
    p: Floats
    ame: Floats
    ame_se: Floats
    n: int
    n_clusters: int
    reason: str | None = None


def quasi_logit(outcome: ArrayLike, X: ArrayLike, clusters: ArrayLike) -> LogitFit:
    """Logit of outcomes from 0 to 1 (n,) on an intercept and X (n, k), by quasi-likelihood (Papke & Wooldridge 1996).

    CR1 standard errors; t on G_eff - 1 for each coefficient, G_eff = (sum a^2)^2/sum a^4 over the weights a of
    the clusters in it; p is 1 where the outcomes leave no spread or one cluster carries the coefficient. `ame`
    is the mean change of P(outcome) per unit of a feature, se by the delta method. Separation, rank deficiency
    and a single cluster give a fit with a `reason`. Raises ValueError on NaN.
    """
    y = credits_of(outcome, "outcome")
    design = np.column_stack([np.ones(y.size), matrix(X, y.size)])
    codes, groups = code(clusters, y.size)
    reason = _not_estimable(y, design, groups)
    if reason:
        return _unfitted(reason, y.size, groups)
    with warnings.catch_warnings():  # separation is ruled out above; a constant outcome that fits exactly is none
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # what does not end in numbers is said below
        fit = GLM(y, design, family=Binomial()).fit(cov_type="cluster", cov_kwds={"groups": codes})
    coef, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    if not (np.isfinite(coef).all() and np.isfinite(covariance).all()):
        return _unfitted("the fit ran away: a combination of features all but determines the outcome", y.size, groups)
    se = np.sqrt(np.diag(covariance))
    df = _effective_clusters(design, np.asarray(fit.mu), codes) - 1
    statistic = np.divide(coef, se, out=np.zeros_like(coef), where=se > 1e-12)
    p = 2 * stats.t.sf(np.abs(statistic), np.maximum(df, 1e-9))
    ame, ame_se = _marginal(design, coef, covariance)
    return LogitFit(coef, se, df, p, ame, ame_se, y.size, groups)


def _unfitted(reason: str, n: int, groups: int) -> LogitFit:
    none = np.empty(0)
    return LogitFit(none, none, none, none, none, none, n, groups, reason)


def length_controlled(credits: ArrayLike, dlog_length: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Accuracy (0 to 1) at equal length: sigmoid of the intercept of credit on log length, chosen minus rejected.

    `dlog_length` (n,) is log words of the chosen reply minus those of the rejected one. The interval is that of the
    linear predictor, transformed. Null where the logit cannot be fitted. Raises ValueError on NaN.
    """
    fit = quasi_logit(credits, numbers(dlog_length, "dlog_length")[:, None], clusters)
    if fit.reason:
        return Estimate.null(fit.reason, fit.n, fit.n_clusters)
    centre, se, df = (float(x[0]) for x in (fit.coef, fit.se, fit.df))
    value = float(expit(centre))
    method = "quasi-binomial logit, CR1, t"
    if df < 1:
        reason = f"{df + 1:.2g} effective clusters: an interval needs two"
        return Estimate(value, n=fit.n, n_clusters=fit.n_clusters, method=method, reason=reason)
    arm = quantile(LEVEL, df) * se
    low, high = float(expit(centre - arm)), float(expit(centre + arm))
    return Estimate(value, value * (1 - value) * se, low, high, LEVEL, fit.n, fit.n_clusters, df, None, method)


def vif(X: ArrayLike) -> Floats:
    """Uncentred variance inflation factor of each column of X (n, k): 1/(1 - R^2) on the others, infinite if redundant."""
    columns = np.asarray(X, dtype=np.float64).T
    return np.array([_inflation(x, np.delete(columns, j, axis=0).T) for j, x in enumerate(columns)])


def matrix(X: ArrayLike, rows: int) -> Floats:
    """`X` as a float64 array (rows, k). Raises ValueError on another shape and on values that are not finite."""
    features = np.asarray(X, dtype=np.float64)
    if features.ndim != 2 or len(features) != rows:
        raise ValueError(f"X must be ({rows}, k); found shape {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("X has values that are not finite; filter those rows first")
    return features


def _not_estimable(y: Floats, design: Floats, groups: int) -> str | None:
    if groups < 2:
        return f"{groups} clusters: a regression needs two"
    norms = np.linalg.norm(design, axis=0)
    if (norms == 0).any() or np.linalg.matrix_rank(design / norms) < design.shape[1]:
        return "rank deficiency: a feature is constant or a combination of others"
    if separating(y, design / norms) is not None:
        return "separation: a combination of features predicts the outcome perfectly, no finite coefficients"
    return None


def separating(outcome: Floats, design: Floats) -> Floats | None:
    """A direction (k,) of the columns that improves a logit's fit without end, or None: the linear programme of Konis (2007).

    `outcome` (n,) from 0 to 1; a row between 0 and 1 pulls both ways, so along such a direction it may not move at all.
    """
    sides = np.sign(2 * outcome - 1)[:, None] * design
    whole = (outcome == 0) | (outcome == 1)
    answer = linprog(
        -sides[whole].sum(axis=0),
        A_ub=-sides[whole] if whole.any() else None,
        b_ub=np.zeros(int(whole.sum())) if whole.any() else None,
        A_eq=design[~whole] if (~whole).any() else None,
        b_eq=np.zeros(int((~whole).sum())) if (~whole).any() else None,
        bounds=(-1, 1),
    )
    # The programme is homogeneous: a direction that helps at all reaches the box, and without one only 0 is left.
    return answer.x if answer.status == 0 and np.abs(answer.x).max() > 0.5 else None


def logit_weights(design: Floats, mu: Floats) -> Floats:
    """What each row adds to a logit's coefficients (k, n) per standard deviation of its outcome at probability `mu` (n,)."""
    root = np.sqrt(mu * (1 - mu))[:, None] * design
    return np.asarray(np.linalg.solve(root.T @ root, root.T), dtype=np.float64)


def _effective_clusters(design: Floats, mu: Floats, codes: Codes) -> Floats:
    """G_eff of each coefficient; a cluster's squared weight sums the squared weights of its rows."""
    return np.array([effective(np.bincount(codes, weights=row)) for row in logit_weights(design, mu) ** 2])


def _marginal(design: Floats, coef: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Average marginal effects of the features and their delta-method standard errors."""
    mu = expit(design @ coef)
    density = mu * (1 - mu)
    curvature = (density * (1 - 2 * mu)) @ design / len(design)
    jacobian = density.mean() * np.eye(len(coef)) + np.outer(coef, curvature)
    se = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    return density.mean() * coef[1:], se[1:]


def _inflation(x: Floats, others: Floats) -> float:
    rest = x - others @ np.linalg.lstsq(others, x)[0]
    total, left = float(x @ x), float(rest @ rest)
    return total / left if left > 1e-12 * total else float("inf")
