"""Figures of which neurons were found: overlap of rankings, depth of sets."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.results.figures import GREY, WIDTH, value
from harness.results.schema import ResultRecord
from harness.task import Arrays

from .plots_common import Ablated, ablated, headline, stacked
from .sets import OBJECTIVES, SETS, choose, per_layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP = "cividis"
"""Perceptually uniform, and the same to colour-blind readers."""

CELL, LABELS = 0.75, 2.6
"""Inches: of a cell at most, and of what stands beside the cells."""

LETTERS = 14
"""That fit an inch of a title."""

MOST = 3.0
"""Times a random set's share from which the colours of depth no longer change: small sets have single layers far above."""

Pairs = Mapping[tuple[str, str], float]
Panel = tuple[Sequence[str], Sequence[str], dict[tuple[str, str], float]]
"""Names of rows and of columns, and the cells that have a value."""


# --- overlap --------------------------------------------------------------------------------------


def overlap(record: ResultRecord, arrays: Arrays) -> Figure:
    """What the best neurons of any two rankings share beyond what their layers alone would give, at the headline per cent.

    0 is chance, 1 the smaller set inside the other. The overlap of two halves of the corpus lies on the diagonal where
    the ranking is one that chose sets; a ranking that is in no matrix has its halves below. With a base model a second
    matrix, by mean |activation|. Raises InputError where there are no two rankings.
    """
    from matplotlib.figure import Figure

    p = headline(record)
    panels = [_square(_pairs(record, p, base=False)), _with_base(_pairs(record, p, base=True))]
    titles = [f"by {record.task.params.get('score')}", "with the base model, by mean |activation|"]
    (names, *_), known = panels[0], [k for k, (rows, _, _) in enumerate(panels) if rows]
    if not names:
        raise InputError(f"no two rankings of neurons have a defined overlap at {p} %")
    halves = _halves(record, arrays, p)
    panels[0][2].update({(n, n): halves[n] for n in names if n in halves})
    lowest = min(0.0, *(value for _, _, cells in panels for value in cells.values()))
    cell = min(CELL, (WIDTH - LABELS) / len(names))
    heights = [cell * len(panels[k][0]) + LABELS / 2 for k in known]
    width = max(0.7 * WIDTH, cell * len(names) + LABELS)
    figure = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
    loose = {name: half for name, half in halves.items() if name not in names}
    figure.suptitle(_title(record, p, loose, width, diagonal=len(loose) < len(halves)), fontsize=9, x=0.01, ha="left")
    axes = figure.subplots(len(known), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, k in zip(axes, known, strict=True):
        _matrix(axis, *panels[k], titles[k], lowest)
    bar = figure.colorbar(axes[0].images[0], ax=axes.tolist())
    bar.set_label("overlap (0 chance, 1 all)", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return figure


def _title(record: ResultRecord, p: str, halves: Mapping[str, float], width: float, diagonal: bool) -> str:
    """What is drawn, and the halves that no matrix has room for, in lines of `width` inches."""
    lines = [
        record.subject.name,
        f"neurons shared by the top {p} % beyond what layers give" + "; diagonal: halves of the corpus" * diagonal,
    ]
    if halves:
        chosen = ", ".join(f"{name} {value:.2f}" for name, value in halves.items())
        lines.append(f"halves of the siblings' rankings that chose the sets: {chosen}")
    return "\n".join(textwrap.fill(line, int(LETTERS * width)) for line in lines)


def _square(pairs: Pairs) -> Panel:
    """All rankings against all."""
    names = sorted({n for pair in pairs for n in pair}, key=lambda n: n.rsplit("/", 1)[::-1])
    return names, names, dict(pairs) | {(b, a): v for (a, b), v in pairs.items()}


def _with_base(pairs: Pairs) -> Panel:
    """The base model's rankings against those of all others."""
    names, _, both = _square(pairs)
    return [n for n in names if n.startswith("base.")], [n for n in names if not n.startswith("base.")], both


def _pairs(record: ResultRecord, p: str, base: bool) -> dict[tuple[str, str], float]:
    """Overlaps by the two rankings."""
    return {
        (m.dims["a"], m.dims["b"]): m.value
        for m in record.metrics
        if m.name == "overlap" and m.dims.get("p") == p and ("score" in m.dims) == base and m.value is not None
    }


def _halves(record: ResultRecord, arrays: Arrays, p: str) -> dict[str, float]:
    """Overlap of halves by ranking; a ranking of siblings that chose the sets is `objective for` the model."""
    found = {}
    for rows in ablated(record):
        for objective in OBJECTIVES:
            half, name = rows.rows.get("half_overlap", objective=objective, p=p), f"{rows.name}/{objective}"
            if half is not None:
                own = np.array_equal(arrays[f"chosen_by/{name}"], arrays[f"score/{name}"], equal_nan=True)
                found[name if own else f"{objective} for {rows.name}"] = value(half)
    return found


def _matrix(axis: Any, rows: Sequence[str], columns: Sequence[str], values: Pairs, title: str, lowest: float) -> None:
    """Cells with their numbers, coloured from `lowest` to 1; without either where there is no value."""
    grid = np.array([[values.get((r, c), np.nan) for c in columns] for r in rows])
    axis.imshow(np.ma.masked_invalid(grid), cmap=MAP, vmin=lowest, vmax=1.0)
    size = 7 if len(columns) < 10 else 5
    for (i, j), cell in np.ndenumerate(grid):
        if np.isfinite(cell):
            colour = "black" if cell > 0.5 else "white"
            axis.text(j, i, f"{cell:.2f}", ha="center", va="center", fontsize=size, color=colour)
    axis.set_xticks(
        range(len(columns)),
        [_spell(c) for c in columns],
        rotation=45,
        ha="right",
        rotation_mode="anchor",
        fontsize=size,
    )
    axis.set_yticks(range(len(rows)), [_spell(r) for r in rows], fontsize=size)
    axis.set_title(title, fontsize=8, loc="left")


def _spell(name: str) -> str:
    """`mixed.0/helpful` as words."""
    model, corpus = name.rsplit("/", 1)
    member, _, seed = model.rpartition(".")
    return f"{member} {seed}, {corpus} text"


# --- depth ----------------------------------------------------------------------------------------


def depth(record: ResultRecord, arrays: Arrays) -> Figure:
    """How each set at the headline per cent lies over the layers: its share of a layer over its share of the model.

    1 is as many as a random set would have there. Empty sets are rows without colour. Raises InputError where all are.
    """
    params, p = record.task.params, headline(record)
    shares = {rows.name: _shares(arrays, rows.name, params) for rows in ablated(record)}
    if all(np.isnan(grid).all() for grid in shares.values()):
        raise InputError(f"every set is empty at {p} %")

    def draw(part: Any, rows: Ablated) -> Mapping[str, Any]:
        """One model: a row a set, a column a layer."""
        axis, grid = part.subplots(), shares[rows.name]
        image = axis.imshow(np.ma.masked_invalid(grid), cmap=MAP, vmin=0, vmax=MOST, aspect="auto")
        for i, empty in enumerate(np.isnan(grid).all(axis=1)):
            if empty:
                axis.text((grid.shape[1] - 1) / 2, i, "empty set", ha="center", va="center", fontsize=7, color=GREY)
        axis.set_yticks(range(len(SETS)), SETS, fontsize=7)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=7)
        axis.set_xlabel("layer (0 next to the input)", fontsize=8)
        bar = part.colorbar(image, ax=axis, extend="max")
        bar.set_label("neurons in the layer\n(× a random set's)", fontsize=7)
        bar.ax.axhline(1, color="white", lw=1)
        bar.ax.tick_params(labelsize=7)
        return {}

    return stacked(record, f"where the sets at {p} % lie (1: as many as a random set)", 2.2, draw)


def _shares(arrays: Arrays, name: str, params: Mapping[str, Any]) -> np.ndarray:
    """(sets, layers): the part of a layer's neurons that is in the set, over the part of all neurons; NaN for empty sets."""
    scores = {o: arrays[f"chosen_by/{name}/{o}"] for o in OBJECTIVES}
    shape = scores["helpful"].shape
    widths = (~np.isnan(scores["helpful"])).sum(axis=1)
    sets = choose(scores, float(params["headline"]), params["rank"], params["ties"])
    counts = np.array([per_layer(sets[s], (shape[0], shape[1])) for s in SETS], dtype=float)
    inside = np.divide(counts, widths, out=np.full_like(counts, np.nan), where=widths > 0)
    whole = counts.sum(axis=1, keepdims=True) / widths.sum()
    return np.divide(inside, whole, out=np.full_like(inside, np.nan), where=whole > 0)
