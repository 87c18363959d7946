"""Rows grouped by cluster: the checks and sums every estimator shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def numbers(values: ArrayLike, name: str = "values") -> Floats:
    """`values` as a 1-D float64 array. Raises ValueError on any other shape and on NaN or infinite rows."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; found shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {int((~np.isfinite(array)).sum())} rows that are not finite; filter them first")
    return array


def credits_of(values: ArrayLike, name: str = "credits") -> Floats:
    """`values` as credits. Raises ValueError as `numbers` does, and outside 0 to 1."""
    array = numbers(values, name)
    if array.size and (array.min() < 0 or array.max() > 1):
        raise ValueError(f"{name} must lie between 0 and 1; found {array.min():g} to {array.max():g}")
    return array


def code(clusters: ArrayLike, rows: int) -> tuple[Codes, int]:
    """Clusters as integers in the order of their sorted names, and how many there are.

    Raises ValueError unless there is one cluster a row. Sorting makes every later draw independent of row order.
    """
    names = np.asarray(clusters)
    if names.shape != (rows,):
        raise ValueError(f"one cluster a row: found {names.shape} clusters for {rows} rows")
    unique, codes = np.unique(names, return_inverse=True)
    return codes, len(unique)


def effective(sizes: ArrayLike) -> float:
    """Effective number of clusters G* = (sum of sizes)^2 / sum of squared sizes; 0 where all are empty."""
    n = np.asarray(sizes, dtype=np.float64)
    squares = float((n**2).sum())
    return float(n.sum()) ** 2 / squares if squares else 0.0


def cr1(influence: Floats, codes: Codes, groups: int) -> Floats:
    """Covariance (k, k) of coefficients from what each row adds to them, (k, n), summed by cluster.

    CR1: times G/(G - 1) (n - 1)/(n - k), the factor of statsmodels and Stata.
    """
    k, n = influence.shape
    sums = np.array([np.bincount(codes, weights=row, minlength=groups) for row in influence])
    return sums @ sums.T * groups / (groups - 1) * (n - 1) / (n - k)
