"""The task's figures by name, each from the rows of a result alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.task import Arrays

from .plots_causal import causal
from .plots_forest import change, imprint, sw
from .plots_shares import shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.results.schema import ResultRecord

PLOTS: Mapping[str, Callable[[ResultRecord, Arrays], Figure]] = {
    "imprint": imprint,
    "sw": sw,
    "change": change,
    "shares": shares,
    "causal": causal,
}
