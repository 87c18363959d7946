"""From an estimate to the row of a result: what every task's columns share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.stats.estimate import Estimate
from harness.task import Interval, Metric


@dataclass(frozen=True)
class Column:
    """Unit of a column (see `Metric`), and whether more is better, worse, or neither (None)."""

    unit: str
    higher_is_better: bool | None = None


def metric(
    name: str,
    found: Estimate,
    column: Column,
    dims: Mapping[str, str],
    *,
    p_holm: float | None = None,
    q_bh: float | None = None,
    main: bool = False,
) -> Metric:
    """The estimate as a metric row, in its own unit; a null value or a missing interval keeps its reason."""
    value = None if found.value is None else float(found.value)
    ends = value is not None and found.low is not None and found.high is not None
    return Metric(
        name=name,
        value=value,
        unit=column.unit,
        dims=dict(dims),
        reason=found.reason or ("undefined" if value is None else None),
        higher_is_better=column.higher_is_better,
        n=found.n,
        n_clusters=found.n_clusters or None,
        se=found.se,
        ci=Interval(float(found.low), float(found.high), found.level, found.method) if ends else None,  # type: ignore[arg-type]
        p=found.p if value is not None else None,
        p_holm=p_holm,
        q_bh=q_bh,
        main=main,
    )
