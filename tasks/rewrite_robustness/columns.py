"""Every column of the task with its unit and direction, and estimates as metric rows."""

from __future__ import annotations

from collections.abc import Mapping

from harness.columns import Column, metric
from harness.stats.estimate import Estimate
from harness.task import Metric

COLUMNS: Mapping[str, Column] = {
    "n": Column("count"),
    "n_failed": Column("count"),
    "n_transforms": Column("count"),
    "s_w": Column("reward"),
    "accuracy": Column("proportion", True),
    "mean_drop_pp": Column("pp", False),
    "worst_drop_pp": Column("pp", False),
    "worst_drop_low_pp": Column("pp", False),
    "worst_acc": Column("proportion", True),
    "acc_cell": Column("proportion"),
    "acc_orig": Column("proportion", True),
    "acc_new": Column("proportion", True),
    "drop_pp": Column("pp", False),
    "drop_rel": Column("ratio", False),
    "break_rate": Column("proportion", False),
    "fix_rate": Column("proportion"),
    "flip_rate": Column("proportion", False),
    "shift": Column("sw"),
    "abs_shift": Column("sw", False),
    "margin_ratio": Column("ratio"),
    "spearman": Column("rho", True),
    "ties": Column("count"),
    "n_valid": Column("count"),
    "valid_rate": Column("proportion"),
    "applicable_rate": Column("proportion"),
    "similarity_mean": Column("rho"),
    "edit_ratio": Column("proportion"),
    "noise_floor": Column("proportion", False),
    "noise_score": Column("reward", False),
    "valid_texts": Column("proportion"),
    "rejected_rate": Column("proportion"),
    "rejection_gap_pp": Column("pp"),
    "ate_sw": Column("sw"),
    "ate_up_sw": Column("sw"),
    "ate_down_sw": Column("sw"),
    "ate_naive_sw": Column("sw"),
    "pi": Column("ratio"),
    "pi_logodds": Column("log_odds"),
    "pi_ame": Column("proportion"),
    "cell_n": Column("count"),
    "flip": Column("proportion"),
    "aa_flip": Column("proportion"),
    "ppv": Column("ratio"),
}


def row(
    name: str, found: Estimate, dims: Mapping[str, str], *, p_holm: float | None = None, main: bool = False
) -> Metric:
    """The estimate as a metric row; a null value or a missing interval keeps its reason."""
    return metric(name, found, COLUMNS[name], dims, p_holm=p_holm, main=main)


def plain(value: float, n: int) -> Estimate:
    """A number that has no interval of its own."""
    return Estimate(value, n=n)
