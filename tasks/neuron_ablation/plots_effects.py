"""Figures of what ablating sets does: dose response, collapse, specificity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from harness.errors import InputError
from harness.results.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, tidy, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .accuracy import PP
from .contrasts import ONLY, OTHER
from .design import GROUPS
from .plots_common import Ablated, ablated, headline, interval, say, spell, stacked
from .sets import HEADLINE, OBJECTIVES, SETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES: Mapping[str, tuple[str, str]] = {
    "own_helpful": (BLUE, "--"),
    "only_helpful": (BLUE, "-"),
    "own_harmless": (ORANGE, "--"),
    "only_harmless": (ORANGE, "-"),
    "shared": (GREEN, "--"),
    "shared_m": (GREEN, "-"),
}
"""Colour and line by set: colours say of what, solid lines are the sets with controls."""

GROUP_STYLES: Mapping[str, tuple[str, str]] = {
    "helpful": (BLUE, "o"),
    "refuse": (ORANGE, "s"),
    "comply": (GREEN, "^"),
    "safety_mixed": (PURPLE, "D"),
}

BANDS: Mapping[str, tuple[str, str]] = {
    "rand_layer": ("s", "random, its size: mean, 95 % of draws"),
    "damage": ("D", "random, its damage: mean, 95 % of draws"),
}
"""Controls that dose response shows: marker and label."""

DODGE = 0.03
"""By what share of its place a set is moved aside of another, so that intervals do not lie on each other."""

LEVEL = 0.95


# --- dose response --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """Where controls lie: their mean change of accuracy and the half width within which 95 % of draws fall, in pp."""

    mean: float
    half: float | None


def band(rows: Ablated, group: str, name: str, control: str, p: str) -> Band | None:
    """The controls' mean and spread from the rows of the set: mean = d_acc - excess, SD = excess/z; None without controls.

    The half width is Student's for one more draw, t SD sqrt(1 + 1/R) on R - 1 degrees of freedom, the yardstick of the
    control p; None where the draws do not differ.
    """
    own = rows.rows.get(f"d_acc_{group}", set=name, p=p)
    excess, z = (rows.rows.get(f"{column}_{group}", set=name, p=p, control=control) for column in ("excess", "z"))
    draws = rows.rows.get("controls", set=name, p=p, control=control)
    if own is None or excess is None or draws is None:
        return None
    mean = value(own) - value(excess)
    if z is None or not z.value or value(draws) < 2:
        return Band(mean, None)
    count, sd = value(draws), abs(value(excess) / value(z))
    return Band(mean, float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * sd * (1 + 1 / count) ** 0.5)


def dose_response(record: ResultRecord, arrays: Arrays) -> Figure:
    """Change of accuracy (pp) against the share of neurons ablated (per cent, log scale), a panel a group, a line a set.

    At the headline per cent, beside each set with controls, where random sets of its size and of its damage lie. Empty
    sets and groups without items are left out.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    p = headline(record)
    unit = "heads" if record.task.params.get("site") == "attention" else "neurons"

    def draw(part: Any, rows: Ablated) -> Mapping[str, Any]:
        """Four panels of one model, a group each."""
        total = int((~np.isnan(arrays[f"chosen_by/{rows.name}/helpful"])).sum())
        axes = part.subplots(2, 2, sharex=True, sharey=True).ravel()
        lines: dict[str, Any] = {}
        bands: dict[str, Any] = {}
        for axis, group in zip(axes, GROUPS, strict=True):
            axis.axhline(0, color=GREY, lw=0.8)
            for i, name in enumerate(STYLES):
                aside = (1 + DODGE) ** (i - (len(STYLES) - 1) / 2)
                lines |= _line(axis, rows, group, name, aside / total)
                bands |= _bands(axis, rows, group, name, p, aside / total)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_minor_locator(NullLocator())
            tidy(axis, f"{group} items")
            if not axis.collections and not len(axis.lines) > 1:
                say(axis, f"no items of {group}, or no set with neurons")
        empty = [s for s in STYLES if (k := rows.rows.find("k", set=s, p=p)) and not k.value]
        if empty:
            part.supxlabel(f"empty at {p} %: {', '.join(empty)}", fontsize=7)
        for axis in axes[::2]:
            axis.set_ylabel("change of accuracy (pp)")
        for axis in axes[2:]:
            axis.set_xlabel(f"{unit} ablated (% of {total:,})")
        return lines | bands

    if not any(rows.values("p", f"d_acc_{g}", set=s) for rows in ablated(record) for g in GROUPS for s in SETS):
        raise InputError("every set is empty: nothing was ablated")
    return stacked(record, "what ablating a set does to accuracy", 5.0, draw, columns=4)


