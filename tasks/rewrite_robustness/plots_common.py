"""What the figures share: the rows of a result by rewriting, panels by member, what is left out and why."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import InputError
from harness.results.figures import BLUE, GREY, WIDTH, Rows, legend_below, rows_by, value
from harness.results.schema import MetricRecord, ResultRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNIFICANT = 0.05
ACROSS = 3
"""Members beside each other."""

NEEDED = {"member", "set", "transform", "arm"}
POSSIBLE = NEEDED | {"family", "rate"}
"""Dims of a row of one rewriting. A row with others is of a part of the data, or a sensitivity."""


class Way(NamedTuple):
    """A rewriting in whatever arm."""

    kind: str
    name: str


@dataclass(frozen=True)
class Outcomes:
    """The rows of the rewritings of a result."""

    rows: Rows
    dims: Mapping[tuple[str, Way, str], Mapping[str, str]]
    """All dims of a (member, rewriting, arm), in the order of the rows."""

    @property
    def members(self) -> list[str]:
        """Members with rows, in their order."""
        return list(dict.fromkeys(member for member, _, _ in self.dims))

    def find(self, name: str, member: str, way: Way, arm: str = "both") -> MetricRecord | None:
        """A row, whatever its value; None where there is none."""
        dims = self.dims.get((member, way, arm))
        return None if dims is None else self.rows.find(name, **dims)

    def get(self, name: str, member: str, way: Way, arm: str = "both") -> MetricRecord | None:
        """A row with a value; None where there is none or its value is null."""
        found = self.find(name, member, way, arm)
        return found if found is not None and found.value is not None else None

    def ways(self, kind: str) -> list[Way]:
        """The rewritings of a set, the largest drop in the arm `both` first, averaged over members; null ones last."""
        known = dict.fromkeys(way for _, way, _ in self.dims if way.kind == kind)
        return sorted(known, key=lambda way: (-self.drop(way, self.members), way.name))

    def drop(self, way: Way, members: Sequence[str]) -> float:
        """Mean drop over members in the arm `both`, in percentage points; minus infinity where all are null."""
        found = [value(row) for m in members if (row := self.get("drop_pp", m, way)) is not None]
        return sum(found) / len(found) if found else float("-inf")


def outcomes(record: ResultRecord) -> Outcomes:
    """The rows of a result by rewriting; raises InputError where it has none."""
    rows = Rows({key: row for part in _main(record) for key, row in part.by_key.items()})
    dims = {}
    for name, key in rows.by_key:
        of = dict(key)
        if name == "drop_pp" and set(of) >= NEEDED and set(of) <= POSSIBLE:
            dims[of["member"], Way(of["set"], of["transform"]), of["arm"]] = of
    if not dims:
        raise InputError(
            f"no row of drop_pp to draw: the run was {record.status}, {record.reason or 'without rewrites'}"
        )
    return Outcomes(rows, dims)


def _main(record: ResultRecord) -> list[Rows]:
    """The rows that are no sensitivity."""
    return [rows for (of,), rows in rows_by(record, "rows").items() if not of]


def significant(found: MetricRecord | None) -> bool:
    """Whether a row differs from 0 after Holm."""
    return found is not None and found.p_holm is not None and found.p_holm < SIGNIFICANT


def reason(found: MetricRecord | None) -> str:
    """Why a row has no value, in brackets."""
    return f"({(found and found.reason) or 'no such row'})"


def grouped(left_out: Iterable[tuple[str, str]]) -> str:
    """(name, why) as one text, the names that share a why together; empty without any."""
    said: dict[str, list[str]] = {}
    for name, why in left_out:
        said.setdefault(why, []).append(name)
    told = [f"{', '.join(dict.fromkeys(names))} {why}" for why, names in said.items()]
    return f"not drawn: {'; '.join(told)}" if told else ""


def verdicts(colour: str = BLUE) -> dict[str, Any]:
    """Legend handles of filled and open marks."""
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"color": colour, "marker": "o", "ms": 4, "ls": ""}
    return {
        "p < .05 (Holm)": Line2D([], [], **style),
        "p ≥ .05 (Holm)": Line2D([], [], **style, mfc="white"),
    }


def panels(
    record: ResultRecord,
    title: str,
    members: Sequence[str],
    height: float,
    draw: Callable[[Any, str], Mapping[str, Any]],
    note: str = "",
    columns: int = 4,
) -> Figure:
    """A panel of `height` inches a member, three beside each other on the same axes, and one legend below.

    `draw` fills the axes of a member and returns legend handles by label. `note` says what is left out.
    """
    from matplotlib.figure import Figure

    lines = [members[i : i + ACROSS] for i in range(0, len(members), ACROSS)]
    said = textwrap.fill(note, 140)
    tall = height * len(lines) + 0.8 + 0.15 * (said.count("\n") + bool(said))
    figure = Figure(figsize=(WIDTH, tall), layout="constrained")
    # a part of its own, so that the note stands above the legend of the whole
    part: Any = figure.subfigures(1, 1)
    part.suptitle(f"{record.subject.name}\n{title}", fontsize=9, x=0.01, ha="left")
    grid = part.subplots(len(lines), min(ACROSS, len(members)), sharex=True, sharey=True, squeeze=False)
    legend: dict[str, Any] = {}
    for axis, member in zip(grid.flat, members, strict=False):
        legend |= draw(axis, member)
        if len(members) > 1:
            axis.set_title(member, fontsize=8, loc="left")
        # the panel below may be missing
        axis.tick_params(labelbottom=True)
    for axis in grid.flat[len(members) :]:
        axis.remove()
    for axis in grid[:, 1:].flat:
        axis.set_ylabel("")
    if said:
        part.supxlabel(said, fontsize=6.5, x=0.01, ha="left", color=GREY)
    legend_below(figure, legend, columns)
    return figure
