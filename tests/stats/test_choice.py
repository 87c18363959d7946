"""Choice models against the penalised likelihood written down again, and against what may not change them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

from harness.stats import firth
from harness.stats.choice import choice, gap
from tests.stats.data import clustered

NAMES = ("a", "b", "c")


def rows(seed: int, groups: int, beta: tuple[float, ...] = (0.8, -0.5, 0.0)) -> tuple:
    """Credits with ties, features of which the second is rare, clusters."""
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    n = len(clusters)
    X = rng.normal(size=(n, 3)) * [1, 1, 30]
    X[:, 1] = np.where(rng.random(n) < 0.4, rng.choice([-1.0, 1.0], n), 0.0)
    credits = (rng.random(n) < expit(X @ beta)).astype(float)
    credits[:: max(2, n // 8)] = 0.5
    return credits, X, clusters


def penalised(y: np.ndarray, X: np.ndarray, beta: np.ndarray) -> float:
    mu = expit(X @ beta)
    information = sum(m * (1 - m) * np.outer(x, x) for m, x in zip(mu, X, strict=True))
    return (y * np.log(mu) + (1 - y) * np.log(1 - mu)).sum() + np.log(np.linalg.det(information)) / 2


@pytest.mark.parametrize("groups", [8, 40])
def test_coefficients_maximise_the_penalised_likelihood(groups: int) -> None:
    y, X, clusters = rows(1, groups)
    X = X / [1, 1, 30]
    reference = minimize(lambda beta: -penalised(y, X, beta), np.zeros(3), method="Nelder-Mead", tol=1e-12).x
    assert choice(y, X, clusters, NAMES).coef == pytest.approx(reference, abs=1e-5)


def test_many_pairs_make_the_penalty_small() -> None:
    y, X, clusters = rows(2, 3000)
    clean = y != 0.5
    fit = choice(y[clean], X[clean], clusters[clean], NAMES)
    groups = np.unique(clusters[clean], return_inverse=True)[1]
    plain = Logit(y[clean], X[clean]).fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups})
    assert fit.coef == pytest.approx(plain.params, rel=2e-3, abs=1e-3)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(plain.bse, rel=2e-3)


def test_small_samples_are_less_biased_than_the_plain_logit() -> None:
    rng = np.random.default_rng(3)
    firth, plain = [], []
    for _ in range(200):
        X = rng.normal(size=(40, 1))
        y = (rng.random(40) < expit(1.5 * X[:, 0])).astype(float)
        fit = choice(y, X, range(40), ["a"])
        if not fit.reason:
            firth.append(fit.coef[0])
            plain.append(Logit(y, X).fit(disp=0).params[0])
    assert abs(np.mean(firth) - 1.5) < 0.08
    assert np.mean(plain) - 1.5 > 0.1


def test_errors_and_effective_clusters_against_a_loop() -> None:
    y, X, clusters = rows(4, 30)
    fit = choice(y, X, clusters, NAMES)
    n, k = X.shape
    mu = expit(X @ fit.coef)
    bread = np.linalg.inv((X.T * mu * (1 - mu)) @ X)
    leverage = np.array([m * (1 - m) * x @ bread @ x for m, x in zip(mu, X, strict=True)])
    residual = y - mu + leverage * (0.5 - mu)
    scores = [(residual[clusters == c, None] * X[clusters == c]).sum(axis=0) for c in sorted(set(clusters))]
    assert np.sum(scores, axis=0) / np.abs(X).sum(axis=0) == pytest.approx(np.zeros(k), abs=1e-7)
    covariance = bread @ sum(np.outer(s, s) for s in scores) @ bread * 30 / 29 * (n - 1) / (n - k)
    assert fit.covariance == pytest.approx(covariance, rel=1e-6)
    for j, name in enumerate(NAMES):
        squares = (X @ bread[j]) ** 2 * mu * (1 - mu)
        shares = np.array([squares[clusters == c].sum() for c in set(clusters)])
        expected = shares.sum() ** 2 / (shares**2).sum()
        assert fit.effective_clusters({name: 1.0}) == pytest.approx(expected)
        assert fit.estimate(name).df == pytest.approx(expected - 1)
    assert (fit.scale, fit.n, fit.n_clusters) == ("log_odds", n, 30)


def test_sides_order_and_units_change_nothing_but_the_unit() -> None:
    y, X, clusters = rows(5, 40)
    fit = choice(y, X, clusters, NAMES)
    rng = np.random.default_rng(6)
    flip = rng.random(len(y)) < 0.5
    swapped = choice(np.where(flip, 1 - y, y), np.where(flip, -1, 1)[:, None] * X, clusters, NAMES)
    order = rng.permutation(len(y))
    shuffled = choice(y[order], X[order], clusters[order], NAMES)
    scaled = choice(y, X * [1e3, 1, 1e-3], clusters, NAMES)
    for other, factor in ((swapped, 1), (shuffled, 1), (scaled, np.array([1e3, 1, 1e-3]))):
        assert other.coef * factor == pytest.approx(fit.coef, rel=1e-6)
        assert np.diag(other.covariance) * factor**2 == pytest.approx(np.diag(fit.covariance), rel=1e-6)
        assert [other.estimate(x).df for x in NAMES] == pytest.approx([fit.estimate(x).df for x in NAMES], rel=1e-6)


def test_one_pair_that_carries_a_feature_still_ends_in_a_maximum() -> None:
    y = np.array([1.0, 0, 1, 0, 0.5, 1, 0, 0])
    X = np.array([50.0, 1, -1, 0.2, 0.1, -2, 0.3, 1.5])[:, None]
    best = minimize(lambda beta: -penalised(y, X, beta), [0.0], method="Nelder-Mead", tol=1e-12).x
    assert choice(y, X, range(8), ["a"]).coef == pytest.approx(best, abs=1e-6)


def test_people_are_never_wrong_and_that_is_no_separation() -> None:
    y, X, clusters = rows(7, 60)
    sided = X * np.where(y == 0, -1, 1)[:, None]
    assert choice(np.ones(len(y)), sided, clusters, NAMES).reason is None


@pytest.mark.parametrize(
    ("y", "x", "why"),
    [
        ([1, 1, 0, 0, 1, 1], [1, 2, -1, -3, 1, 2], "separation: choices are predicted perfectly by a, b,"),
        ([1, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 2], "separation: choices are predicted perfectly by b,"),
        ([1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0], "no pair differs in b"),
        ([1, 0, 1, 0, 1, 0], [2, -2, 4, 4, -2, -2], "rank"),
    ],
)
def test_nothing_to_estimate_has_a_reason(y: list, x: list, why: str) -> None:
    a = [1.0, -1, 2, 2, -1, -1]
    fit = choice(y, np.column_stack([a, x]), range(6), ["a", "b"])
    assert why in str(fit.reason)
    assert fit.estimate("b").value is None


def test_too_few_pairs_or_clusters_have_a_reason() -> None:
    assert "cluster" in str(choice([1, 0, 1], np.ones((3, 1)), [1, 1, 1], ["a"]).reason)
    assert "2 rows for 2" in str(choice([1, 0], np.eye(2), [0, 1], ["a", "b"]).reason)
    assert choice([], np.empty((0, 1)), [], ["a"]).reason
    assert choice([1, 0], np.empty((2, 0)), [0, 1], []).reason


def test_a_fit_that_does_not_end_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firth, "CLOSE", 0.0)
    y, X, clusters = rows(8, 20)
    assert "ran away" in str(choice(y, X, clusters, NAMES).reason)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_bad_credits_are_refused(bad: float) -> None:
    with pytest.raises(ValueError):
        choice([1, 0, bad], np.array([[1.0], [2], [-1]]), range(3), ["a"])


def test_bad_designs_and_names_are_refused() -> None:
    for X, names in ((np.array([[np.nan], [1]]), ["a"]), (np.ones((2, 2)), ["a", "a"]), (np.ones((3, 1)), ["a"])):
        with pytest.raises(ValueError):
            choice([1, 0], X, [0, 1], names)
    with pytest.raises(ValueError, match="margin"):
        gap([1, 2], np.ones((2, 1)), [0, 1], ["margin"])
    with pytest.raises(ValueError):
        gap([1, np.nan], np.ones((2, 1)), [0, 1], ["a"])


def world(rng: np.random.Generator, n: int, extra: np.ndarray, noise: float) -> tuple:
    """A model with people's own mean utility plus `extra` per feature plus noise; chosen minus rejected by people."""
    X = np.where(rng.random((n, 3)) < 0.4, rng.choice([-1.0, 1.0], (n, 3)), 0.0)
    utility = X @ [0.8, -0.5, 0.3] + rng.normal(size=n)
    side = np.where(utility + rng.logistic(size=n) > 0, 1, -1)
    d = utility + X @ extra + noise * rng.normal(size=n)
    return d * side, X * side[:, None], np.arange(n) // 2


