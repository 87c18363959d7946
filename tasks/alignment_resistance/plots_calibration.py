"""Figure: is the model right as often as it is sure?"""

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


def calibration(record: ResultRecord, arrays: Arrays) -> Figure:
    """Accuracy on the human label against confidence sigmoid(|d|), a point a bin, with Wilson limits; the diagonal is perfect.

    The area of a point grows with its pairs. Beside it the calibration error and what sampling alone would give.
    Raises InputError for models that only compare replies.
    """
    models = [rows for rows in measured(record) if _bins(rows)]
    if not models:
        raise InputError("no model has margins to calibrate: it only compares replies, or scored none")

    def draw(axis: Any, rows: MemberRows) -> Mapping[str, Any]:
        """One model's curve."""
        bins = _bins(rows)
        most = max(accuracy.n or 1 for accuracy, _ in bins)
        legend = {"perfect": axis.plot([0.5, 1], [0.5, 1], color=GREY, lw=0.8, ls="--")[0]}
        for accuracy, sure in bins:
            x = value(sure)
            if accuracy.ci is not None:
                axis.plot([x, x], [accuracy.ci.low, accuracy.ci.high], color=BLUE, lw=0.9)
            axis.scatter(x, value(accuracy), s=6 + 54 * (accuracy.n or 0) / most, color=BLUE, zorder=3)
        legend["accuracy in a bin, 95 % interval"] = axis.collections[-1]
        ece, expected = rows.get("ece"), rows.get("ece_expected")
        if ece is not None and expected is not None:
            said = f"calibration error {value(ece):.3f}, were it perfect {value(expected):.3f} expected"
            axis.set_title(said, fontsize=8, loc="right")
        axis.set_xlim(0.49, 1.01)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("confidence, sigmoid(|margin|)", fontsize=8)
        axis.set_ylabel("right", fontsize=8)
        axis.grid(lw=0.3, color="#cccccc")
        return legend

    return stacked(record, "right as often as sure?", 2.6, draw, models)


def _bins(rows: MemberRows) -> list[tuple[Any, Any]]:
    """Accuracy and confidence of every bin with pairs."""
    accuracy, sure = (rows.having(name, "bin") for name in ("bin_accuracy", "bin_confidence"))
    return [(accuracy[b], sure[b]) for b in accuracy if b in sure and accuracy[b].value is not None]
