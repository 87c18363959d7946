"""What the figures of tasks share: colours, rows looked up by their dims, a legend for all, quiet axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
"""Okabe and Ito's, told apart by colour-blind readers."""

GREY = "#777777"
"""For what is only a reference."""

WIDTH = 8.0
"""Of every figure, in inches."""


@dataclass(frozen=True)
class Rows:
    """Rows of a result by their name and those of their dims that tell them apart."""

    by_key: Mapping[tuple[str, frozenset[tuple[str, str]]], MetricRecord]

    def find(self, name: str, **dims: str) -> MetricRecord | None:
        """The row with exactly these dims, whatever its value; None where there is none."""
        return self.by_key.get((name, frozenset(dims.items())))

    def get(self, name: str, **dims: str) -> MetricRecord | None:
        """The row with exactly these dims and a value; None where there is none or its value is null."""
        found = self.find(name, **dims)
        return found if found is not None and found.value is not None else None


def rows_by(record: ResultRecord, *keys: str) -> dict[tuple[str, ...], Rows]:
    """The rows of a result, set apart by their values of these dims (empty where a row lacks one), which `Rows` leaves out."""
    parts: dict[tuple[str, ...], dict[Any, MetricRecord]] = {}
    for metric in record.metrics:
        dims = dict(metric.dims)
        part = tuple(dims.pop(key, "") for key in keys)
        parts.setdefault(part, {})[metric.name, frozenset(dims.items())] = metric
    return {part: Rows(rows) for part, rows in parts.items()}


def value(found: MetricRecord) -> float:
    """The value of a row that `Rows.get` gave."""
    assert found.value is not None
    return found.value


def legend_below(figure: Figure, handles: Mapping[str, Any], columns: int) -> None:
    """One legend for the whole figure under it; nothing without handles."""
    if handles:
        style: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "fontsize": 7, "frameon": False}
        figure.legend(list(handles.values()), list(handles), **style)


def tidy(axis: Any, title: str = "") -> None:
    """Thin grid, small letters, no box."""
    axis.grid(lw=0.3, color="#cccccc")
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    if title:
        axis.set_title(title, fontsize=8, loc="left")
    axis.xaxis.label.set_size(8)
    axis.yaxis.label.set_size(8)
