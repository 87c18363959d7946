"""Figures with a line a rewriting, in groups by set, the largest drop first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, GREEN, GREY, ORANGE, tidy, value
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import Arrays

from .compared import ARMS
from .plots_common import Outcomes, Way, grouped, outcomes, panels, reason, significant, verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 0.165
"""Height of a line, in inches."""

KINDS = ("core", "noise", "stress", "lm", "style", "natural")
PER_CENT = 100
ARM_STYLES = dict(zip(ARMS, ((BLUE, "o", -0.25), (ORANGE, "s", 0.0), (GREEN, "D", 0.25)), strict=True))
"""Colour, marker and place on the line of each arm."""

Mark = Callable[[Any, float, str, Way], None]


@dataclass(frozen=True)
class Lines:
    """What stands on the lines from the top: the name of a set, then its rewritings."""

    found: Outcomes
    ways: tuple[str | Way, ...]
    left_out: str

    @property
    def labels(self) -> list[str]:
        """Beside the axis: a set in capitals, a rewriting with the number of pairs that it changes."""
        return [way.upper() if isinstance(way, str) else f"{way.name} ({self._pairs(way)})" for way in self.ways]

    def _pairs(self, way: Way) -> str:
        numbers = {
            row.n
            for member in self.found.members
            if (row := self.found.get("drop_pp", member, way)) and row.n is not None
        }
        return "–".join(f"{n:,}" for n in sorted({min(numbers), max(numbers)})) if numbers else "?"


def dumbbell(record: ResultRecord, arrays: Arrays) -> Figure:
    """Accuracy before and after every rewriting of both replies, in per cent of the pairs that it changes.

    The two ends are of the same pairs, so the interval is that of their paired difference, laid around the end: it
    leaves the beginning out where the drop differs from 0. Filled where it does after Holm. The dashed line is the
    accuracy on all pairs. Raises InputError where no rewriting has a drop.
    """
    lines = _lines(outcomes(record), KINDS, ("both",))
    found = lines.found

    def mark(axis: Any, y: float, member: str, way: Way) -> None:
        """Before, after, and the way between."""
        before, after, drop = (found.get(name, member, way) for name in ("acc_orig", "acc_new", "drop_pp"))
        if before is None or after is None or drop is None:
            return
        start, end = PER_CENT * value(before), PER_CENT * value(after)
        axis.plot([start, end], [y, y], color=GREY, lw=1.6, alpha=0.5, zorder=2)
        axis.plot(start, y, "|", color="black", ms=6, mew=1.1, zorder=3)
        if drop.ci is not None:
            axis.plot([start - drop.ci.high, start - drop.ci.low], [y, y], color=BLUE, lw=0.9, zorder=3)
        axis.plot(end, y, "o", color=BLUE, mfc=BLUE if significant(drop) else "white", ms=4, zorder=4)

    def draw(axis: Any, member: str) -> Mapping[str, Any]:
        """One member's lines."""
        from matplotlib.lines import Line2D

        _on_lines(axis, lines, member, mark)
        for y, way in enumerate(lines.ways):
            if isinstance(way, str) and (mean := _mean(found, member, way)):
                said = f"mean drop {value(mean):.1f} pp".replace("-", "−")
                paper = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}
                at_right = {"transform": axis.get_yaxis_transform(), "ha": "right", "va": "center"}
                axis.text(1.0, y, said, fontsize=6.5, color=GREY, bbox=paper, zorder=2, **at_right)
        legend: dict[str, Any] = {"before": Line2D([], [], color="black", marker="|", ms=6, mew=1.1, ls="")}
        legend["after, 95 % interval of the drop"] = Line2D([], [], color=BLUE, marker="o", ms=4, lw=0.9)
        if (all_pairs := found.rows.get("accuracy", member=member)) is not None:
            at = PER_CENT * value(all_pairs)
            legend["before, all pairs"] = axis.axvline(at, color=GREY, lw=0.8, ls="--", zorder=1)
        axis.set_xlabel("accuracy (%)")
        return legend | verdicts()

    title = "accuracy before and after a rewriting of both replies (in brackets: pairs it changes)"
    return _drawn(record, lines, title, 1.0, draw)


