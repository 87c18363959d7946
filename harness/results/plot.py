"""One figure for any result: estimates with intervals, trivial baselines as marks."""

from __future__ import annotations

import importlib.util
from typing import Any

from harness.errors import HarnessError, InputError
from harness.results.schema import MetricRecord, ResultRecord

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"
MARKERS = {"random": "x", "longest": "^", "shortest": "v"}


def need_matplotlib() -> None:
    """Raises HarnessError with the command that installs matplotlib where it is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise HarnessError("figures need matplotlib, which is not installed: pip install 'reward-harness[plots]'")


def forest(record: ResultRecord, names: tuple[str, ...] = ()) -> Any:
    """A matplotlib figure: one line a metric, in panels by unit. `names` chooses metrics; by default those with an interval.

    Raises InputError where nothing can be drawn. Colours are from the Okabe-Ito palette, safe for colour-blind readers.
    """
    import matplotlib.pyplot as plt

    chosen = [m for m in record.metrics if m.value is not None and (m.name in names if names else m.ci is not None)]
    units = [u for u in ("proportion", "pp") if any(m.unit == u for m in chosen)]
    if not units:
        asked = f" among {', '.join(names)}" if names else ""
        raise InputError(f"no metric with a value in proportion or pp to draw{asked}; `show` prints those there are")
    heights = [sum(m.unit == u for m in chosen) for u in units]
    figure, axes = plt.subplots(
        len(units),
        1,
        figsize=(8, 1.2 + 0.24 * sum(heights)),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for axis, unit in zip(axes[:, 0], units, strict=True):
        _panel(axis, [m for m in chosen if m.unit == unit], unit)
    axes[0, 0].set_title(f"{record.subject.name}: {record.task.name}", loc="left")
    return figure


def _panel(axis: Any, metrics: list[MetricRecord], unit: str) -> None:
    factor = 100 if unit == "proportion" else 1
    for y, metric in enumerate(reversed(metrics)):
        assert metric.value is not None
        if metric.ci is not None:
            axis.plot([metric.ci.low * factor, metric.ci.high * factor], [y, y], color=BLUE, lw=1.5)
        axis.plot(metric.value * factor, y, "o", color=BLUE, ms=4)
        for name, value in metric.baselines.items():
            if value is not None and name in MARKERS:
                axis.plot(value * factor, y, MARKERS[name], color=GREY, ms=4, mew=1)
    axis.axvline(50 if unit == "proportion" else 0, color=ORANGE, lw=0.8, ls="--")
    labels = [f"{m.name}  {', '.join(v for k, v in m.dims.items() if k != 'member' or v != 'model')}" for m in metrics]
    axis.set_yticks(range(len(metrics)), labels[::-1], fontsize=7)
    axis.set_ylim(-0.7, len(metrics) - 0.3)
    axis.set_xlabel("per cent (× random, ▲ longest, ▼ shortest)" if unit == "proportion" else "percentage points")
    axis.grid(axis="x", lw=0.3)
