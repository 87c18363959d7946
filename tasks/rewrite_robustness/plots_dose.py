"""How the drop grows with the share of letters or words that noise touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, YELLOW, tidy, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .plots_common import Outcomes, Way, grouped, outcomes, panels, reason, significant, verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 3.4
STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (PURPLE, "^"), (SKY, "v"), (YELLOW, "P"), ("black", "X"))
ASIDE = 0.03
"""Share of the range of rates by which the families stand beside each other, so that intervals can be told apart."""


@dataclass(frozen=True)
class Family:
    """Noise of one family at every rate, in per cent, rising."""

    name: str
    ways: Mapping[float, Way]


def dose(record: ResultRecord, arrays: Arrays) -> Figure:
    """Drop in accuracy (percentage points, above 0 = worse) against the rate of noise, a line a family, with 95 % intervals.

    Raises InputError where no family of noise was run at two rates.
    """
    found = outcomes(record)
    families = _families(found)
    if not families:
        raise InputError(
            "no noise at several rates to draw; run it with -P rewrite_robustness.transforms=standard,noise"
        )
    rates = sorted({rate for family in families for rate in family.ways})

    def draw(axis: Any, member: str) -> Mapping[str, Any]:
        """One member's lines."""
        axis.axhline(0, color=GREY, lw=0.8)
        handles = {}
        for i, family in enumerate(families):
            aside = ASIDE * (rates[-1] - rates[0]) * (i - (len(families) - 1) / 2)
            handles[family.name] = _line(axis, found, member, family, aside, *STYLES[i % len(STYLES)])
        axis.set_xticks(rates)
        tidy(axis)
        axis.set_xlabel("rate of the noise (%)")
        axis.set_ylabel("drop in accuracy (pp)")
        return handles | verdicts(GREY)

    left_out = [
        (f"{way.name} for {member}" if len(found.members) > 1 else way.name, reason(found.find("drop_pp", member, way)))
        for family in families
        for way in family.ways.values()
        for member in found.members
        if found.get("drop_pp", member, way) is None
    ]
    return panels(record, "noise: dose and response", found.members, HEIGHT, draw, grouped(left_out), columns=5)


def _families(found: Outcomes) -> list[Family]:
    """Families with a drop at two rates or more for some member, in the order of the rows."""
    ways: dict[str, dict[float, Way]] = {}
    for (_, way, arm), dims in found.dims.items():
        if arm == "both" and "rate" in dims:
            ways.setdefault(dims["family"], {})[float(dims["rate"].rstrip("%"))] = way
    families = [Family(name, dict(sorted(of.items()))) for name, of in ways.items()]
    return [f for f in families if any(_known(found, m, f) >= 2 for m in found.members)]


def _known(found: Outcomes, member: str, family: Family) -> int:
    return sum(found.get("drop_pp", member, way) is not None for way in family.ways.values())


def _line(axis: Any, found: Outcomes, member: str, family: Family, aside: float, colour: str, marker: str) -> Any:
    """Draws a family; its legend handle."""
    from matplotlib.lines import Line2D

    points = [(rate + aside, row) for rate, way in family.ways.items() if (row := found.get("drop_pp", member, way))]
    axis.plot([x for x, _ in points], [value(row) for _, row in points], color=colour, lw=1.1, zorder=2)
    for x, row in points:
        if row.ci is not None:
            axis.plot([x, x], [row.ci.low, row.ci.high], color=colour, lw=0.7, zorder=3)
        fill = colour if significant(row) else "white"
        axis.plot(x, value(row), marker, color=colour, mfc=fill, ms=4.5, zorder=4)
    return Line2D([], [], color=colour, marker=marker, ms=4.5, lw=1.1)
