"""What the figures share: rows looked up by their dims, colours, one part of a figure for each ablated model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import GREY, WIDTH, Rows, legend_below, rows_by, value
from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 0.0001
"""Smaller p are printed as such."""

HEAD = 0.35
"""Height of the title of a part, in inches."""


@dataclass(frozen=True)
class Ablated:
    """The rows of one ablated model, by name and the dims besides member and seed."""

    member: str
    seed: str
    rows: Rows

    @property
    def name(self) -> str:
        """`member.seed`, as arrays are called."""
        return f"{self.member}.{self.seed}"

    def values(self, dim: str, name: str, **dims: str) -> list[str]:
        """What `dim` is in the rows of this name with these dims and no others; in the order of the rows."""
        wanted = set(dims.items())
        return [
            dict(key)[dim]
            for n, key in self.rows.by_key
            if n == name and wanted < key and {dim} == {d for d, _ in key - wanted}
        ]


def ablated(record: ResultRecord) -> list[Ablated]:
    """Every ablated model with its rows; raises InputError where the result has none."""
    parts = rows_by(record, "member", "seed")
    found = [
        Ablated(part[0], part[1], rows) for part, rows in parts.items() if any(name == "k" for name, _ in rows.by_key)
    ]
    if not found:
        raise InputError(f"no model was ablated: the run was {record.status}, {record.reason or 'without neurons'}")
    return found


def headline(record: ResultRecord) -> str:
    """The headline per cent as `p` dims spell it."""
    return f"{float(record.task.params['headline']):g}"


def stacked(
    record: ResultRecord, title: str, height: float, draw: Callable[[Any, Ablated], Mapping[str, Any]], columns: int = 3
) -> Figure:
    """A figure with a part, `height` inches high, for each ablated model, and one legend of `columns` for all.

    `draw` fills a part and returns handles by label; a label that several parts share is shown once.
    """
    from matplotlib.figure import Figure

    models = ablated(record)
    figure = Figure(figsize=(WIDTH, (height + HEAD) * len(models)), layout="constrained")
    legend: dict[str, Any] = {}
    for part, rows in zip(figure.subfigures(len(models), 1, squeeze=False)[:, 0], models, strict=True):
        alone = len(record.subject.members) == 1
        who = record.subject.name if alone else f"{record.subject.name}: {rows.member}, seed {rows.seed}"
        part.suptitle(f"{who}\n{title}", fontsize=9, x=0.01, ha="left")
        legend |= draw(part, rows)
    legend_below(figure, legend, columns)
    return figure


def interval(axis: Any, x: float, found: MetricRecord, colour: str, **style: Any) -> None:
    """A point at (x, value) with its 95 % interval as a vertical line, where it has one."""
    if found.ci is not None:
        axis.plot([x, x], [found.ci.low, found.ci.high], color=colour, lw=0.9, zorder=3)
    axis.plot(x, value(found), color=colour, **({"marker": "o", "ms": 4, "ls": "", "zorder": 4} | style))


def spell(found: MetricRecord) -> str:
    """A value with its interval and its p, where it has them."""
    text = f"{found.value:+z.2f}"
    if found.ci is not None:
        text += f" [{found.ci.low:+z.2f}, {found.ci.high:+z.2f}]"
    if found.p is not None:
        text += f", p {found.p:.4f}" if found.p >= LEAST else f", p < {LEAST:.4f}"
    return text.replace("-", "−")


def say(axis: Any, text: str) -> None:
    """Why an axis is empty, in its middle."""
    import textwrap

    axis.text(
        0.5, 0.5, textwrap.fill(text, 28), ha="center", va="center", fontsize=7, color=GREY, transform=axis.transAxes
    )
