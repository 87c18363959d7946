"""What the figures share: the rows of a model looked up by their dims, colours, one part of a figure for each model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"
LIGHT_BLUE, LIGHT_ORANGE = "#56B4E9", "#E69F00"
"""Okabe and Ito's, told apart by colour-blind readers, and a grey for what is only a reference."""

WIDTH = 8.0
"""Of every figure, in inches."""

HEAD = 0.35
"""Height of the title of a part, in inches."""

LETTERS = 110
"""Of a note, that fit the width."""


@dataclass(frozen=True)
class Rows:
    """The rows of one model, by name and the dims besides the member."""

    member: str
    by_key: Mapping[tuple[str, frozenset[tuple[str, str]]], MetricRecord]

    def get(self, name: str, **dims: str) -> MetricRecord | None:
        """The row with exactly these dims and a value; None where there is none or its value is null."""
        found = self.find(name, **dims)
        return found if found is not None and found.value is not None else None

    def find(self, name: str, **dims: str) -> MetricRecord | None:
        """The row with exactly these dims; None where there is none."""
        return self.by_key.get((name, frozenset(dims.items())))

    def having(self, name: str, dim: str) -> dict[str, MetricRecord]:
        """Rows of this name whose only dim is this one, by its value, in the order of the result."""
        rows = ((dict(key), row) for (known, key), row in self.by_key.items() if known == name)
        return {key[dim]: row for key, row in rows if set(key) == {dim}}


def value(found: MetricRecord) -> float:
    """The value of a row that `Rows.get` gave."""
    assert found.value is not None
    return found.value


def measured(record: ResultRecord) -> list[Rows]:
    """Every model with rows of its own; raises InputError where the result has none."""
    models: dict[str, dict[Any, MetricRecord]] = {}
    for metric in record.metrics:
        dims = dict(metric.dims)
        models.setdefault(dims.pop("member", ""), {})[metric.name, frozenset(dims.items())] = metric
    found = [Rows(member, rows) for member, rows in models.items() if member]
    if not found:
        raise InputError(f"no model was measured: the run was {record.status}, {record.reason or 'without items'}")
    return found


def stacked(
    record: ResultRecord,
    title: str,
    height: float,
    draw: Callable[[Any, Rows], Mapping[str, Any]],
    models: list[Rows],
    note: str = "",
) -> Figure:
    """A figure with an axis, `height` inches high, for each of the models; one title with a note, and one legend, for all.

    `draw` fills an axis and returns handles by label; a label that several share is shown once.
    """
    from matplotlib.figure import Figure

    lines = [f"{record.subject.name}: {title}", *textwrap.wrap(note, LETTERS)]
    figure = Figure(figsize=(WIDTH, (height + HEAD) * len(models) + 0.45 + 0.15 * len(lines)), layout="constrained")
    figure.suptitle("\n".join(lines), fontsize=9, x=0.01, ha="left")
    legend: dict[str, Any] = {}
    for axis, rows in zip(figure.subplots(len(models), 1, sharex=True, squeeze=False)[:, 0], models, strict=True):
        if len(record.subject.members) > 1:
            axis.set_title(rows.member, fontsize=8, loc="left")
        legend |= draw(axis, rows)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_axisbelow(True)
        axis.label_outer()
    if legend:
        style = {"loc": "outside lower center", "ncols": len(legend), "fontsize": 7, "frameon": False}
        figure.legend(legend.values(), legend.keys(), **style)
    return figure


def percent(found: MetricRecord) -> str:
    """A proportion with its interval, in per cent."""
    text = f"{100 * value(found):.1f} %"
    return text if found.ci is None else f"{text} [{100 * found.ci.low:.1f}, {100 * found.ci.high:.1f}]"
