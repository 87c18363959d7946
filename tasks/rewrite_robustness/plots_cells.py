"""The matrix of styles of RM-Bench."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, ORANGE, Rows, rows_by, tidy, value
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import Arrays

from .plots_common import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 2.6
PER_CENT = 100
CELL = {"member", "chosen_style", "rejected_style"}
PALE = 0.35
"""Distance from one half up to which a cell is light enough for black letters."""


def cells(record: ResultRecord, arrays: Arrays) -> Figure:
    """Accuracy (per cent, with its 95 % interval) by the style of the chosen and of the rejected reply, a panel a member.

    White is chance. Raises InputError where the data hold no reply in several styles.
    """
    rows = rows_by(record, "rows").get(("",), Rows({}))
    found = [dict(key) for name, key in rows.by_key if name == "acc_cell" and {k for k, _ in key} == CELL]
    if not found:
        raise InputError("no matrix of styles to draw: no item has its replies in several styles; run it on rm-bench")
    members = list(dict.fromkeys(of["member"] for of in found))
    styles = list(dict.fromkeys(of[side] for side in ("chosen_style", "rejected_style") for of in found))

    def draw(axis: Any, member: str) -> Mapping[str, Any]:
        """One member's matrix."""
        for i, chosen in enumerate(styles):
            for j, rejected in enumerate(styles):
                cell = rows.find("acc_cell", member=member, chosen_style=chosen, rejected_style=rejected)
                _cell(axis, j, i, cell)
        axis.set_xlim(-0.5, len(styles) - 0.5)
        axis.set_ylim(len(styles) - 0.5, -0.5)
        axis.set_xticks(range(len(styles)), styles)
        axis.set_yticks(range(len(styles)), styles)
        tidy(axis)
        axis.grid(visible=False)
        axis.set_xlabel("style of the rejected reply")
        axis.set_ylabel("style of the chosen reply")
        return {}

    return panels(
        record,
        "accuracy (%) by style, with its 95 % interval; white is chance, hatched is unknown",
        members,
        HEIGHT,
        draw,
    )


def _cell(axis: Any, x: float, y: float, found: MetricRecord | None) -> None:
    """One square and what it says."""
    from matplotlib.patches import Rectangle

    if found is None or found.value is None:
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc="white", ec="#cccccc", hatch="///"))
        return
    away = value(found) - 0.5
    colour = BLUE if away > 0 else ORANGE
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=(colour, 2 * abs(away)), ec="white"))
    said = f"{PER_CENT * value(found):.1f}"
    if found.ci is not None:
        said += f"\n[{PER_CENT * found.ci.low:.0f}, {PER_CENT * found.ci.high:.0f}]"
    axis.text(x, y, said, ha="center", va="center", fontsize=7, color="black" if abs(away) < PALE else "white")
