"""Every column of a feature against a few lines of statsmodels on differences taken by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from harness.tasks.feature_imprint.design import Design
from harness.tasks.feature_imprint.imprint import (
    LEGACY,
    MEMBER_COLUMNS,
    change_rows,
    design_rows,
    human_fit,
    member_rows,
    subset_rows,
)
from harness.tasks.feature_imprint.margins import Margins
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from harness.stats.choice import choice, gap
from harness.task import Metric
from tests.tasks.feature_imprint.sample import DIMS, NAMES, REGRESSORS, design_by_hand, gaps, paid, ruler, scored, texts

FRAME = texts()
DESIGN = Design.of(FRAME, REGRESSORS)
HUMAN = human_fit(DESIGN)
X = design_by_hand(FRAME)
CLUSTERS = FRAME[FRAME["side"] == "chosen"]["cluster_id"].to_numpy()
SCORES = paid(FRAME), 2.0 * paid(FRAME, {**dict.fromkeys(NAMES, 0.3), "good": 1.5}, seed=2)


def margins(*scores: np.ndarray, frame: pd.DataFrame = FRAME) -> Margins:
    return Margins.of(scored(frame, *scores), DESIGN)


def own(score: np.ndarray) -> pd.Series:
    """Margins in units of their s_w."""
    d = gaps(FRAME.assign(score=score), "score")
    return d / np.sqrt((d**2).mean() / 2)


def ols(d: pd.Series, design: pd.DataFrame):
    """CR1 by prompt, statsmodels' way."""
    groups = pd.factorize(CLUSTERS)[0][X.index.get_indexer(d.index)]
    return sm.OLS(d, design.loc[d.index]).fit(cov_type="cluster", cov_kwds={"groups": groups})


def column(rows: list[Metric], name: str, **dims: str) -> dict[str, Metric]:
    keep = {"feature", "kind"}
    return {
        m.dims["feature"]: m
        for m in rows
        if m.name == name and {k: v for k, v in m.dims.items() if k not in keep} == {**DIMS, **dims}
    }


def check_holds(rows: dict[str, Metric], coef: pd.Series, se: pd.Series | None = None) -> None:
    assert set(rows) == set(coef.index)
    for name, m in rows.items():
        assert m.value == pytest.approx(coef[name], rel=1e-8, abs=1e-10), name
        if se is not None:
            assert m.se == pytest.approx(se[name], rel=1e-8), name


def test_betas_of_one_member_are_those_of_statsmodels_in_every_unit_and_beside_every_control():
    rows, beta, gaps_ = member_rows(margins(SCORES[0]), HUMAN, DIMS)
    d = own(SCORES[0])
    whole = ols(d, X)
    check_holds(column(rows, "beta"), whole.params, whole.bse)
    assert beta.mean.coef == pytest.approx(whole.params.to_numpy())
    raw = ols(gaps(FRAME.assign(score=SCORES[0]), "score"), X)
    check_holds(column(rows, "beta_raw"), raw.params, raw.bse)
    given = ols(d, X.assign(label=1.0))
    check_holds(column(rows, "beta_given_human"), given.params.drop("label"), given.bse.drop("label"))
    singles = {name: ols(d, X[[name]]) for name in NAMES}
    check_holds(
        column(rows, "beta_univariate"),
        pd.Series({name: fit.params[name] for name, fit in singles.items()}),
        pd.Series({name: fit.bse[name] for name, fit in singles.items()}),
    )
    expected = gap(d, X, CLUSTERS, NAMES)
    check_holds(column(rows, "gap"), pd.Series({name: expected.estimate(name).value for name in NAMES}))
    assert gaps_.mean.estimate("tone") == expected.estimate("tone")
    assert {m.unit for m in column(rows, "beta_raw").values()} == {"reward"}


