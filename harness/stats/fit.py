"""A regression on differences of pairs: coefficients with cluster-robust uncertainty, and any weighted sum of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.stats.clusters import Codes, Floats, effective
from harness.stats.estimate import Estimate, student

COLUMNS = ("feature", "coef", "se", "low", "high", "df", "p", "g_eff", "scale", "n", "n_clusters", "reason")


@dataclass(frozen=True)
class Fit:
    """Coefficients of k features of n rows. `scale` names their unit: `sw`, `reward`, or `log_odds`.

    With a `reason` there was nothing to estimate: every array is empty and every estimate null.
    """

    names: tuple[str, ...]
    coef: Floats
    """(k,)"""
    covariance: Floats
    """(k, k), CR1."""
    row_weights: Floats
    """(k, n): what each row adds to a coefficient per unit of its outcome."""
    codes: Codes
    """(n,): cluster of each row, 0 to n_clusters - 1."""
    n_clusters: int
    scale: str
    method: str
    reason: str | None = None
    df: float | None = None
    """Degrees of freedom of every coefficient where the model fixes them; None: G_eff - 1 of what is asked for."""

    @classmethod
    def none(cls, names: tuple[str, ...], reason: str, codes: Codes, n_clusters: int, scale: str, method: str) -> Fit:
        """No fit, and why."""
        empty = np.empty(0)
        return cls(names, empty, np.empty((0, 0)), np.empty((0, 0)), codes, n_clusters, scale, method, reason)

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.codes)

    def estimate(self, name: str) -> Estimate:
        """`combine` of one feature alone. Raises KeyError for a name that is not in the fit."""
        return self.combine({name: 1.0})

    def combine(self, weights: Mapping[str, float]) -> Estimate:
        """The weighted sum of coefficients: t interval, p two-sided against 0; features without a weight count 0.

        The standard error and the degrees of freedom are those of the sum itself: `df` where the fit has one, else
        G_eff - 1. Raises KeyError for a name that is not in the fit.
        """
        c = self._weights(weights)
        if self.reason:
            return Estimate.null(self.reason, self.n, self.n_clusters)
        variance = max(0.0, float(c @ self.covariance @ c))
        df = self.effective_clusters(weights) - 1 if self.df is None else self.df
        return student(float(c @ self.coef), variance**0.5, df, self.n, self.n_clusters, self.method)

    def effective_clusters(self, weights: Mapping[str, float]) -> float:
        """G_eff of a weighted sum of coefficients; 0 without a fit. Raises KeyError for a name that is not in the fit.

        (sum a^2)^2 / sum a^4, a^2 of a cluster the sum of the squared weights of its rows in the sum (corrections to
        the methods, 12).
        """
        c = self._weights(weights)
        return 0.0 if self.reason else effective(np.bincount(self.codes, weights=(c @ self.row_weights) ** 2))

    def to_frame(self) -> pd.DataFrame:
        """One row a feature: coef, se, low, high, df, p, g_eff, scale, n, n_clusters, reason; in the order of the names."""
        rows = []
        for name in self.names:
            found = self.estimate(name)
            rows.append(
                {
                    "feature": name,
                    "coef": found.value,
                    "se": found.se,
                    "low": found.low,
                    "high": found.high,
                    "df": found.df,
                    "p": found.p,
                    "g_eff": self.effective_clusters({name: 1.0}),
                    "scale": self.scale,
                    "n": self.n,
                    "n_clusters": self.n_clusters,
                    "reason": found.reason,
                }
            )
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def summary(self) -> str:
        """The frame as text, under one line that says what was fitted on how many rows."""
        head = f"{self.method}: {self.n} rows, {self.n_clusters} clusters, coefficients in {self.scale}"
        if self.reason:
            return f"{head}\nnot fitted: {self.reason}"
        frame = self.to_frame().drop(columns=["scale", "n", "n_clusters", "reason"])
        return f"{head}\n{frame.to_string(index=False, float_format=lambda x: f'{x:.4g}')}"

    def _weights(self, weights: Mapping[str, float]) -> Floats:
        """(k,), in the order of the names."""
        if unknown := set(weights) - set(self.names):
            raise KeyError(min(unknown))
        return np.array([weights.get(name, 0.0) for name in self.names])
