"""What a run gives back: the record with its table, for people, for pandas and for figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness import metrics
from harness.errors import InputError
from harness.results import store
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import TASKS, ScoreTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """One task on one subject, as it lies in `folder`; `written` is False where it lay there already."""

    record: ResultRecord
    folder: Path
    written: bool = True

    @cached_property
    def table(self) -> ScoreTable:
        """The score table, read from the folder."""
        return store.read_samples(self.folder)

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The named arrays, read from the folder."""
        return store.read_arrays(self.folder)

    def to_frame(self) -> pd.DataFrame:
        """All metric rows, one column a dimension."""
        return metrics.frame(self.record.metrics)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready data."""
        return self.record.model_dump(mode="json")

    def metric(self, name: str, **dims: str) -> MetricRecord:
        """The one metric of this name whose dims include `dims`; raises KeyError naming what there is otherwise."""
        found = [m for m in self.record.metrics if m.name == name and dims.items() <= m.dims.items()]
        if len(found) != 1:
            raise KeyError(f"{len(found)} metrics are called {name!r} with {dims}: {[m.dims for m in found][:8]}")
        return found[0]

    @property
    def failed_checks(self) -> list[str]:
        """A line for every model in which a doctor found something that makes its scores wrong."""
        record = self.record
        models = {(m.member, m.seed): m.model.id for m in record.subject.members}
        failed = {models[e.member, e.seed]: [f for f in e.findings if f.status == "fail"] for e in record.examinations}
        return [
            f"{model} fails {len(some)} of the doctor's checks: {'; '.join(f'{f.check}: {f.reason}' for f in some)}"
            for model, some in failed.items()
            if some
        ]

    def summary(self, main: bool = False) -> str:
        """The result in lines of text: status, counts, then every metric with its interval, or only the `main` ones."""
        r = self.record
        head = f"{r.task.name}@{r.task.version}  {r.subject.name}  {r.status}" + (f": {r.reason}" if r.reason else "")
        counts = "  ".join(f"{k} {v}" for k, v in r.counts.model_dump().items())
        return "\n".join([head, counts, *self.failed_checks, *(line(m) for m in r.metrics if m.main or not main)])

    def __repr__(self) -> str:
        main = [line(m) for m in self.record.metrics if m.main]
        return f"<{self.record.task.name} of {self.record.subject.name}: {'; '.join(main) or self.record.status}>"

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the task's own figures; raises InputError where the task is not known here."""
        return tuple(TASKS.get(self.record.task.name).plots)

    def plot(self, names: tuple[str, ...] = (), *, figure: str | None = None) -> Figure:
        """A matplotlib figure: metrics in percentage points and proportions with their intervals and the trivial baselines.

        `names` chooses metrics; `figure` names one of the task's own `figures` instead. Raises HarnessError without
        matplotlib, InputError where there is no such figure or nothing to draw it from.
        """
        from harness.results.plot import forest, need_matplotlib

        need_matplotlib()
        if figure is None:
            return forest(self.record, names)
        if figure not in self.figures:
            offered = ", ".join(self.figures) or "none of its own; leave `figure` out for its metrics"
            raise InputError(f"{self.record.task.name} has no figure {figure!r}; it has {offered}")
        return TASKS.get(self.record.task.name).plots[figure](self.record, self.arrays)


def line(metric: MetricRecord) -> str:
    """One metric as text: name, dims, value with interval and unit, or the reason for its absence."""
    dims = ", ".join(f"{k}={v}" for k, v in metric.dims.items())
    name = f"{metric.name}[{dims}]" if dims else metric.name
    if metric.value is None:
        return f"{name} = null ({metric.reason})"
    return f"{name} = {spell(metric)}" + (f"  n={metric.n}" if metric.n is not None else "")


def spell(metric: MetricRecord) -> str:
    """A value with its interval, proportions as per cent: the only place where per cent appears."""
    if metric.value is None:
        return "–"
    factor, digits, unit = {"proportion": (100, 1, " %"), "pp": (1, 1, " pp"), "count": (1, 0, "")}.get(
        metric.unit, (1, 3, f" {metric.unit}")
    )
    text = f"{metric.value * factor:.{digits}f}"
    if metric.ci is not None:
        text += f" [{metric.ci.low * factor:.{digits}f}, {metric.ci.high * factor:.{digits}f}]"
    return text + unit
