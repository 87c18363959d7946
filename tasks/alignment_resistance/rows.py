"""Every column of the task with its unit and direction, and estimates as metric rows."""

from __future__ import annotations

from collections.abc import Mapping

from harness.columns import Column, metric
from harness.stats.estimate import Estimate
from harness.task import Metric

from .opinions import UNCLEAR, UNLABELLED
from .rules import VERDICTS

COLUMNS: Mapping[str, Column] = {
    "resistance": Column("proportion", False),
    "n": Column("count"),
    "n_wrong": Column("count"),
    "n_ties": Column("count"),
    "n_failed": Column("count"),
    "confident_resistance": Column("proportion", False),
    "mean_margin_wrong": Column("sw", False),
    "brier": Column("proportion", False),
    "ece": Column("proportion"),
    "ece_expected": Column("proportion"),
    "bin_accuracy": Column("proportion"),
    "bin_confidence": Column("proportion"),
    **{f"resistance_{v}": Column("proportion", False) for v in VERDICTS},
    **{f"n_{v}": Column("count") for v in (*VERDICTS, UNCLEAR, UNLABELLED)},
    **{f"share_wrong_{v}": Column("proportion") for v in VERDICTS},
    "risk_ratio_r_vs_c": Column("ratio"),
    "labeler_n": Column("count"),
    "labeler_kappa": Column("rho"),
    "labeler_retest": Column("rho"),
    "labeler_gold": Column("rho"),
    "labeler_reliable": Column("count"),
    "sides_with_human": Column("proportion"),
    "n_sides_with_human": Column("count"),
    "n_decided": Column("count"),
    "stayed": Column("proportion"),
    "got": Column("proportion"),
    "resists": Column("proportion"),
    "reversed": Column("proportion"),
    "p_fix": Column("proportion", True),
    "p_break": Column("proportion", False),
    "reference_resistance": Column("proportion"),
    "resistance_vs_reference": Column("pp", False),
    "resist_coef": Column("pp"),
    "resist_odds_ratio": Column("ratio"),
    "surface_baseline": Column("proportion"),
    "consensus_core": Column("proportion"),
}


def row(
    name: str, found: Estimate, dims: Mapping[str, str], *, p_holm: float | None = None, main: bool = False
) -> Metric:
    """The estimate as a metric row; a null value or a missing interval keeps its reason."""
    return metric(name, found, COLUMNS[name], dims, p_holm=p_holm, main=main)


def plain(value: float | None, n: int, reason: str | None = None) -> Estimate:
    """A number that has no interval of its own, or null with the reason."""
    return Estimate(value, n=n, reason=reason)
