"""Margins of the same pairs before and after a rewriting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.results.figures import BLUE, GREEN, GREY, ORANGE, WIDTH, legend_below, tidy
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .plots_common import Outcomes, Way, outcomes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST: Mapping[str, int] = {"core": 4, "stress": 1}
"""Rewritings of a set that are drawn."""

SIDE = 1.95
"""Height of a line of panels, in inches."""


def margins(record: ResultRecord, arrays: Arrays) -> Figure:
    """Margin of every pair after a rewriting against before, in s_w, for a member's four largest core drops and its largest stress one.

    Points of `scatter/{member}/{set}/{transform}` (pairs, 2). Above 0 the model is right. In the shaded quadrants the
    verdict breaks, or is put right; the percentages are shares of the pairs. Raises InputError without such arrays.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    found = outcomes(record)
    chosen = {m: ways for m in found.members if (ways := _chosen(found, arrays, m))}
    if not chosen:
        raise InputError(
            "no margins to draw: the result keeps none of a core or stress rewriting with a drop; it holds "
            f"{', '.join(sorted(arrays)) or 'no arrays'}"
        )
    columns = max(map(len, chosen.values()))
    width = WIDTH * max(columns, 3) / sum(MOST.values())
    figure = Figure(figsize=(width, SIDE * len(chosen) + 0.8), layout="constrained")
    figure.suptitle(
        f"{record.subject.name}\nmargins before and after a rewriting of both replies", fontsize=9, x=0.01, ha="left"
    )
    grid = figure.subplots(len(chosen), columns, sharex="row", sharey="row", squeeze=False)
    for axes, (member, ways) in zip(grid, chosen.items(), strict=True):
        points = [_points(arrays, member, way) for way in ways]
        most = 1.05 * max(float(np.abs(p).max(initial=0.0)) for p in points) or 1.0
        for axis, way, of in zip(axes, ways, points, strict=False):
            _scatter(axis, of, most)
            axis.set_title(f"{way.name}\n{way.kind}, {len(of):,} pairs", fontsize=7, loc="left")
        for axis in axes[len(ways) :]:
            axis.remove()
        axes[0].set_ylabel(f"{member}\nafter (s_w)" if len(found.members) > 1 else "after (s_w)")
    for axis in grid[-1]:
        axis.set_xlabel("before (s_w)")
    handles = {"broken": Patch(color=ORANGE, alpha=0.3), "put right": Patch(color=GREEN, alpha=0.3)}
    legend_below(figure, handles, len(handles))
    return figure


def _chosen(found: Outcomes, arrays: Arrays, member: str) -> list[Way]:
    """The rewritings of a member with margins and the largest drops of their set."""
    ways = [
        way
        for m, way, arm in found.dims
        if m == member and arm == "both" and _name(m, way) in arrays and found.get("drop_pp", m, way) is not None
    ]
    ordered = sorted(ways, key=lambda way: (-found.drop(way, [member]), way.name))
    return [way for kind, most in MOST.items() for way in [w for w in ordered if w.kind == kind][:most]]


def _name(member: str, way: Way) -> str:
    return f"scatter/{member}/{way.kind}/{way.name}"


def _points(arrays: Arrays, member: str, way: Way) -> np.ndarray:
    """(pairs, 2): before and after, both finite."""
    points = np.asarray(arrays[_name(member, way)], dtype=float).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _scatter(axis: Any, points: np.ndarray, most: float) -> None:
    """Points, lines, and the quadrants where the verdict changes with their shares."""
    before, after = points.T
    corner: dict[str, Any] = {"transform": axis.transAxes, "fontsize": 6.5}
    for colour, x, low, share, place in (
        (ORANGE, [0.0, most], -most, np.mean((before > 0) & (after < 0)), {"x": 0.97, "y": 0.04, "ha": "right"}),
        (GREEN, [-most, 0.0], most, np.mean((before < 0) & (after > 0)), {"x": 0.03, "y": 0.96, "va": "top"}),
    ):
        axis.fill_between(x, 0.0, low, color=colour, alpha=0.15, lw=0, zorder=0)
        axis.text(s=f"{share:.1%}", **place, **corner)
    axis.axhline(0, color=GREY, lw=0.6)
    axis.axvline(0, color=GREY, lw=0.6)
    axis.plot([-most, most], [-most, most], color=GREY, lw=0.8, ls="--", zorder=1)
    axis.scatter(before, after, s=4, color=BLUE, alpha=0.35, lw=0, zorder=3, rasterized=True)
    axis.set_xlim(-most, most)
    axis.set_ylim(-most, most)
    axis.set_aspect("equal")
    tidy(axis)
