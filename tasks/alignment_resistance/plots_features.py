"""Figure: which features pull the model to the side that has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, GREY, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .plots_common import MemberRows, measured, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA = 0.05
ROW = 0.19
"""Height of a line in inches."""


def features(record: ResultRecord, arrays: Arrays) -> Figure:
    """`resist_coef` with 95 % intervals, in the order of the features; filled where p is below .05 after Holm.

    Features that could not be estimated are named above. Raises InputError where none could.
    """
    found = measured(record)
    models = [rows for rows in found if any(m.value is not None for m in _of(rows).values())]
    if not models:
        reasons = dict.fromkeys(str(m.reason) for rows in found for m in _of(rows).values())
        raise InputError(f"no feature has a coefficient: {'; '.join(reasons) or 'none was regressed on'}")
    names = [name for name in _of(models[0]) if any(_of(rows)[name].value is not None for rows in models)]
    missing = [name for name in _of(models[0]) if name not in names]

    def draw(axis: Any, rows: MemberRows) -> Mapping[str, Any]:
        """One model: a line a feature, the first on top."""
        axis.axvline(0, color=GREY, lw=0.8, ls="--")
        legend: dict[str, Any] = {}
        for y, name in enumerate(reversed(names)):
            legend |= _line(axis, _of(rows)[name], y)
        axis.set_yticks(range(len(names)), names[::-1])
        axis.set_ylim(-0.7, len(names) - 0.3)
        axis.set_xlabel("percentage points of misalignment per unit; right: pulls to the side that has it", fontsize=8)
        axis.grid(axis="x", lw=0.3, color="#cccccc")
        return legend

    note = f"too rare here, or determined by others: {', '.join(missing)}" if missing else ""
    return stacked(record, "pull of features", ROW * len(names) + 0.4, draw, models, note)


def _of(rows: MemberRows) -> dict[str, Any]:
    return rows.having("resist_coef", "feature")


def _line(axis: Any, found: Any, y: int) -> dict[str, Any]:
    if found.value is None:
        axis.text(0, y, " not estimable", va="center", fontsize=7, color=GREY)
        return {}
    if found.ci is not None:
        axis.plot([found.ci.low, found.ci.high], [y, y], color=BLUE, lw=1.2)
    clear = found.p_holm is not None and found.p_holm < ALPHA
    (point,) = axis.plot(value(found), y, "o", color=BLUE, ms=4.5, mfc=BLUE if clear else "white")
    return {"p < .05 after Holm" if clear else "not told from 0": point}