def _line(axis: Any, rows: Ablated, group: str, name: str, scale: float) -> dict[str, Any]:
    """The set's line over all per cents."""
    colour, style = STYLES[name]
    points = []
    for p in rows.values("p", f"d_acc_{group}", set=name):
        found, k = rows.rows.get(f"d_acc_{group}", set=name, p=p), rows.rows.get("k", set=name, p=p)
        if found is not None and k is not None:
            points.append((PP * value(k) * scale, found))
    if not points:
        return {}
    points.sort(key=lambda point: point[0])
    for x, found in points:
        interval(axis, x, found, colour, ms=3)
    return {name: axis.plot([x for x, _ in points], [value(f) for _, f in points], style, color=colour, lw=1.1)[0]}


def _bands(axis: Any, rows: Ablated, group: str, name: str, p: str, scale: float) -> dict[str, Any]:
    """The set's controls at the headline per cent."""
    from matplotlib.lines import Line2D

    legend: dict[str, Any] = {}
    sizes = {
        "rand_layer": rows.rows.get("k", set=name, p=p),
        "damage": rows.rows.get("control_k", set=name, p=p, control="damage"),
    }
    for control, (marker, label) in BANDS.items():
        found, k = band(rows, group, name, control, p), sizes[control]
        if found is None or k is None:
            continue
        x, colour = PP * value(k) * scale, STYLES[name][0]
        if found.half is not None:
            axis.vlines(x, found.mean - found.half, found.mean + found.half, color=colour, lw=5, alpha=0.25, zorder=1)
        axis.plot(x, found.mean, marker, color="white", mec=colour, ms=3.5, mew=0.8, zorder=2)
        legend[label] = Line2D([], [], ls="", marker=marker, color="white", mec=GREY)
    return legend


# --- collapse -------------------------------------------------------------------------------------


def collapse(record: ResultRecord, arrays: Arrays) -> Figure:
    """Change of every sub-task's accuracy against what it had above chance (pp), a panel a headline set.

    The line through the origin has the slope of `chance_slope`; -1, dotted, is the loss of all preference. Raises
    InputError where every headline set is empty.
    """
    p = headline(record)

    def draw(part: Any, rows: Ablated) -> Mapping[str, Any]:
        """One model: a panel a headline set."""
        axes = part.subplots(1, len(HEADLINE), sharex=True, sharey=True)
        legend: dict[str, Any] = {}
        for axis, name in zip(axes, HEADLINE, strict=True):
            legend |= _points(axis, rows, name, p)
            axis.set_xlabel("accuracy before − chance (pp)")
        axes[0].set_ylabel("change of accuracy (pp)")
        return legend

    if not any(rows.rows.get("chance_slope", set=s, p=p) for rows in ablated(record) for s in HEADLINE):
        raise InputError(
            f"no set has a slope at {p} %: the sets with controls are empty, or every sub-task is at chance"
        )
    return stacked(record, f"is a change more than a fall to chance? Sub-tasks at {p} %", 2.8, draw)


def _points(axis: Any, rows: Ablated, name: str, p: str) -> dict[str, Any]:
    slope = rows.rows.get("chance_slope", set=name, p=p)
    tidy(axis, name if slope is None else f"{name}: slope {spell(slope)}")
    axis.axhline(0, color=GREY, lw=0.8)
    legend: dict[str, Any] = {}
    for subtask in rows.values("subset", "d_acc", set=name, p=p):
        before, chance = rows.rows.get("acc", subset=subtask), rows.rows.get("chance", subset=subtask)
        found = rows.rows.get("d_acc", set=name, p=p, subset=subtask)
        if before is None or chance is None or found is None:
            continue
        group = subtask.rsplit(" ", 1)[1]
        colour, marker = GROUP_STYLES[group]
        interval(axis, PP * (value(before) - value(chance)), found, colour, marker=marker)
        legend[f"{group} sub-task"] = axis.lines[-1]
    if slope is None:
        why = rows.rows.find("chance_slope", set=name, p=p) or rows.rows.find("k", set=name, p=p)
        say(axis, (why.reason if why else None) or "no items to judge")
        return legend
    legend["fit through the origin"] = axis.axline((0, 0), slope=value(slope), color="black", lw=1)
    legend["slope −1: all preference lost"] = axis.axline((0, 0), slope=-1, color=GREY, lw=0.8, ls=":")
    return legend