def test_what_each_side_chose_is_a_logit_of_its_own_credits():
    rows, *_ = member_rows(margins(*SCORES), HUMAN, DIMS)
    agreed = np.mean([(own(s) > 0).astype(float) for s in SCORES], axis=0)
    for found, credits in (
        (column(rows, "logodds_rm"), agreed),
        (column(design_rows(DESIGN, HUMAN, DIMS), "logodds_human"), np.ones(len(X))),
    ):
        fit = choice(credits, X, CLUSTERS, NAMES)
        check_holds(found, pd.Series({name: fit.estimate(name).value for name in NAMES}))
    own_fits = [choice((own(s) > 0).astype(float), X, CLUSTERS, NAMES).estimate("good").value for s in SCORES]
    items = choice(agreed, X, CLUSTERS, NAMES).estimate("good").se
    spread = np.var(own_fits, ddof=1) / 2
    assert column(rows, "logodds_rm")["good"].se == pytest.approx((items**2 + spread) ** 0.5)
    assert HUMAN.estimate("good").low > 0 > HUMAN.estimate("bad").high


def test_the_published_fit_pools_raw_rewards_of_all_texts_without_length():
    rows, *_ = member_rows(margins(SCORES[0]), HUMAN, DIMS)
    levels = pd.DataFrame({name: ruler(FRAME, name) for name in NAMES if name != "log_words"})
    fit = sm.OLS(SCORES[0], sm.add_constant(levels)).fit()
    found = column(rows, "beta_pooled")
    check_holds(found, fit.params.drop("const"), fit.bse.drop("const"))
    assert all(m.p is not None and m.p_holm is None and m.q_bh is None for m in found.values())


def test_holm_and_bh_are_over_the_features_of_one_column():
    rows, *_ = member_rows(margins(paid(FRAME, {"good": 0.2}, noise=1.0)), HUMAN, DIMS)
    for name in MEMBER_COLUMNS:
        if name == LEGACY:
            continue
        found = column(rows, name)
        ps = [m.p for m in found.values()]
        assert [m.p_holm for m in found.values()] == pytest.approx(multipletests(ps, method="holm")[1])
        assert [m.q_bh for m in found.values()] == pytest.approx(false_discovery_control(ps))
        assert len({m.p_holm for m in found.values()}) > 1


def test_seeds_count_by_their_mean_and_their_spread_is_in_the_error():
    rows, beta, _ = member_rows(margins(*SCORES), HUMAN, DIMS)
    alone = [ols(own(s), X) for s in SCORES]
    mean = ols(sum(own(s) for s in SCORES) / 2, X)
    spread = np.var([fit.params for fit in alone], axis=0, ddof=1) / 2
    se = np.sqrt(mean.bse**2 + spread)
    check_holds(column(rows, "beta"), mean.params, se)
    across = np.cov(np.array([fit.params for fit in alone]).T) / 2
    np.testing.assert_allclose(beta.covariance(), mean.cov_params() + across, rtol=1e-7, atol=1e-12)


def test_a_seed_without_a_fit_leaves_the_mean_without_an_interval_to_stand_on():
    rows, *_ = member_rows(margins(SCORES[0], FRAME["x_log_words"].to_numpy()), HUMAN, DIMS)
    assert all(m.value is None and "separation" in m.reason for m in column(rows, "logodds_rm").values())
    assert all(m.value is not None for m in column(rows, "beta").values())


def test_a_refused_feature_is_null_with_its_reason_and_in_no_family():
    frame = FRAME.assign(x_asked=1.0)
    design = Design.of(frame, REGRESSORS)
    rows, *_ = member_rows(Margins.of(scored(frame, SCORES[0]), design), human_fit(design), DIMS)
    for name in MEMBER_COLUMNS:
        found = column(rows, name)["asked"]
        assert (found.value, found.p_holm) == (None, None)
        assert found.reason == "differs in 0 effective clusters, 20 are needed"
    ps = [m.p for name, m in column(rows, "beta").items() if name != "asked"]
    expected = multipletests(ps, method="holm")[1]
    assert [m.p_holm for name, m in column(rows, "beta").items() if name != "asked"] == pytest.approx(expected)


def test_a_member_of_ties_has_the_same_rows_as_any_other_all_null():
    usual, *_ = member_rows(margins(SCORES[0]), HUMAN, DIMS)
    rows, beta, gaps_ = member_rows(margins(0.0 * SCORES[0]), HUMAN, DIMS)
    assert (beta, gaps_) == (None, None)
    assert {m.key for m in rows} == {m.key for m in usual}
    assert all(m.value is None and m.reason == "every pair ties: the margins have no unit" for m in rows)


