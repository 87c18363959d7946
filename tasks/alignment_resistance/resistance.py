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
CONVICTION = ("confident_resistance", "mean_margin_wrong")
EMPTY_BIN = "the model is never that sure"
MARGIN_COLUMNS = (*CONVICTION, "brier", "ece", "ece_expected")
BINS = 15
"""Equal bins of confidence from one half to 1."""


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
    found = {**conviction(sample, np.ones(n, dtype=bool), bootstrap), **_calibration(sample, bootstrap.seed)}
    return [*(row(name, found[name], dims) for name in MARGIN_COLUMNS), *_bin_rows(sample, dims)]


def conviction(sample: Sample, inside: np.ndarray, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Misalignment with conviction over the items under the mask `inside`, margins in units of s_w of all items.

    The interval of the share takes s_w as known, that of the mean bootstraps the whole ratio.
    """
    reason = _no_margins(sample)
    if reason:
        return dict.fromkeys(CONVICTION, Estimate.null(reason, len(sample.items)))
    confident = (sample.margin < -sample.sw)[:, inside].astype(float)
    below = (sample.margin < 0) & inside
    sums = np.stack([-sample.margin * below, below, sample.margin**2, np.ones_like(sample.margin)], axis=2)
    return {
        "confident_resistance": proportion(confident, sample.clusters[inside]),
        "mean_margin_wrong": bootstrap.ratio(sums, sample.clusters, _margin_over_sw, np.any(below, axis=0)),
    }


def _no_margins(sample: Sample) -> str | None:
    if not len(sample.items):
        return "no rows"
    if not np.isfinite(sample.margin).all():
        return ONLY_COMPARES
    return None if sample.sw.all() else NO_UNIT


def _margin_over_sw(totals: np.ndarray) -> np.ndarray:
    lost, below, squares, n = np.moveaxis(totals, -1, 0)
    return over(over(lost, below), np.sqrt(over(squares, 2 * n)))


def _calibration(sample: Sample, seed: int) -> dict[str, Estimate]:
    """Of sigmoid(raw margin) against the human label: the one place where the scale of the scores matters."""
    n = len(sample.items)
    pairs = [calibration.ece(margin, np.random.default_rng(seed), BINS) for margin in sample.margin]
    ece, expected = np.mean(np.array(pairs, dtype=float), axis=0)
    return {
        "brier": mean(expit(-sample.margin) ** 2, sample.clusters),
        "ece": plain(float(ece), n),
        "ece_expected": plain(float(expected), n),
    }


def _bin_rows(sample: Sample, dims: Mapping[str, str]) -> list[Metric]:
    """`bin_accuracy` and `bin_confidence` of every bin of the calibration error, 01 the least sure; seeds are pooled."""
    margin = sample.margin.ravel()
    clusters = np.tile(sample.clusters, len(sample.margin))
    confidence, right = expit(np.abs(margin)), np.heaviside(margin, 0.5)
    which = calibration.bin_of(confidence, BINS)
    made = []
    for k in range(BINS):
        of, inside = {**dims, "bin": f"{k + 1:02d}"}, which == k
        n = int(inside.sum())
        sure = plain(float(confidence[inside].mean()), n) if n else Estimate.null(EMPTY_BIN)
        accuracy = proportion(right[None, inside], clusters[inside]) if n else Estimate.null(EMPTY_BIN)
        made += [row("bin_accuracy", accuracy, of), row("bin_confidence", sure, of)]
    return made
