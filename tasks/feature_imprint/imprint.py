"""Feature by feature: what a member pays for it, how that is adjusted, and what people pay for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.stats.choice import choice, gap
from harness.stats.differences import change
from harness.stats.estimate import Estimate
from harness.stats.fit import Fit
from harness.stats.multiplicity import benjamini_hochberg, holm
from harness.stats.over_seeds import seeded
from harness.stats.pooled import seal_pooled
from harness.task import Metric

from .columns import row
from .design import Design
from .fits import Fits
from .margins import Margins
from .regressors import LENGTH, Regressor

MEMBER_COLUMNS = (
    "beta", "beta_raw", "beta_univariate", "beta_given_human", "beta_pooled", "logodds_rm", "gap",
)  # fmt: skip
LEGACY = "beta_pooled"
"""Published without length and with a correction of its own: its p stays uncorrected here."""

CHANGE_COLUMNS = ("beta_ref", "beta_change")
NO_FEATURE = "no feature can be estimated"

Estimates = Mapping[str, Estimate]


def member_rows(margins: Margins, human: Fit, dims: Mapping[str, str]) -> tuple[list[Metric], Fits | None, Fits | None]:
    """The columns of one member by feature, and its fits of `beta` and of `gap` for the scalars (None without any).

    `human` is the fit of what people chose on the same features.
    """
    design, names = margins.design, margins.design.names
    if reason := margins.reason or (None if names else NO_FEATURE):
        nothing = dict.fromkeys(names, Estimate.null(reason, len(design.items)))
        without_length = {name: null for name, null in nothing.items() if name != LENGTH}
        empty = {**dict.fromkeys(MEMBER_COLUMNS, nothing), LEGACY: without_length}
        return feature_rows(design, empty, dims), None, None
    X, clusters, d = design.differences(names), design.clusters, margins.scaled
    beta = Fits.linear(d, X, clusters, names)
    gaps = Fits.of(d, lambda one: gap(one, X, clusters, names))
    choices = Fits.of(margins.agreed, lambda one: choice(one, X, clusters, names))
    given = np.column_stack([X, np.ones(len(X))])
    found = {
        "beta": by_name(names, beta.coefficient),
        "beta_raw": by_name(names, Fits.linear(margins.raw, X, clusters, names, "reward").coefficient),
        "beta_univariate": {
            name: Fits.linear(d, X[:, [j]], clusters, [name]).coefficient(name) for j, name in enumerate(names)
        },
        "beta_given_human": by_name(names, Fits.linear(d, given, clusters, [*names, "human label"]).coefficient),
        LEGACY: _pooled(margins, [name for name in names if name != LENGTH]),
        "logodds_rm": by_name(names, choices.coefficient),
        "gap": by_name(names, gaps.coefficient),
    }
    return feature_rows(design, found, dims), beta, gaps


def subset_rows(margins: Margins, parts: Mapping[tuple[str, str], Design], dims: Mapping[str, str]) -> list[Metric]:
    """`beta` within every (dataset, subset): the ruler and the unit of the whole, the features that can be estimated there."""
    made = []
    for (dataset, subset), whole in parts.items():
        part = margins.within(whole)
        design, names = part.design, part.design.names
        if reason := margins.reason or (None if len(design.items) else "no item was scored"):
            found = dict.fromkeys(names, Estimate.null(reason, len(design.items)))
        else:
            found = by_name(
                names, Fits.linear(part.scaled, design.differences(names), design.clusters, names).coefficient
            )
        made += feature_rows(design, {"beta": found}, {**dims, "dataset": dataset, "subset": subset})
    return made


def change_rows(ours: Margins, theirs: Margins, dims: Mapping[str, str]) -> list[Metric]:
    """`beta_ref` and `beta_change` = beta - beta_ref on the items both scored; above 0, the imprint grew.

    Each model is in units of its s_w on these items, and both units are estimated (corrections 11). Several seeds of
    either count by their mean, and their spread is in the interval (corrections 7).
    """
    common = ours.design.items.index.intersection(theirs.design.items.index)
    post, pre = (m.within(ours.design.where(common)).remeasured() for m in (ours, theirs))
    design, names = post.design, post.design.names
    reasons = (
        ours.reason,
        theirs.reason and f"reference: {theirs.reason}",
        None if len(common) else "no item in common",
        post.reason,
        pre.reason and f"reference: {pre.reason}",
    )
    if reason := next(filter(None, reasons), None):
        nothing = dict.fromkeys(names, Estimate.null(reason, len(common)))
        return feature_rows(design, dict.fromkeys(CHANGE_COLUMNS, nothing), dims)
    X, clusters = design.differences(names), design.clusters
    after, before = (Fits.linear(m.scaled, X, clusters, names) for m in (post, pre))
    moved = Fits(change(post.raw, pre.raw, X, clusters, names), after.seeds)

    def changed(name: str) -> Estimate:
        of_reference = [value for fit in before.seeds if (value := fit.estimate(name).value) is not None]
        return seeded(moved.coefficient(name), of_reference)

    found = {"beta_ref": by_name(names, before.coefficient), "beta_change": by_name(names, changed)}
    return feature_rows(design, found, dims)


def human_fit(design: Design) -> Fit:
    """What people pay for each feature: the logit of their choice on the differences, without intercept, by Firth."""
    names = design.names
    return choice(np.ones(len(design.items)), design.differences(names), design.clusters, names)


def design_rows(design: Design, human: Fit, dims: Mapping[str, str]) -> list[Metric]:
    """What no model changes: how often a feature occurs and differs in the pairs in which it is known, what can be
    estimated, what people pay for it.
    """
    made = []
    for r in design.regressors:
        seen, ruler, of = design.diagnoses[r.name], design.scale.units[r.name], {**dims, **r.dims}
        chosen, rejected = design.chosen[r.name], design.rejected[r.name]
        known = (chosen - rejected).notna()
        facts = {
            "desired_sign": float(r.desired_sign),
            "prev_chosen": finite(chosen[known].mean() * ruler),
            "prev_rejected": finite(rejected[known].mean() * ruler),
            "discordance": finite(seen.discordance),
            "vif": finite(seen.vif),
            "effective_clusters": finite(seen.effective_clusters),
        }
        groups = len(np.unique(design.clusters[known]))
        for name, value in facts.items():
            reason = None if value is not None else seen.reason or "no pairs"
            made.append(row(name, Estimate(value, n=int(known.sum()), n_clusters=groups, reason=reason), of))
    return made + feature_rows(design, {"logodds_human": by_name(design.names, human.estimate)}, dims)


def feature_rows(design: Design, found: Mapping[str, Estimates], dims: Mapping[str, str]) -> list[Metric]:
    """Rows of every column and regressor: fitted ones with Holm and BH over them, refused ones null with the reason."""
    made = []
    for column, estimates in found.items():
        names = [name for name in design.names if name in estimates]
        ps = [estimates[name].p if column != LEGACY else None for name in names]
        holms, qs = (dict(zip(names, adjust(ps), strict=True)) for adjust in (holm, benjamini_hochberg))
        for r in design.regressors:
            seen = estimates.get(r.name) or _refused(design, r)
            if seen is not None:
                made.append(row(column, seen, {**dims, **r.dims}, p_holm=holms.get(r.name), q_bh=qs.get(r.name)))
    return made


def finite(value: float) -> float | None:
    """The number, or None where it is not one."""
    return float(value) if np.isfinite(value) else None


def by_name(names: Sequence[str], read: Callable[[str], Estimate]) -> dict[str, Estimate]:
    """What `read` says of each name."""
    return {name: read(name) for name in names}


def _refused(design: Design, r: Regressor) -> Estimate | None:
    """The null of a feature that cannot be estimated; None for one that is merely not part of a column."""
    reason = design.diagnoses[r.name].reason
    return Estimate.null(reason, len(design.items)) if reason else None


def _pooled(margins: Margins, names: Sequence[str]) -> dict[str, Estimate]:
    """The published estimator, faults and all: rewards of all replies on their features, without prompt, length or clusters."""
    X = margins.design.texts(names)
    rewards = np.concatenate([margins.chosen, margins.rejected], axis=1)
    fits = Fits.of(rewards, lambda one: seal_pooled(one, X, tuple(names)))
    return by_name(names, fits.coefficient)