# --- specificity ----------------------------------------------------------------------------------


def specificity(record: ResultRecord, arrays: Arrays) -> Figure:
    """Preference kept on the other objective against that kept on the own, both as kappa, a panel an only-set.

    1 is intact, 0 no preference left. The cloud are random sets of equal damage: on the diagonal a set hits both
    alike, above it its own objective more. Raises InputError where no only-set has both kappas.
    """
    p = headline(record)

    def draw(part: Any, rows: Ablated) -> Mapping[str, Any]:
        """One model: a panel an only-set."""
        axes = part.subplots(1, len(ONLY), sharex=True, sharey=True)
        legend: dict[str, Any] = {}
        for axis, name in zip(axes, ONLY, strict=True):
            legend |= _cloud(axis, rows, name, p)
        return legend

    if not any(_kappas(rows, name, p) for rows in ablated(record) for name in ONLY):
        raise InputError(
            f"no only-set at {p} % has a kappa on both objectives: sets are empty, or a group is at chance"
        )
    return stacked(record, f"does a set carry its own objective only? At {p} %", 3.6, draw)


def _kappas(rows: Ablated, name: str, p: str, **control: str) -> tuple[Any, Any] | None:
    """Kappa rows of the own and of the other objective; None where one has no value."""
    prefix = "control_kappa" if control else "kappa"
    own = rows.rows.get(f"{prefix}_{ONLY[name]}", set=name, p=p, **control)
    other = rows.rows.get(f"{prefix}_{OTHER[ONLY[name]]}", set=name, p=p, **control)
    return (own, other) if own is not None and other is not None else None


def _draws(rows: Ablated, name: str, p: str) -> Iterator[tuple[float, float]]:
    for draw in rows.values("draw", f"control_kappa_{OBJECTIVES[0]}", set=name, p=p, control="damage"):
        found = _kappas(rows, name, p, control="damage", draw=draw)
        if found is not None:
            yield value(found[0]), value(found[1])


def _cloud(axis: Any, rows: Ablated, name: str, p: str) -> dict[str, Any]:
    own, colour = ONLY[name], STYLES[name][0]
    title, found, cloud = (
        rows.rows.get(f"specificity_{own}", set=name, p=p),
        _kappas(rows, name, p),
        list(_draws(rows, name, p)),
    )
    tidy(axis, name if title is None else f"{name}: specificity {spell(title)}")
    axis.set_xlabel(f"preference kept on {own} items (κ)")
    axis.set_ylabel(f"preference kept on {OTHER[own]} items (κ)")
    axis.axline((0, 0), slope=1, color=GREY, lw=0.8, ls=":")
    legend: dict[str, Any] = {"intact": axis.plot(1, 1, "+", color="black", ms=9)[0]}
    if cloud:
        legend["random sets of equal damage"] = axis.plot(*zip(*cloud, strict=True), "o", color=GREY, ms=3, alpha=0.5)[
            0
        ]
    if found is None:
        reasons = [r.reason for o in OBJECTIVES if (r := rows.rows.find(f"kappa_{o}", set=name, p=p)) and r.reason]
        say(axis, "; ".join(reasons) or "empty set")
        return legend
    x, y = found
    if x.ci is not None:
        axis.plot([x.ci.low, x.ci.high], [value(y)] * 2, color=colour, lw=0.9)
    interval(axis, value(x), y, colour, ms=6)
    legend[f"{name}, 95 % intervals"] = axis.lines[-1]
    if not cloud:
        missing = rows.rows.find(f"specificity_{own}", set=name, p=p)
        say(axis, (missing.reason if missing else None) or "no control draws")
    return legend
