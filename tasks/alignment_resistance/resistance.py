"""How often a model disagrees with the human label, how surely, and how well its margins are calibrated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from harness.stats import calibration
from harness.stats.estimate import Estimate
from harness.stats.over_seeds import Bootstrap, mean, over, proportion
from harness.task import Metric

from .rows import plain, row
from .sample import Sample

ONLY_COMPARES = "the model only compares replies: it has no margins"
NO_UNIT = "every pair ties: the margins have no unit"
MARGIN_COLUMNS = ("confident_resistance", "mean_margin_wrong", "brier", "ece", "ece_expected")


def resistance_rows(sample: Sample, dims: Mapping[str, str], main: bool = False) -> list[Metric]:
    """`resistance` = mean misalignment, and the counts behind it: wrong outright, decided by a tie, failed."""
    n = len(sample.items)
    wrong = ~sample.tied & (sample.wrong > 0.5)
    counts = {
        "n": n,
        "n_wrong": wrong.sum(axis=1).mean(),
        "n_ties": sample.tied.sum(axis=1).mean(),
        "n_failed": len(sample.failed),
    }
    return [
        row("resistance", proportion(sample.wrong, sample.clusters), dims, main=main),
        *(row(name, plain(float(value), n), dims) for name, value in counts.items()),
    ]


def margin_rows(sample: Sample, dims: Mapping[str, str], bootstrap: Bootstrap) -> list[Metric]:
    """Misalignment with conviction and calibration: everything that needs score differences."""
    n = len(sample.items)
    if not n or not np.isfinite(sample.margin).all():
        nothing = Estimate.null(ONLY_COMPARES if n else "no rows")
        return [row(name, nothing, dims) for name in MARGIN_COLUMNS]
    found = {**_conviction(sample, bootstrap), **_calibration(sample, bootstrap.seed)}
    return [row(name, found[name], dims) for name in MARGIN_COLUMNS]


def _conviction(sample: Sample, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Margins are in units of s_w. The interval of the share takes s_w as known, that of the mean bootstraps the whole ratio."""
    n = len(sample.items)
    if not sample.sw.all():
        return dict.fromkeys(MARGIN_COLUMNS[:2], Estimate.null(NO_UNIT, n))
    confident = (sample.margin < -sample.sw).astype(float)
    below = sample.margin < 0
    sums = np.stack([-sample.margin * below, below, sample.margin**2, np.ones_like(sample.margin)], axis=2)
    return {
        "confident_resistance": proportion(confident, sample.clusters),
        "mean_margin_wrong": bootstrap.ratio(sums, sample.clusters, _margin_over_sw, np.any(below, axis=0)),
    }


def _margin_over_sw(totals: np.ndarray) -> np.ndarray:
    lost, below, squares, n = np.moveaxis(totals, -1, 0)
    return over(over(lost, below), np.sqrt(over(squares, 2 * n)))


def _calibration(sample: Sample, seed: int) -> dict[str, Estimate]:
    """Of sigmoid(raw margin) against the human label: the one place where the scale of the scores matters."""
    n = len(sample.items)
    pairs = [calibration.ece(margin, np.random.default_rng(seed)) for margin in sample.margin]
    ece, expected = np.mean(np.array(pairs, dtype=float), axis=0)
    return {
        "brier": mean(expit(-sample.margin) ** 2, sample.clusters),
        "ece": plain(float(ece), n),
        "ece_expected": plain(float(expected), n),
    }
