"""Calibration columns of one member: is its score scale right, and is it one scale for both objectives?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import log_expit

from harness.objectives import GROUPS
from harness.stats.calibration import slope, temperature
from harness.stats.estimate import Estimate
from harness.stats.linear import difference
from harness.task import Metric

from .estimates import in_group, mean, over_seeds, row
from .groups import Panel

OBJECTIVES = ("helpful", "harmless")


def columns(panel: Panel, member: str) -> Iterator[Metric]:
    """`calib_nll_*` (nats at the native scale), `calib_slope_*` (per s_w), `temp_gap`; items with one pair only."""
    dims = {"member": member}
    margin = np.where(_pairwise(panel)[:, None], panel.of(member, "margin"), np.nan)
    for group in OBJECTIVES:
        prompts = in_group(panel, group, -log_expit(margin))
        loss = prompts if isinstance(prompts, Estimate) else replace(mean(prompts), p=None)
        yield row(f"calib_nll_{group}", loss, "nats", dims, higher=False)
        yield row(f"calib_slope_{group}", over_seeds([_slope(panel, seed, group) for seed in margin.T]), "ratio", dims)
    yield row("temp_gap", over_seeds([_temp_gap(panel, seed) for seed in margin.T]), "log_ratio", dims)


def _pairwise(panel: Panel) -> np.ndarray:
    """Items with one chosen and one rejected reply that count in a group of this task."""
    grouped = panel.items["group"].isin([o for g in OBJECTIVES for o in GROUPS[g]])
    return (grouped & (panel.items["n_pairs"] == 1)).to_numpy()


def _of(panel: Panel, margin: np.ndarray, group: str) -> tuple[np.ndarray, np.ndarray]:
    """(margins, clusters) of a group's pairs, pooled."""
    mine = np.isfinite(margin) & panel.items["group"].isin(list(GROUPS[group])).to_numpy()
    return margin[mine], panel.items["cluster_id"].to_numpy(dtype=str)[mine]


def _slope(panel: Panel, margin: np.ndarray, group: str) -> Estimate:
    """Logistic slope on margin/s_w: 0 means that the size of a margin says nothing; s_w is over all pairs used here."""
    s_w = np.sqrt(np.nanmean(np.square(margin)) / 2) if np.isfinite(margin).any() else 0.0
    values, clusters = _of(panel, margin, group)
    if not len(values) or s_w == 0:
        return Estimate.null("no pairs with a score" if not len(values) else "s_w is 0: every margin is 0")
    return replace(slope(values / s_w, clusters), p=None)


def _temp_gap(panel: Panel, margin: np.ndarray) -> Estimate:
    """ln(T_helpful/T_harmless); 0 means that one scale serves both, negative that harmless margins claim too much."""
    logs: Sequence[Estimate] = [_log(temperature(*_of(panel, margin, group))) for group in OBJECTIVES]
    return difference(logs[0], logs[1])


def _log(t: Estimate) -> Estimate:
    """Natural log of a positive estimate, standard error by the delta method."""
    if t.value is None or t.se is None:
        return t
    return replace(t, value=float(np.log(t.value)), se=t.se / t.value, low=None, high=None)
