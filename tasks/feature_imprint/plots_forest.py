"""Forest plots: a line a feature, in groups by kind, the dearest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.results.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, tidy, value
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import Arrays

from .plots_common import Part, Regression, chunks, grouped, heading, reason, regressions, significant, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("target", "spoiler", "control")
MEMBER_STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"), (GREY, "P"))
LINE, HEAD = 0.19, 1.0
"""Height of a line of a forest, and of what is around its lines, in inches."""

SPREAD = 0.7
"""Part of a line over which the marks of one feature are spread."""

PER_FEATURE = "per presence or SD of the feature"

Found = Mapping[str, MetricRecord | None]
"""Rows by feature."""


@dataclass(frozen=True)
class Series:
    """One mark a feature: filled where it differs from 0 after Holm, hollow where it does not."""

    label: str
    colour: str
    marker: str
    found: Found


@dataclass(frozen=True)
class Panel:
    """Series over the same features and unit; `flags` are features that are marked at the edge, by the side they point to."""

    title: str
    unit: str
    series: tuple[Series, ...]
    flags: Mapping[str, float] = field(default_factory=dict)


def imprint(record: ResultRecord, arrays: Arrays) -> Figure:
    """What the model and people pay for each feature (log-odds of a choice, 95 % intervals), a panel a member.

    Shaded where the gap differs from 0 after Holm; a triangle at the edge says which way. The gap is not the difference of
    the two marks: it is taken at equal reward.
    """
    parts = []
    for one in regressions(record):
        people = _column(one, "logodds_human")
        for members in chunks(one.members):
            panels = [
                Panel(
                    member,
                    f"log-odds\n{PER_FEATURE}",
                    (
                        Series("people", ORANGE, "s", people),
                        Series("the model", BLUE, "o", _column(one, "logodds_rm", member)),
                    ),
                    {f: value(m) for f, m in _column(one, "gap", member).items() if m is not None and significant(m)},
                )
                for member in members
            ]
            parts.append(_part(heading(record, one, "what the model and what people pay for a feature"), one, panels))
    return stacked(parts)


def sw(record: ResultRecord, arrays: Arrays) -> Figure:
    """The imprint of every member, in units of its own s_w, with 95 % intervals."""
    parts = []
    for one in regressions(record):
        series = tuple(
            Series(member, *MEMBER_STYLES[i % len(MEMBER_STYLES)], _column(one, "beta", member))
            for i, member in enumerate(one.members)
        )
        panel = Panel("", f"s_w {PER_FEATURE}", series)
        parts.append(_part(heading(record, one, "what a feature is paid with the prompt fixed"), one, [panel]))
    return stacked(parts)


def change(record: ResultRecord, arrays: Arrays) -> Figure:
    """The imprint of the reference and of a member, and beside it the change, in s_w with 95 % intervals.

    Raises InputError where the subject has no reference.
    """
    parts = []
    for one in regressions(record):
        changed = {of["member"] for of in one.dims("beta_change", "member", "feature", "kind")}
        for member in (m for m in one.members if m in changed):
            columns = {name: _column(one, name, member) for name in ("beta_ref", "beta", "beta_change")}
            both = (
                Series("the reference", GREY, "s", columns["beta_ref"]),
                Series("the model", BLUE, "o", columns["beta"]),
            )
            unit = f"s_w {PER_FEATURE}"
            panels = [
                Panel("imprint", unit, both),
                Panel(
                    "change", unit, (Series("change: the model − the reference", GREEN, "D", columns["beta_change"]),)
                ),
            ]
            parts.append(_part(heading(record, one, f"what {member} came to pay for a feature"), one, panels))
    if not parts:
        raise InputError(
            "no change to draw: the subject has no member called reference; run it with --role model=NEW --role reference=OLD"
        )
    return stacked(parts)


# --- rows -----------------------------------------------------------------------------------------


def _kinds(one: Regression) -> dict[str, str]:
    """Kind by feature, in the order of the rows."""
    return {of["feature"]: of["kind"] for of in one.dims("beta", "member", "feature", "kind")}


def _column(one: Regression, name: str, member: str = "") -> dict[str, MetricRecord | None]:
    """Rows of a column by feature, null ones included."""
    who = {"member": member} if member else {}
    return {feature: one.rows.find(name, feature=feature, kind=kind, **who) for feature, kind in _kinds(one).items()}


def _drawn(found: MetricRecord | None) -> bool:
    return found is not None and found.value is not None


def _lines(one: Regression, features: Sequence[str]) -> list[str]:
    """What stands on the lines from the top: a kind, then its features, the largest mean |beta| over members first."""
    kinds = _kinds(one)

    def dear(feature: str) -> float:
        found = [one.rows.get("beta", member=m, feature=feature, kind=kinds[feature]) for m in one.members]
        sizes = [abs(value(m)) for m in found if m is not None]
        return sum(sizes) / len(sizes) if sizes else 0.0

    lines = []
    for kind in (*KINDS, *sorted(set(kinds.values()) - set(KINDS))):
        mine = sorted((f for f in features if kinds[f] == kind), key=lambda f: (-dear(f), f))
        lines += [kind.upper(), *mine] if mine else []
    return lines


def _left_out(panels: Sequence[Panel], features: Sequence[str]) -> tuple[str, ...]:
    """Features without a mark in some series, and why; the series are named where others have one."""
    series = [
        (f"{panel.title}: {s.label}" if len(panels) > 1 else s.label, s.found) for panel in panels for s in panel.series
    ]
    said = []
    for feature in features:
        absent: dict[str, list[str]] = {}
        for label, found in series:
            if not _drawn(found[feature]):
                absent.setdefault(reason(found[feature]), []).append(label)
        for why, labels in absent.items():
            who = f"for {' and '.join(labels)} " if len(labels) < len(series) else ""
            said.append((feature, f"{who}{why}"))
    return grouped(said)


# --- drawing --------------------------------------------------------------------------------------


def _part(title: str, one: Regression, panels: Sequence[Panel]) -> Part:
    features = list(_kinds(one))
    shown = [f for f in features if any(_drawn(s.found[f]) for panel in panels for s in panel.series)]
    lines = _lines(one, shown)
    marks = max(len(panel.series) for panel in panels)
    height = HEAD + LINE * max(1.0, marks / 2.2) * len(lines)

    def draw(part: Any) -> Mapping[str, Any]:
        """The panels beside each other over the same lines."""
        axes = part.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        handles: dict[str, Any] = {}
        for axis, panel in zip(axes, panels, strict=True):
            handles |= _panel(axis, panel, lines)
        axes[0].set_yticks(range(len(lines)), lines, fontsize=7)
        for tick, line in zip(axes[0].get_yticklabels(), lines, strict=True):
            tick.set_color("black" if line in shown else GREY)
        axes[0].set_ylim(len(lines) - 0.4, -0.6)
        return handles

    return Part(title, height, _left_out(panels, features), draw)


def _panel(axis: Any, panel: Panel, lines: Sequence[str]) -> dict[str, Any]:
    """Draws a panel; legend handles by label."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    axis.axvline(0, color=GREY, lw=0.8)
    count = len(panel.series)
    handles: dict[str, Any] = {}
    for i, series in enumerate(panel.series):
        aside = SPREAD * ((i + 0.5) / count - 0.5)
        for y, line in enumerate(lines):
            found = series.found.get(line)
            if found is not None and found.value is not None:
                _mark(axis, y + aside, found, series)
        handles[series.label] = Line2D([], [], color=series.colour, marker=series.marker, ms=4, lw=0.9)
    handles["p ≥ .05 (Holm)"] = Line2D([], [], color=GREY, marker="o", ms=4, lw=0.9, mfc="white")
    for y, line in enumerate(lines):
        if side := panel.flags.get(line):
            axis.axhspan(y - 0.5, y + 0.5, color=PURPLE, alpha=0.18, lw=0)
            edge = {"transform": axis.get_yaxis_transform(), "color": PURPLE, "ms": 4.5, "clip_on": False}
            axis.plot(1.0, y, ">" if side > 0 else "<", **edge)
    if panel.flags:
        handles["gap: pays more (▶) or less (◀) than people at equal reward"] = Patch(color=PURPLE, alpha=0.3)
    tidy(axis, panel.title)
    axis.set_xlabel(panel.unit)
    return handles


def _mark(axis: Any, y: float, found: MetricRecord, series: Series) -> None:
    if found.ci is not None:
        axis.plot([found.ci.low, found.ci.high], [y, y], color=series.colour, lw=0.9, zorder=3)
    fill = series.colour if significant(found) else "white"
    axis.plot(value(found), y, series.marker, color=series.colour, mfc=fill, ms=4, zorder=4)