def test_gap_is_minus_what_people_add_to_the_margin() -> None:
    d, X, clusters = world(np.random.default_rng(9), 500, np.zeros(3), 0.5)
    found = gap(d, X, clusters, NAMES)
    s_w = np.sqrt((d**2).mean() / 2)
    plain = choice(np.ones(500), np.column_stack([d / s_w, X]), clusters, ["margin", *NAMES])
    assert found.names == ("margin", *NAMES)
    assert found.coef * [1, -1, -1, -1] == pytest.approx(plain.coef)
    weights = {"a": 0.5, "b": -1.0}
    for fit, sign in ((found, 1), (plain, -1)):
        total = fit.combine({"margin": 1.0, **{k: sign * v for k, v in weights.items()}})
        assert total.value == pytest.approx(plain.combine({"margin": 1.0, "a": -0.5, "b": 1.0}).value)
        assert total.se == pytest.approx(plain.combine({"margin": 1.0, "a": -0.5, "b": 1.0}).se)
        assert total.df == pytest.approx(plain.combine({"margin": 1.0, "a": -0.5, "b": 1.0}).df)


def test_gap_does_not_see_the_unit_of_the_model() -> None:
    d, X, clusters = world(np.random.default_rng(10), 400, np.zeros(3), 0.5)
    one, other = gap(d, X, clusters, NAMES), gap(1e-4 * d, X, clusters, NAMES)
    assert other.coef == pytest.approx(one.coef, rel=1e-6)
    assert other.covariance == pytest.approx(one.covariance, rel=1e-5)


def test_a_constant_model_and_a_perfect_one_have_no_gap() -> None:
    d, X, clusters = world(np.random.default_rng(11), 100, np.zeros(3), 0.5)
    assert "no pair differs in margin" in str(gap(0 * d, X, clusters, NAMES).reason)
    assert "perfectly by margin" in str(gap(np.abs(d), X, clusters, NAMES).reason)


def test_gap_finds_the_feature_that_is_overpaid_and_no_other() -> None:
    rng = np.random.default_rng(12)
    alarms = {0.0: np.zeros(3), 0.6: np.zeros(3)}
    for extra, count in alarms.items():
        for _ in range(150):
            d, X, clusters = world(rng, 400, np.array([0, 0, extra]), 0.1)
            fit = gap(d, X, clusters, NAMES)
            for j, name in enumerate(NAMES):
                found = fit.estimate(name)
                count[j] += found.p < 0.05 and (not extra or j < 2 or found.value > 0)
    assert (alarms[0.0] <= 18).all()  # 12 % of 150: five standard errors above 5 %
    assert 10 <= alarms[0.0].sum() <= 40
    assert alarms[0.6][2] > 90
    assert (alarms[0.6][:2] <= 18).all()
