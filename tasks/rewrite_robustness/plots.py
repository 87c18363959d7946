"""The task's figures by name, each from the rows and arrays of a result alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.task import Arrays

from .plots_cells import cells
from .plots_dose import dose
from .plots_margins import margins
from .plots_transforms import arms, dumbbell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.results.schema import ResultRecord

PLOTS: Mapping[str, Callable[[ResultRecord, Arrays], Figure]] = {
    "dumbbell": dumbbell,
    "arms": arms,
    "dose": dose,
    "margins": margins,
    "cells": cells,
}
