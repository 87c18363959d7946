"""What the figures share: rows looked up by their dims, colours, the regressions of a result, parts above each other."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import GREY, WIDTH, Rows, legend_below, rows_by
from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNIFICANT = 0.05
SOURCE = "source"
ACROSS = 3
"""Members beside each other."""


@dataclass(frozen=True)
class Regression:
    """The rows of one regression of a result: of the text features (`source` empty), or of labels."""

    source: str
    rows: Rows

    def dims(self, name: str, *keys: str) -> list[dict[str, str]]:
        """Dims of the rows of this name that have exactly these keys, in the order of the rows."""
        return [dict(key) for n, key in self.rows.by_key if n == name and {k for k, _ in key} == set(keys)]

    @property
    def members(self) -> list[str]:
        """Members with coefficients."""
        return list(dict.fromkeys(of["member"] for of in self.dims("beta", "member", "feature", "kind")))


def regressions(record: ResultRecord) -> list[Regression]:
    """Every regression of a result that has members; raises InputError where there is none."""
    parts = rows_by(record, SOURCE)
    found = [made for (source,), rows in parts.items() if (made := Regression(source, rows)).members]
    if not found:
        raise InputError(
            f"no row of beta to draw: the run was {record.status}, {record.reason or 'without coefficients'}"
        )
    return found


def heading(record: ResultRecord, regression: Regression, title: str) -> str:
    """Who was measured and on what, above what is shown."""
    who = f"{record.subject.name} ({regression.source})" if regression.source else record.subject.name
    return f"{who}\n{title}"


def reason(found: MetricRecord | None) -> str:
    """Why a row has no value, in brackets."""
    return f"({(found and found.reason) or 'no such row'})"


def grouped(left_out: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """(name, why) as text, the names that share a why together."""
    said: dict[str, list[str]] = {}
    for name, why in left_out:
        said.setdefault(why, []).append(name)
    return tuple(f"{', '.join(names)} {why}" for why, names in said.items())


def significant(found: MetricRecord | None) -> bool:
    """Whether a row differs from 0 after Holm."""
    return found is not None and found.p_holm is not None and found.p_holm < SIGNIFICANT


def chunks(members: Sequence[str]) -> list[Sequence[str]]:
    """Members in lines of at most three."""
    return [members[i : i + ACROSS] for i in range(0, len(members), ACROSS)]


@dataclass(frozen=True)
class Part:
    """A part of a figure: its heading, its height in inches, what it leaves out and why, and what draws it."""

    heading: str
    height: float
    left_out: tuple[str, ...]
    draw: Callable[[Any], Mapping[str, Any]]
    """Draws into a subfigure and returns legend handles by label."""


def stacked(parts: Sequence[Part], columns: int = 4) -> Figure:
    """Parts above each other and one legend of `columns` below; what is left out is said under its part."""
    from matplotlib.figure import Figure

    notes = [textwrap.fill("not drawn: " + "; ".join(part.left_out), 140) if part.left_out else "" for part in parts]
    heights = [part.height + 0.15 * note.count("\n") for part, note in zip(parts, notes, strict=True)]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
    legend: dict[str, Any] = {}
    places = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for place, part, note in zip(places, parts, notes, strict=True):
        place.suptitle(part.heading, fontsize=9, x=0.01, ha="left")
        if note:
            place.supxlabel(note, fontsize=6.5, x=0.01, ha="left", color=GREY)
        legend |= part.draw(place)
    legend_below(figure, legend, columns)
    return figure
