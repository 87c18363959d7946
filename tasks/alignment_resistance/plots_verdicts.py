"""Figure: what the model, and its reference, do where a labeler sides with the chosen reply, with neither, with the rejected one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, GREY, ORANGE, SKY, YELLOW, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .plots_common import MemberRows, measured, percent, stacked
from .rules import PROXY, VERDICTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = {"c": "chosen", "i": "neither", "r": "rejected"}
REGIMES = {
    "stayed": ("both right", BLUE),
    "got": ("got right", SKY),
    "reversed": ("turned wrong", YELLOW),
    "resists": ("both wrong", ORANGE),
}
"""Label and colour, the model's errors side by side."""

PLAIN = {"right": BLUE, "wrong": ORANGE}
UNRELIABLE = "the labeler is not reliable: a kappa of its verdict is below .4"
LEAST = 0.06
"""Shares below this have no room for a number."""


def verdicts(record: ResultRecord, arrays: Arrays) -> Figure:
    """Shares within each verdict of the regimes against the reference, or of right and wrong without one.

    Under the rule of the labels, or of the word lists where there are none. Beside each bar the resistance with its 95 %
    interval. Raises InputError where no pair has a verdict.
    """
    rule = str(record.task.params.get("verdict"))
    models = measured(record)
    shown = next((r for r in (rule, PROXY.name) if any(_judged(rows, r) for rows in models)), None)
    if shown is None:
        raise InputError(
            "no pair has a verdict: label the replies with reward-harness label, then run with --labels FILE"
        )
    title = f"labeler sides with … (rule: {shown})" if shown == rule else "word lists side with … (nobody labelled)"
    weak = any(m.name == "labeler_reliable" and m.value == 0 and m.dims.get("rule") == shown for m in record.metrics)

    def draw(axis: Any, rows: MemberRows) -> Mapping[str, Any]:
        """One model: a bar a verdict, c on top."""
        legend: dict[str, Any] = {}
        for y, verdict in enumerate(reversed(VERDICTS)):
            legend |= _bar(axis, rows, shown, verdict, y)
        counts = {v: rows.get(f"n_{v}", rule=shown) for v in VERDICTS}
        names = [SIDES[v] if n is None else f"{SIDES[v]} (n = {value(n):.0f})" for v, n in counts.items()]
        axis.set_yticks(range(len(VERDICTS)), names[::-1])
        axis.set_xlim(0, 1.32)
        axis.spines["bottom"].set_bounds(0, 1)
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        return legend

    return stacked(record, title, 1.2, draw, [rows for rows in models if _judged(rows, shown)], UNRELIABLE * weak)


def _judged(rows: MemberRows, rule: str) -> bool:
    return any(rows.get(f"resistance_{v}", rule=rule) is not None for v in VERDICTS)


def _bar(axis: Any, rows: MemberRows, rule: str, verdict: str, y: int) -> dict[str, Any]:
    left, legend = 0.0, {}
    resistance = rows.get(f"resistance_{verdict}", rule=rule)
    if resistance is None:
        axis.text(0.01, y, "no pair", va="center", fontsize=7, color=GREY)
        return {}
    for label, (share, colour) in _shares(rows, rule, verdict, value(resistance)).items():
        legend[label] = axis.barh(y, share, left=left, color=colour, height=0.7)
        if share >= LEAST:
            ink = "white" if colour in (BLUE, ORANGE) else "black"
            axis.text(left + share / 2, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=ink)
        left += share
    axis.text(1.01, y, f"wrong: {percent(resistance)}", va="center", fontsize=7)
    return legend


def _shares(rows: MemberRows, rule: str, verdict: str, wrong: float) -> dict[str, tuple[float, str]]:
    """Share and colour by label: regimes where there is a reference, else right and wrong."""
    found = {name: rows.get(name, rule=rule, verdict=verdict) for name in REGIMES}
    known = {REGIMES[name][0]: (value(row), REGIMES[name][1]) for name, row in found.items() if row is not None}
    return known or {"right": (1 - wrong, PLAIN["right"]), "wrong": (wrong, PLAIN["wrong"])}