def arms(record: ResultRecord, arrays: Arrays) -> Figure:
    """Drop in accuracy where both replies are rewritten, or only the chosen, or only the rejected one, in percentage points.

    Above 0 the model is worse after. 95 % intervals; filled where the drop differs from 0 after Holm. Raises InputError
    where no rewriting of `core` and `stress` has a drop.
    """
    lines = _lines(outcomes(record), ("core", "stress"), ARMS)

    def mark(axis: Any, y: float, member: str, way: Way) -> None:
        """Three marks below each other."""
        for arm, (colour, marker, aside) in ARM_STYLES.items():
            if (drop := lines.found.get("drop_pp", member, way, arm)) is not None:
                _interval(axis, y + aside, drop, colour)
                fill = colour if significant(drop) else "white"
                axis.plot(value(drop), y + aside, marker, color=colour, mfc=fill, ms=3.5, zorder=4)

    def draw(axis: Any, member: str) -> Mapping[str, Any]:
        """One member's lines."""
        from matplotlib.lines import Line2D

        axis.axvline(0, color=GREY, lw=0.8)
        _on_lines(axis, lines, member, mark)
        axis.set_xlabel("drop in accuracy (pp)")
        handles = {
            arm.replace("_", " "): Line2D([], [], color=colour, marker=marker, ms=3.5, lw=0.9)
            for arm, (colour, marker, _) in ARM_STYLES.items()
        }
        return handles | verdicts(GREY)

    title = "drop in accuracy by which replies are rewritten (in brackets: pairs of the arm both)"
    return _drawn(record, lines, title, 1.9, draw)


def _lines(found: Outcomes, kinds: Sequence[str], arms: Sequence[str]) -> Lines:
    """The rewritings of these sets with a drop in any of the arms; raises InputError where there is none."""
    ways: list[str | Way] = []
    left_out: list[tuple[str, str]] = []
    for kind in kinds:
        of_kind = found.ways(kind)
        shown = [w for w in of_kind if any(found.get("drop_pp", m, w, arm) for m in found.members for arm in arms)]
        ways += [kind, *shown] if shown else []
        for way in of_kind:
            left_out += _absent(found, way, arms)
    if not ways:
        raise InputError(
            f"no drop of {' or '.join(kinds)} to draw: {grouped(left_out) or 'the result has other sets'}; "
            f"run it with -P rewrite_robustness.transforms=standard on data that these rewritings change"
        )
    return Lines(found, tuple(ways), grouped(left_out))


def _absent(found: Outcomes, way: Way, arms: Sequence[str]) -> list[tuple[str, str]]:
    """Name and reason where a rewriting has no drop; the arms and the member are named where others have one."""
    said = []
    for member in found.members:
        reasons: dict[str, list[str]] = {}
        for arm in arms:
            if found.get("drop_pp", member, way, arm) is None:
                reasons.setdefault(reason(found.find("drop_pp", member, way, arm)), []).append(arm.replace("_", " "))
        said += [(member, why, of) for why, of in reasons.items()]
    whys = {why for _, why, _ in said}
    everywhere = len(whys) == 1 and sum(len(of) for _, _, of in said) == len(arms) * len(found.members)
    if everywhere:
        return [(way.name, why) for why in whys]
    return [
        (way.name + _who(found, member) + (f" in {' and '.join(of)}" if len(of) < len(arms) else ""), why)
        for member, why, of in said
    ]


def _who(found: Outcomes, member: str) -> str:
    return f" for {member}" if len(found.members) > 1 else ""


def _drawn(
    record: ResultRecord, lines: Lines, title: str, thick: float, draw: Callable[[Any, str], Mapping[str, Any]]
) -> Figure:
    height = 0.6 + LINE * thick * len(lines.ways)
    return panels(record, title, lines.found.members, height, draw, lines.left_out, columns=5)


def _on_lines(axis: Any, lines: Lines, member: str, mark: Mark) -> None:
    for y, way in enumerate(lines.ways):
        if isinstance(way, Way):
            mark(axis, y, member, way)
    axis.set_yticks(range(len(lines.ways)), lines.labels)
    tidy(axis)
    # only the first panel of a line has labels
    for tick, way in zip(axis.get_yticklabels(), lines.ways, strict=False):
        tick.set_color(GREY if isinstance(way, str) else "black")
    axis.set_ylim(len(lines.ways) - 0.4, -0.6)


def _interval(axis: Any, y: float, found: MetricRecord, colour: str) -> None:
    if found.ci is not None:
        axis.plot([found.ci.low, found.ci.high], [y, y], color=colour, lw=0.9, zorder=3)


def _mean(found: Outcomes, member: str, kind: str) -> MetricRecord | None:
    """Mean drop over a set; that of `core` is the task's scalar and names no set."""
    named = {} if kind == "core" else {"set": kind}
    return found.rows.get("mean_drop_pp", member=member, **named)
