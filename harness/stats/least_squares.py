"""What every linear regression here shares: named columns, when there is none to fit, and the weight of each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import Floats
from harness.stats.regression import matrix


def named(X: ArrayLike, rows: int, names: Sequence[str]) -> Floats:
    """X as float64 (rows, k). Raises ValueError on NaN, on another shape, and unless each column has a name of its own."""
    design = matrix(X, rows)
    if len(set(names)) != len(names) or len(names) != design.shape[1]:
        raise ValueError(f"{design.shape[1]} columns of X need as many different names; found {list(names)}")
    return design


def unfit(design: Floats, groups: int) -> str | None:
    """Why the columns (n, k) of rows in `groups` clusters have no least-squares coefficients with an error, or None."""
    n, k = design.shape
    if not k:
        return "no feature to regress on"
    if groups < 2:
        return f"{groups} clusters: a regression needs two"
    if n <= k:
        return f"{n} rows for {k} coefficients: a regression needs more rows"
    norms = np.linalg.norm(design, axis=0)
    if (norms == 0).any() or np.linalg.matrix_rank(np.linalg.qr(design / norms, mode="r")) < k:
        return "rank deficiency: a feature is constant or a combination of others"
    return None


def row_weights(design: Floats) -> Floats:
    """(X'X)^-1 X' of X (n, k), (k, n): what each row adds to a coefficient per unit of its outcome."""
    q, r = np.linalg.qr(design)
    return np.linalg.solve(r, q.T)
