"""Every column of the task with its unit and direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.columns import Column, metric
from harness.objectives import GROUPS
from harness.stats.estimate import Estimate
from harness.task import Metric

from .sets import OBJECTIVES

COLUMNS: Mapping[str, Column] = {
    "acc": Column("proportion", True),
    "chance": Column("proportion"),
    "k": Column("count"),
    "d_acc": Column("pp"),
    **{f"d_acc_{g}": Column("pp") for g in GROUPS},
    **{f"d_margin_{g}": Column("sd") for g in GROUPS},
    **{f"d_resid_{g}": Column("pp") for g in GROUPS},
    "chance_slope": Column("ratio"),
    "fidelity": Column("ratio"),
    "margin_gain": Column("ratio"),
    **{f"kappa_{o}": Column("ratio") for o in OBJECTIVES},
    **{f"excess_{g}": Column("pp") for g in GROUPS},
    **{f"z_{g}": Column("sd") for g in GROUPS},
    **{f"p_emp_{g}": Column("proportion") for g in GROUPS},
    **{f"effect_per_1pct_{g}": Column("pp") for g in GROUPS},
    "controls": Column("count"),
    "control_k": Column("count"),
    "control_fidelity": Column("ratio"),
    **{f"control_kappa_{o}": Column("ratio") for o in OBJECTIVES},
    **{f"specificity_{o}": Column("ratio") for o in OBJECTIVES},
    **{f"antagonism_{o}": Column("sd") for o in OBJECTIVES},
    **{f"antagonism_p_{kind}_{o}": Column("proportion") for kind in ("items", "same", "matched") for o in OBJECTIVES},
    **{f"tension_{o}": Column("count") for o in OBJECTIVES},
    **{f"layer_share_{third}": Column("proportion") for third in ("early", "mid", "late")},
    "jaccard": Column("proportion"),
    "overlap": Column("ratio"),
    "overlap_frac": Column("proportion"),
    "overlap_lift": Column("ratio"),
    "score_reliability": Column("rho", True),
    "half_overlap": Column("ratio", True),
}


def row(name: str, found: Estimate, dims: Mapping[str, str], **extra: Any) -> Metric:
    """The estimate as a row of the column."""
    return metric(name, found, COLUMNS[name], dims, **extra)


def plain(value: float | None, n: int = 0, reason: str | None = None) -> Estimate:
    """A number without an interval, or null with the reason; NaN is null."""
    if value is None or value != value:
        return Estimate(None, n=n, reason=reason or "undefined in this sample")
    return Estimate(float(value), n=n, reason=reason)
