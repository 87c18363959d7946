"""The task's figures by name, each from the rows of a result alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.task import Arrays

from .plots_calibration import calibration
from .plots_features import features
from .plots_verdicts import verdicts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.results.schema import ResultRecord

PLOTS: Mapping[str, Callable[[ResultRecord, Arrays], Figure]] = {
    "verdicts": verdicts,
    "calibration": calibration,
    "features": features,
}