def test_a_subset_is_fitted_alone_in_the_unit_of_the_whole():
    rows = subset_rows(margins(SCORES[0]), DESIGN.subsets(), DIMS)
    d = own(SCORES[0])
    for subset in ("one", "two"):
        inside = FRAME[(FRAME["subset"] == subset) & (FRAME["side"] == "chosen")]["item_id"]
        fit = ols(d[inside], X)
        check_holds(column(rows, "beta", dataset="d", subset=subset), fit.params, fit.bse)


def test_a_subset_nobody_scored_says_so():
    lost = np.where(FRAME["subset"] == "two", np.nan, SCORES[0])
    rows = subset_rows(margins(lost), DESIGN.subsets(), DIMS)
    assert {m.reason for m in column(rows, "beta", dataset="d", subset="two").values()} == {"no item was scored"}
    assert all(m.value is not None for m in column(rows, "beta", dataset="d", subset="one").values())


def test_change_is_ours_less_theirs_on_what_both_scored_each_in_its_unit_there():
    ours, theirs = SCORES[0].copy(), SCORES[1].copy()
    ours[:8], theirs[20:40] = np.nan, np.nan
    rows = change_rows(margins(ours), margins(theirs), DIMS)
    both = FRAME["item_id"][~np.isnan(ours) & ~np.isnan(theirs)].unique()
    post, pre = (gaps(FRAME.assign(score=s), "score")[both] for s in (ours, theirs))
    after, before = (ols(d / np.sqrt((d**2).mean() / 2), X) for d in (post, pre))
    check_holds(column(rows, "beta_ref"), before.params, before.bse)
    check_holds(column(rows, "beta_change"), after.params - before.params)
    assert column(rows, "beta_change")["good"].n == len(both)


def test_change_of_several_seeds_is_between_their_means_and_carries_their_spread():
    other = paid(FRAME, {"bad": -1.0, "tone": 0.5}, seed=3)
    alone = [column(change_rows(margins(s), margins(other), DIMS), "beta_change") for s in SCORES]
    both = column(change_rows(margins(*SCORES), margins(other), DIMS), "beta_change")
    for name, m in both.items():
        per_seed = [found[name].value for found in alone]
        assert m.value == pytest.approx(np.mean(per_seed))
        assert m.se**2 > np.var(per_seed, ddof=1) / 2
    back = column(change_rows(margins(other), margins(*SCORES), DIMS), "beta_change")
    for name, m in back.items():
        assert (m.value, m.se) == (pytest.approx(-both[name].value), pytest.approx(both[name].se))


def test_change_without_anything_in_common_or_without_a_unit_says_why():
    first, second = SCORES[0].copy(), SCORES[1].copy()
    first[: len(first) // 2], second[len(second) // 2 :] = np.nan, np.nan
    tied = margins(0.0 * SCORES[0])
    for theirs, reason in ((margins(second), "no item in common"), (tied, "reference: every pair ties")):
        rows = change_rows(margins(first), theirs, DIMS)
        assert {m.name for m in rows} == {"beta_ref", "beta_change"}
        assert all(m.value is None and m.reason.startswith(reason) for m in rows)


def test_the_design_says_how_often_a_feature_occurs_and_differs():
    frame = FRAME.copy()
    frame.loc[frame["item_id"] < "i0100", "x_bad"] = np.nan
    design = Design.of(frame, REGRESSORS)
    rows = design_rows(design, human_fit(design), DIMS)
    for side in ("chosen", "rejected"):
        levels = frame[frame["side"] == side]
        found = column(rows, f"prev_{side}")
        assert found["good"].value == pytest.approx(levels["x_good"].mean())
        assert found["tone"].value == pytest.approx(levels["x_tone"].mean())
        assert found["bad"].value == pytest.approx(levels["x_bad"].mean())
        assert (found["bad"].n, found["good"].n) == (140, 240)
    assert column(rows, "discordance")["good"].value == pytest.approx((X["good"] != 0).mean())
    assert {name: m.value for name, m in column(rows, "desired_sign").items()} == {
        r.name: r.desired_sign for r in REGRESSORS
    }
    for name in ("vif", "effective_clusters", "discordance", "logodds_human"):
        unknown = column(rows, name)["bad"]
        assert (unknown.value, unknown.reason) == (None, "known in 58.3% of the pairs, 80% are needed")
