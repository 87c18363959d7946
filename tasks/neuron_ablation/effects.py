"""What each set does when it is ablated: rows that need no control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from harness.objectives import GROUPS
from harness.stats.accuracy import accuracy
from harness.stats.bootstrap import cluster_weights, percentile, row_weights
from harness.stats.estimate import Estimate
from harness.stats.linear import linear
from harness.task import Metric

from .accuracy import PP, by_prompt, change
from .columns import plain, row
from .damage import fidelity, gain
from .retention import Retention, retention
from .sets import OBJECTIVES
from .sweep import INTACT, Sweep

KAPPA_DRAWS = 1000

OBJECTIVE_GROUPS: Mapping[str, tuple[str, ...]] = {"helpful": ("helpful",), "harmless": ("refuse", "comply")}
"""Items an objective is judged on where margins, not accuracies, are compared."""


def baseline(sweep: Sweep, measure: str, dims: Mapping[str, str]) -> Iterator[Metric]:
    """`acc` of the intact model by sub-task, and the `chance` of being right there."""
    for subtask, found in _by_subtask(sweep, sweep.values[measure][INTACT].to_numpy(dtype=float), accuracy):
        yield row("acc", found, dict(dims) | {"subset": subtask})
    for subtask, found in _by_subtask(sweep, sweep.items["chance"].to_numpy(dtype=float)):
        yield row("chance", plain(found.value, found.n or 0, found.reason), dict(dims) | {"subset": subtask})


def effects(
    sweep: Sweep, condition: str, measure: str, dims: Mapping[str, str], rng: np.random.Generator
) -> Iterator[Metric]:
    """Changes of accuracy and margin by group and sub-task, damage, and the slope on what there was to lose."""
    intact, ablated = (sweep.values[measure][c].to_numpy(dtype=float) for c in (INTACT, condition))
    for group in GROUPS:
        yield row(f"d_acc_{group}", change(sweep.items, ablated, intact, group, rng), dims)
        yield row(f"d_margin_{group}", _margin(sweep, condition, group), dims)
    before, after = sweep.margins([INTACT])[:, 0], sweep.margins([condition])
    n = len(before)
    yield row("fidelity", plain(fidelity(before, after, sweep.items["group"].to_numpy(dtype=str))[0], n), dims)
    yield row("margin_gain", plain(gain(before, after)[0], n), dims)
    for subtask, found in _by_subtask(sweep, ablated - intact):
        yield row("d_acc", found.scaled(PP), dict(dims) | {"subset": subtask})
    yield from _collapse(sweep, ablated, intact, dims)


def kappas(sweep: Sweep, conditions: Mapping[str, Mapping[str, str]], draws: int, seed: int) -> Iterator[Metric]:
    """`kappa_helpful` and `kappa_harmless` of conditions, given with their dims, with bootstrap intervals."""
    for objective in OBJECTIVES:
        found = of_objective(sweep, objective, list(conditions), draws, seed)
        n, clusters = _sizes(sweep, objective)
        for i, dims in enumerate(conditions.values()):
            value = float(found.values[i]) if found.reason is None else None
            estimate = (
                percentile(value, found.draws[:, i], n, clusters)
                if found.reason is None
                else plain(None, n, found.reason)
            )
            yield row(f"kappa_{objective}", estimate, dims)


def of_objective(sweep: Sweep, objective: str, conditions: list[str], draws: int, seed: int) -> Retention:
    """Retention of one objective under conditions, at most `KAPPA_DRAWS` draws; null where it has no items."""
    mine = sweep.items["group"].isin(OBJECTIVE_GROUPS[objective]).to_numpy()
    nothing = np.full(len(conditions), np.nan)
    if not mine.any():
        return Retention(nothing, np.empty((0, len(conditions))), f"no items of {objective}")
    clusters = sweep.items["cluster_id"].to_numpy(dtype=str)[mine]
    rng = np.random.default_rng(seed)
    unique, counts = cluster_weights(clusters, min(draws, KAPPA_DRAWS), rng)
    return retention(
        sweep.margins([INTACT])[mine, 0],
        sweep.margins(conditions)[mine],
        sweep.items["subtask"].to_numpy(dtype=str)[mine],
        clusters,
        rng,
        row_weights(clusters, unique, counts),
    )


def _sizes(sweep: Sweep, objective: str) -> tuple[int, int]:
    mine = sweep.items[sweep.items["group"].isin(OBJECTIVE_GROUPS[objective])]
    return len(mine), mine["cluster_id"].nunique()


def _by_subtask(
    sweep: Sweep, values: np.ndarray, estimator: Callable[[np.ndarray, np.ndarray], Estimate] = linear
) -> Iterator[tuple[str, Estimate]]:
    """By sub-task the mean over prompts of the mean over the prompt's items of item values (items,)."""
    for subtask in sorted(sweep.items["subtask"].unique()):
        means = by_prompt(sweep.items, values[:, None], [subtask])
        yield str(subtask), estimator(means[0].to_numpy(), means.index.get_level_values(1).to_numpy(dtype=str))


def _margin(sweep: Sweep, condition: str, group: str) -> Estimate:
    """Change of the mean oriented margin over the group's items, in SDs of the intact margins."""
    mine = sweep.items["group"].isin(list(GROUPS[group])).to_numpy()
    before, after = (sweep.margins([c])[mine, 0] for c in (INTACT, condition))
    spread = float(before.std()) if mine.any() else 0.0
    if not spread:
        return Estimate.null(f"no items of {group}" if not mine.any() else "the intact margins do not vary")
    return linear((after - before) / spread, sweep.items["cluster_id"].to_numpy(dtype=str)[mine])


def _collapse(sweep: Sweep, ablated: np.ndarray, intact: np.ndarray, dims: Mapping[str, str]) -> Iterator[Metric]:
    """Slope of the change on accuracy above chance over sub-tasks, through the origin, and what it leaves by group.

    Description only: -1 with zero residuals is what losing all preference looks like. Source: section 6.2.
    """
    groups = sweep.items.drop_duplicates("subtask").set_index("subtask")["group"].reindex(sweep.weights.index)
    weights, n = sweep.weights.to_numpy(), len(groups)
    above = weights @ (intact - sweep.items["chance"].to_numpy(dtype=float))
    delta = weights @ (ablated - intact)
    power = float(above @ above)
    if not power:
        reason = "every sub-task is at chance" if n else "no item has a score under every condition"
        yield row("chance_slope", plain(None, n, reason), dims)
        return
    slope = float(above @ delta) / power
    yield row("chance_slope", plain(slope, n), dims)
    left = PP * (delta - slope * above)
    for group, shares in GROUPS.items():
        parts = [left[(groups == o).to_numpy()] for o in shares]
        value = np.mean([p.mean() for p in parts]) if all(map(len, parts)) else None
        yield row(f"d_resid_{group}", plain(value, n, None if value is not None else f"no items of {group}"), dims)
