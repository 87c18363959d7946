"""Every column of the task with its unit and direction, and estimates as metric rows."""

from __future__ import annotations

from collections.abc import Mapping

from harness.columns import Column, metric
from harness.stats.estimate import Estimate
from harness.task import Metric

BETAS = ("beta", "beta_univariate", "beta_given_human", "beta_gold", "beta_ref", "beta_change")
SHARES = ("target", "spoiler", "length", "control")

COLUMNS: Mapping[str, Column] = {
    "n": Column("count"),
    "n_failed": Column("count"),
    "n_incomplete": Column("count"),
    "s_w": Column("reward"),
    **{name: Column("sw") for name in BETAS},
    "beta_raw": Column("reward"),
    "beta_pooled": Column("reward"),
    "logodds_rm": Column("log_odds"),
    "logodds_human": Column("log_odds"),
    "gap": Column("log_odds"),
    "desired_sign": Column("sign"),
    "prev_chosen": Column("feature"),
    "prev_rejected": Column("feature"),
    "discordance": Column("proportion"),
    "vif": Column("ratio"),
    "effective_clusters": Column("count"),
    "label_kappa": Column("rho"),
    "label_kappa_second": Column("rho"),
    "label_kappa_gold": Column("rho"),
    "reliability": Column("rho"),
    "target_imprint": Column("sw", True),
    "spoiler_imprint": Column("sw", False),
    "length_imprint": Column("sw"),
    "imprint_gap": Column("log_odds", False),
    "accuracy": Column("proportion", True),
    "selectivity": Column("proportion", True),
    "r2": Column("proportion"),
    "r2_heldout": Column("ratio"),
    **{f"share_{name}": Column("proportion") for name in SHARES},
    **{f"share_heldout_{name}": Column("ratio") for name in SHARES},
    "effect": Column("sw"),
    "effect_predicted": Column("sw"),
    "effect_declared": Column("sw"),
    "causal_agreement": Column("proportion", True),
    "designed_agreement": Column("proportion", True),
    "designed_margin": Column("sw"),
    "designed_predicted": Column("sw"),
}


def row(
    name: str,
    found: Estimate,
    dims: Mapping[str, str],
    *,
    p_holm: float | None = None,
    q_bh: float | None = None,
    main: bool = False,
) -> Metric:
    """The estimate as a metric row; a null value or a missing interval keeps its reason."""
    return metric(name, found, COLUMNS[name], dims, p_holm=p_holm, q_bh=q_bh, main=main)


def plain(value: float, n: int) -> Estimate:
    """A number that has no interval of its own."""
    return Estimate(value, n=n)
