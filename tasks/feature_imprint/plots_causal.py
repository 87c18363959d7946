"""Effects of edits against what the regression predicts for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.results.figures import BLUE, GREY, tidy, value
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import Arrays

from .plots_common import Part, Regression, grouped, heading, reason, regressions, significant, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 5.5
MARGIN = 0.12
"""Of the range of the points, left free around them."""

LETTER, POINT = 6.5, 72.0
"""Size of the letters of a label, and points in an inch."""

RINGS = (7.0, 14.0, 24.0, 36.0, 50.0, 66.0, 84.0)
"""Distances from its point, in points of print, at which a place for a label is looked for."""

SIDES = 16
DOT = 3.0
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Edited:
    """One edit of one member: what it did and what was predicted, both with a value."""

    name: str
    effect: MetricRecord
    predicted: MetricRecord


def causal(record: ResultRecord, arrays: Arrays) -> Figure:
    """Effect of every edit against its prediction, both in s_w with 95 % intervals, a part a member.

    In the shaded quadrants the two have opposite signs; on the dashed line they are equal. Filled where the effect
    differs from 0 after Holm. Raises InputError where no text was edited.
    """
    parts, drawn = [], []
    for one in regressions(record):
        for member in one.members:
            mine = [of for of in one.dims("effect", "member", "feature", "edit") if of["member"] == member]
            if mine:
                title, edits, left_out = _edits(record, one, member, mine)

                def draw(part: Any, edits: Sequence[Edited] = edits) -> Mapping[str, Any]:
                    """The points, whose labels have to wait until the whole figure is laid out."""
                    axis = part.subplots()
                    drawn.append((axis, edits))
                    return _scatter(axis, edits)

                parts.append(Part(title, HEIGHT, left_out, draw))
    if not parts:
        raise InputError("no effect of an edit to draw: run the task with -P feature_imprint.edited_texts=100")
    figure = stacked(parts)
    figure.draw_without_rendering()
    for axis, shown in drawn:
        _label(axis, shown)
    return figure


def _edits(
    record: ResultRecord, one: Regression, member: str, dims: Sequence[Mapping[str, str]]
) -> tuple[str, list[Edited], tuple[str, ...]]:
    """Heading of a member's part, the edits that can be drawn, and what is left out and why."""
    edits, left_out = [], []
    for of in dims:
        effect, predicted = one.rows.get("effect", **of), one.rows.get("effect_predicted", **of)
        if effect is None or predicted is None:
            null = one.rows.find("effect" if effect is None else "effect_predicted", **of)
            left_out.append((of["edit"], reason(null)))
        else:
            edits.append(Edited(of["edit"], effect, predicted))
    agreement = one.rows.get("causal_agreement", member=member)
    told = f", signs agree for {value(agreement):.0%} of {agreement.n} significant edits" if agreement else ""
    title = heading(record, one, f"{member}: what edits do and what the regression predicts{told}")
    return title, edits, grouped(left_out)


def _scatter(axis: Any, edits: Sequence[Edited]) -> Mapping[str, Any]:
    """Points, intervals and lines of one member; legend handles by label."""
    from matplotlib.lines import Line2D

    for edit in edits:
        x, y = value(edit.predicted), value(edit.effect)
        if edit.predicted.ci is not None:
            axis.plot([edit.predicted.ci.low, edit.predicted.ci.high], [y, y], color=GREY, lw=0.6, zorder=2)
        if edit.effect.ci is not None:
            axis.plot([x, x], [edit.effect.ci.low, edit.effect.ci.high], color=GREY, lw=0.6, zorder=2)
        axis.plot(x, y, "o", color=BLUE, mfc=BLUE if significant(edit.effect) else "white", ms=4, zorder=4)
    tidy(axis)
    _ground(axis)
    axis.set_xlabel("predicted effect (s_w)")
    axis.set_ylabel("effect of the edit (s_w)")
    return {
        "p < .05 (Holm)": Line2D([], [], color=BLUE, marker="o", ms=4, ls=""),
        "p ≥ .05 (Holm)": Line2D([], [], color=BLUE, marker="o", ms=4, ls="", mfc="white"),
        "effect = prediction": Line2D([], [], color=GREY, lw=0.8, ls="--"),
    }


def _ground(axis: Any) -> None:
    """Fixes the limits around the data; then zero lines, the line of equality, and the quadrants of opposite signs."""
    axis.margins(MARGIN)
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    left, right, low, high = min(left, 0.0), max(right, 0.0), min(low, 0.0), max(high, 0.0)
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
    axis.axhline(0, color=GREY, lw=0.8)
    axis.axvline(0, color=GREY, lw=0.8)
    ends = [max(left, low), min(right, high)]
    axis.plot(ends, ends, color=GREY, lw=0.8, ls="--", zorder=1)
    for x, y in (([left, 0], high), ([0, right], low)):
        axis.fill_between(x, 0, y, color=GREY, alpha=0.1, lw=0, zorder=0)


# --- labels that do not lie on each other -----------------------------------------------------------


def _label(axis: Any, edits: Sequence[Edited]) -> None:
    """Names beside the points, each at the nearest free place, with a thin line to its point; outer points first."""
    scale = POINT / axis.get_figure(root=True).dpi

    def printed(x: float, y: float) -> np.ndarray:
        """A place of the axis in points of print."""
        return np.asarray(axis.transData.transform((x, y))) * scale

    spots = np.array([printed(value(e.predicted), value(e.effect)) for e in edits]).reshape(-1, 2)
    taken: list[Box] = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in spots]
    left, low, right, high = axis.bbox.extents * scale
    away = np.hypot(*(spots - spots.mean(axis=0)).T)
    for i in np.argsort(-away, kind="stable"):
        dx, dy, box = _place(spots[i], edits[i].name, taken, (left, low, right, high))
        taken.append(box)
        axis.annotate(
            edits[i].name,
            (value(edits[i].predicted), value(edits[i].effect)),
            (dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=LETTER,
            bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": BLUE, "lw": 0.4, "shrinkA": 0, "shrinkB": 2},
            zorder=5,
        ).set_in_layout(False)


def _place(spot: np.ndarray, name: str, taken: Sequence[Box], frame: Box) -> tuple[float, float, Box]:
    """Offset of a label's centre from its point, and the box it fills, in points of print; the nearest that is free."""
    half_width, half_height = 0.3 * LETTER * len(name) + 1, 0.6 * LETTER
    for ring in RINGS:
        for angle in np.arange(SIDES) * 2 * np.pi / SIDES:
            dx = float(np.cos(angle)) * (ring + half_width)
            dy = float(np.sin(angle)) * (ring + half_height * 0.5)
            x, y = spot[0] + dx, spot[1] + dy
            box = (x - half_width, y - half_height, x + half_width, y + half_height)
            inside = box[0] > frame[0] and box[1] > frame[1] and box[2] < frame[2] and box[3] < frame[3]
            if inside and not any(_overlap(box, other) for other in taken):
                return dx, dy, box
    return dx, dy, box


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
