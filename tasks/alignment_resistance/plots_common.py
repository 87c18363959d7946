"""What the figures share: the rows of a model looked up by their dims, colours, one part of a figure for each model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import WIDTH, Rows, legend_below, rows_by, value
from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD = 0.35
"""Height of the title of a part, in inches."""

LETTERS = 110
"""Of a note, that fit the width."""


@dataclass(frozen=True)
class MemberRows(Rows):
    """The rows of one model, by name and the dims besides the member."""

    member: str = ""

    def having(self, name: str, dim: str) -> dict[str, MetricRecord]:
        """Rows of this name whose only dim is this one, by its value, in the order of the result."""
        rows = ((dict(key), row) for (known, key), row in self.by_key.items() if known == name)
        return {key[dim]: row for key, row in rows if set(key) == {dim}}


def measured(record: ResultRecord) -> list[MemberRows]:
    """Every model with rows of its own; raises InputError where the result has none."""
    parts = rows_by(record, "member")
    found = [MemberRows(rows.by_key, member) for (member,), rows in parts.items() if member]
    if not found:
        raise InputError(f"no model was measured: the run was {record.status}, {record.reason or 'without items'}")
    return found


def stacked(
    record: ResultRecord,
    title: str,
    height: float,
    draw: Callable[[Any, MemberRows], Mapping[str, Any]],
    models: list[MemberRows],
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
    legend_below(figure, legend, len(legend))
    return figure


def percent(found: MetricRecord) -> str:
    """A proportion with its interval, in per cent."""
    text = f"{100 * value(found):.1f} %"
    return text if found.ci is None else f"{text} [{100 * found.ci.low:.1f}, {100 * found.ci.high:.1f}]"
