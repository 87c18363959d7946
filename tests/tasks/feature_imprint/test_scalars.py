"""The scalars of a member by hand, from the fits they are read from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from harness.tasks.feature_imprint.design import Design
from harness.tasks.feature_imprint.imprint import human_fit, member_rows
from harness.tasks.feature_imprint.margins import Margins
from harness.tasks.feature_imprint.params import Params
from harness.tasks.feature_imprint.scalars import scalar_rows

from harness.stats.choice import gap
from harness.stats.shares import held_out_r2, held_out_shares, shapley_r2
from harness.task import Metric
from tests.tasks.feature_imprint.sample import DIMS, NAMES, REGRESSORS, design_by_hand, gaps, paid, scored, texts

FRAME = texts(300)
X = design_by_hand(FRAME)
CLUSTERS = FRAME[FRAME["side"] == "chosen"]["cluster_id"].to_numpy()
SCORES = paid(FRAME), 2.0 * paid(FRAME, {**dict.fromkeys(NAMES, 0.3), "good": 1.5}, seed=2)
PLAYERS = ("length", "target", "target", "target", "spoiler", "spoiler")
PARAMS = Params(draws=60, seed=3)


def scalars(
    *scores: np.ndarray, params: Params = PARAMS, distrusted: tuple[str, ...] = (), frame: pd.DataFrame = FRAME
) -> dict[str, Metric]:
    design = Design.of(frame, REGRESSORS)
    margins = Margins.of(scored(frame, *scores), design)
    _, beta, gaps_ = member_rows(margins, human_fit(design), DIMS)
    rows = scalar_rows(margins, beta, gaps_, params, DIMS, lambda r: r.name not in distrusted)
    assert len({m.name for m in rows}) == len(rows)
    return {m.name: m for m in rows}


def own(score: np.ndarray) -> np.ndarray:
    d = gaps(FRAME.assign(score=score), "score").to_numpy()
    return d / np.sqrt((d**2).mean() / 2)


def fitted(d: np.ndarray):
    groups = pd.factorize(CLUSTERS)[0]
    return sm.OLS(d, X).fit(cov_type="cluster", cov_kwds={"groups": groups})


def beyond_noise(names: list[str], coef: pd.Series, cov: pd.DataFrame) -> float:
    size = (X[names] ** 2).mean()
    square = (coef[names] ** 2 * size).mean() - (pd.Series(np.diag(cov), cov.columns)[names] * size).mean()
    return max(0.0, square) ** 0.5


def test_targets_count_by_the_sign_people_want_and_those_without_one_not_at_all():
    found, fit = scalars(SCORES[0]), fitted(own(SCORES[0]))
    weights = pd.Series({"good": 0.5, "bad": -0.5})
    assert found["target_imprint"].value == pytest.approx(fit.params[weights.index] @ weights)
    cov = fit.cov_params().loc[weights.index, weights.index]
    assert found["target_imprint"].se == pytest.approx((weights @ cov @ weights) ** 0.5)
    assert found["length_imprint"].value == pytest.approx(fit.params["log_words"])
    assert {name for name, m in found.items() if m.main} == {"target_imprint", "spoiler_imprint"}


def test_spoilers_are_a_root_mean_square_of_what_they_move_less_noise():
    found, fit = scalars(SCORES[0]), fitted(own(SCORES[0]))
    expected = beyond_noise(["tone", "shout"], fit.params, fit.cov_params())
    assert found["spoiler_imprint"].value == pytest.approx(expected)
    assert found["spoiler_imprint"].ci.low < expected < found["spoiler_imprint"].ci.high


def test_the_gap_is_one_over_all_features():
    fit = gap(own(SCORES[0]), X, CLUSTERS, NAMES)
    cov = pd.DataFrame(fit.covariance, fit.names, fit.names)
    expected = beyond_noise(list(NAMES), pd.Series(fit.coef, fit.names), cov)
    assert expected > 0
    assert scalars(SCORES[0])["imprint_gap"].value == pytest.approx(expected)


def test_the_spread_of_seeds_is_noise_too():
    found = scalars(*SCORES)
    alone = np.array([fitted(own(s)).params for s in SCORES])
    mean = fitted((own(SCORES[0]) + own(SCORES[1])) / 2)
    cov = mean.cov_params() + np.cov(alone.T) / 2
    assert found["spoiler_imprint"].value == pytest.approx(beyond_noise(["tone", "shout"], mean.params, cov))
    assert found["s_w"].value == pytest.approx(
        np.mean([np.sqrt((gaps(FRAME.assign(score=s), "score") ** 2).mean() / 2) for s in SCORES])
    )


def test_what_is_distrusted_enters_no_headline_and_stays_in_the_fit():
    found, fit = scalars(SCORES[0], distrusted=("bad", "shout")), fitted(own(SCORES[0]))
    assert found["target_imprint"].value == pytest.approx(fit.params["good"])
    assert found["spoiler_imprint"].value == pytest.approx(beyond_noise(["tone"], fit.params, fit.cov_params()))
    usual = scalars(SCORES[0])
    assert found["r2"].value == usual["r2"].value
    assert found["imprint_gap"].value != usual["imprint_gap"].value
    nothing = scalars(SCORES[0], distrusted=("good", "bad", "tone", "shout"))
    assert nothing["target_imprint"].reason == "no target can be estimated"
    assert nothing["spoiler_imprint"].reason == "no such feature can be estimated"


def test_what_is_explained_is_shared_among_the_players_of_the_design_by_the_seed_of_the_parameters():
    found, d = scalars(SCORES[0]), own(SCORES[0])

    def rng() -> np.random.Generator:
        return np.random.default_rng(PARAMS.seed)

    expected = shapley_r2(d, X, PLAYERS, CLUSTERS, rng(), draws=PARAMS.draws)
    unseen = held_out_shares(d, X, PLAYERS, CLUSTERS, rng())
    for player in ("target", "spoiler", "length"):
        share = expected.players[player]
        assert found[f"share_{player}"].value == pytest.approx(share.value)
        assert found[f"share_{player}"].ci.low == pytest.approx(share.low)
        assert found[f"share_heldout_{player}"].value == pytest.approx(unseen[player].value)
    assert found["r2"].value == pytest.approx(expected.r2.value)
    assert found["r2_heldout"].value == pytest.approx(held_out_r2(d, X, CLUSTERS, rng()).value)
    T, S = (expected.excess[list(expected.players).index(p)] for p in ("target", "spoiler"))
    assert found["selectivity"].value == pytest.approx(T / (T + S))
    assert found["share_control"].reason == "no feature of this kind can be estimated"
    assert scalars(SCORES[0], params=Params(draws=0, seed=3))["share_target"].ci is None


def test_the_seed_of_the_parameters_draws_the_noise_of_the_interval():
    first, second = (scalars(SCORES[0], params=Params(draws=0, seed=s))["spoiler_imprint"].ci for s in (0, 1))
    assert first != second
    assert first.low == pytest.approx(second.low, abs=0.02)


def test_counts_and_accuracy_are_of_what_all_seeds_scored():
    one = SCORES[0].copy()
    one[[3, 10, 11]] = np.nan
    found = scalars(one, SCORES[1])
    assert (found["n"].value, found["n_failed"].value) == (298, 2)
    wins = np.array([gaps(FRAME.assign(score=s), "score") for s in (one, SCORES[1])])
    assert found["accuracy"].value == pytest.approx((wins[:, np.isfinite(wins).all(axis=0)] > 0).mean())


def test_without_a_unit_every_scalar_is_there_null_and_says_why():
    usual, found = scalars(SCORES[0]), scalars(0.0 * SCORES[0])
    assert list(found) == list(usual)
    counted = {"n", "n_failed", "accuracy", "s_w"}
    assert all(m.value is None and m.reason.startswith("every pair ties") for n, m in found.items() if n not in counted)
    assert (found["accuracy"].value, found["s_w"].value) == (0.5, 0.0)


def test_without_a_single_score_nothing_is_zero_but_the_count():
    found = scalars(np.nan * SCORES[0])
    assert (found["n"].value, found["n_failed"].value) == (0, 300)
    assert all(m.value is None and m.reason for name, m in found.items() if name not in ("n", "n_failed"))


@pytest.mark.parametrize("n", [1, 10, 30])
def test_too_few_prompts_for_any_feature_give_nulls_with_a_reason_and_no_error(n):
    frame = texts(n)
    found = scalars(paid(frame), frame=frame)
    assert (found["n"].value, found["n_failed"].value) == (n, 0)
    for name in ("target_imprint", "length_imprint", "selectivity", "r2", "share_target"):
        assert (found[name].value, found[name].reason) == (None, "no feature can be estimated")


def test_without_a_length_that_differs_the_others_are_still_there():
    frame = FRAME.assign(x_log_words=3.0)
    found = scalars(SCORES[0], frame=frame)
    assert found["length_imprint"].reason == "differs in 0 effective clusters, 20 are needed"
    assert found["target_imprint"].value > 0
    assert found["share_length"].value is None
