"""Whose part of the explained reward it is: targets, style, length, the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.results.figures import BLUE, GREEN, GREY, ORANGE, tidy, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .columns import SHARES
from .plots_common import Part, Regression, grouped, heading, reason, regressions, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {"target": GREEN, "spoiler": ORANGE, "length": BLUE, "control": GREY}
PER_CENT = 100


def shares(record: ResultRecord, arrays: Arrays) -> Figure:
    """R² of the margins on unseen prompts and the part of each group of features in it (per cent), a bar a member.

    A part below 0, of features that predict worse than nothing, is stacked to the left of 0; the diamond is the sum.
    """
    parts = []
    for one in regressions(record):
        drawn = [m for m in one.members if one.rows.get("r2_heldout", member=m)]
        absent = [(m, reason(one.rows.find("r2_heldout", member=m))) for m in one.members if m not in drawn]
        title = heading(record, one, "reward explained on unseen prompts")
        draw = partial(_bars, one=one, members=drawn)
        parts.append(Part(title, 1.1 + 0.3 * len(drawn), grouped(absent), draw))
    return stacked(parts, columns=5)


def _bars(part: Any, one: Regression, members: Sequence[str]) -> Mapping[str, Any]:
    """The bars of one regression; legend handles by label."""
    axis = part.subplots()
    handles: dict[str, Any] = {}
    for y, member in enumerate(members):
        ends = {True: 0.0, False: 0.0}
        for group in SHARES:
            found = one.rows.get(f"share_heldout_{group}", member=member)
            width = PER_CENT * value(found) if found is not None else 0.0
            bar = axis.barh(
                y, width, left=ends[width >= 0], height=0.6, color=COLOURS[group], edgecolor="white", lw=0.5
            )
            ends[width >= 0] += width
            handles[group] = bar
        total = one.rows.get("r2_heldout", member=member)
        assert total is not None
        if total.ci is not None:
            axis.plot([PER_CENT * total.ci.low, PER_CENT * total.ci.high], [y, y], color="black", lw=0.9)
        (handles["R², 95 % interval"],) = axis.plot(PER_CENT * value(total), y, "D", color="black", ms=4, mfc="white")
    axis.axvline(0, color=GREY, lw=0.8)
    tidy(axis)
    axis.set_yticks(range(len(members)), members)
    axis.set_ylim(len(members) - 0.4, -0.6)
    axis.set_xlabel("per cent of the uncentred variance of the margins")
    return handles
