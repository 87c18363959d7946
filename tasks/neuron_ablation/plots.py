"""The task's figures by name, each from the rows and arrays of a result alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.task import Arrays

from .plots_effects import collapse, dose_response, specificity
from .plots_neurons import depth, overlap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.results.schema import ResultRecord

PLOTS: Mapping[str, Callable[[ResultRecord, Arrays], Figure]] = {
    "dose_response": dose_response,
    "collapse": collapse,
    "specificity": specificity,
    "overlap": overlap,
    "depth": depth,
}
