"""From a task's evaluation to the rows of a result: trivial baselines beside every metric, typed records out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from harness.results.schema import IntervalRecord, MetricRecord
from harness.task import BASELINES, Arrays, Metric, ScoreTable, Task, baseline_table


def evaluate(task: Task, table: ScoreTable, arrays: Arrays, params: Any) -> tuple[MetricRecord, ...]:
    """Metrics of a score table with the trivial baselines beside each: the pure heart of `run` and `recompute`."""
    metrics = task.evaluate(table, arrays, params)
    quick = dataclasses.replace(params, draws=0) if hasattr(params, "draws") else params
    values: dict[str, dict[Any, float | None]] = {}
    for name in BASELINES:
        rows = task.evaluate(baseline_table(table, name), {}, quick)
        values[name] = {m.key: m.value for m in rows}
    return tuple(record(m, {name: values[name].get(m.key) for name in BASELINES}) for m in metrics)


def record(metric: Metric, baselines: dict[str, float | None]) -> MetricRecord:
    """A metric as a row of a result, with what trivial baselines have in its place; numbers to twelve digits."""
    fields = {f.name: getattr(metric, f.name) for f in dataclasses.fields(metric)}
    ci = metric.ci
    ends = {"low": _number(ci.low), "high": _number(ci.high)} if ci else {}
    fields["ci"] = IntervalRecord(**dataclasses.asdict(ci) | ends) if ci and None not in ends.values() else None
    fields["dims"] = {k: str(v) for k, v in metric.dims.items()}
    fields["baselines"] = {k: _number(v) for k, v in baselines.items()}
    for name in ("value", "se", "p", "p_holm", "q_bh"):
        fields[name] = _number(fields[name])
    if fields["value"] is None and not fields["reason"]:
        fields["reason"] = "undefined"
    return MetricRecord(**fields)


def _number(value: float | None) -> float | None:
    """Twelve digits: what lies behind them depends on the order of a sum."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}")


def frame(metrics: Iterable[MetricRecord]) -> pd.DataFrame:
    """Metric rows as a table: one column a dimension, interval ends as `low` and `high`."""
    rows = []
    for m in metrics:
        row = m.model_dump(exclude={"dims", "ci", "baselines"})
        ci = {"low": m.ci.low, "high": m.ci.high, "method": m.ci.method} if m.ci else {}
        rows.append({"name": m.name} | m.dims | row | ci | {f"baseline_{k}": v for k, v in m.baselines.items()})
    return pd.DataFrame(rows)
