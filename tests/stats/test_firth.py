"""Firth's logit with an intercept: against closed forms, statsmodels, finite differences, and SEAL's published cells."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

from harness.stats.firth import firth_logit, risk_difference, separated
from tests.stats.data import clustered

TWO = ("intercept", "cell")


def table(events: int, n: int, base_events: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and design of a cell of `n` beside a base, as counts."""
    y = np.repeat([1.0, 0, 1, 0], [events, n - events, base_events, base - base_events])
    return y, np.column_stack([np.ones(n + base), np.repeat([1.0, 0], [n, base])])


def fitted(y: np.ndarray, X: np.ndarray, clusters=None, names=TWO):
    return firth_logit(y, X, np.arange(len(y)) if clusters is None else clusters, names, "m")


def many(seed: int, groups: int = 1500) -> tuple:
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    n = len(clusters)
    cell = rng.choice(3, n, p=[0.6, 0.25, 0.15])
    X = np.column_stack([np.ones(n), cell == 1, cell == 2, rng.normal(size=n) * 30]).astype(float)
    y = (rng.random(n) < expit(X @ [-1.0, 0.7, -0.4, 0.02])).astype(float)
    return y, X, clusters, ("intercept", "gained", "lost", "control")


@pytest.mark.parametrize("counts", [(17, 79, 142, 1423), (3, 20, 40, 100), (0, 25, 9, 60), (7, 7, 9, 60)])
def test_one_cell_is_the_table_with_half_an_event_added_everywhere(counts) -> None:
    events, n, base_events, base = counts
    fit = fitted(*(given := table(*counts)))
    odds = [(a + 0.5) / (m - a + 0.5) for a, m in ((events, n), (base_events, base))]
    assert fit.estimate("cell").value == pytest.approx(np.log(odds[0] / odds[1]), abs=1e-6)
    risks = (events + 0.5) / (n + 1) - (base_events + 0.5) / (base + 1)
    assert risk_difference(fit, given[1], "cell").value == pytest.approx(risks, abs=1e-7)


@pytest.mark.parametrize(
    ("events", "n", "base_events", "base", "published"),
    [(17, 79, 142, 1423, (2.47, 1.41, 4.35)), (21, 112, 137, 1402, (2.13, 1.28, 3.53))],
)
def test_cells_of_seal_give_their_unadjusted_odds_ratios(events, n, base_events, base, published) -> None:
    # Sentiment of the chosen reply lost: .215 of 79 against .100 of 1,423; of the rejected one gained: .188 of 112
    # against .098 of 1,402 (SEAL, 2408.10270, rewriting notebook, cells W19 and W21; the odds ratios are the pages' 2.6).
    y, X = table(events, n, base_events, base)
    assert (y[:n].mean(), y[n:].mean()) == pytest.approx((events / n, base_events / base))
    fit = fitted(y, X).estimate("cell")
    assert np.exp([fit.value, fit.low, fit.high]) == pytest.approx(published, rel=0.035)
    plain = Logit(y, X).fit(disp=0)
    assert np.exp([plain.params[1], *plain.conf_int()[1]]) == pytest.approx(published, rel=0.004)


def test_large_cells_against_statsmodels() -> None:
    y, X, clusters, names = many(1)
    fit = fitted(y, X, clusters, names)
    groups = np.unique(clusters, return_inverse=True)[1]
    plain = Logit(y, X).fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups})
    assert fit.coef == pytest.approx(plain.params, rel=5e-3, abs=2e-3)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(plain.bse, rel=2e-3)
    # Two cells exclude each other, so each is compared with neither: statsmodels does it with the other's rows left out.
    keep = X[:, 2] == 0
    part = Logit(y[keep], X[keep][:, [0, 1, 3]]).fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups[keep]})
    margins = part.get_margeff(dummy=True)
    ours = fitted(y[keep], X[keep][:, [0, 1, 3]], clusters[keep], ("intercept", "gained", "control"))
    found = risk_difference(ours, X[keep][:, [0, 1, 3]], "gained")
    assert (found.value, found.se) == pytest.approx((margins.margeff[0], margins.margeff_se[0]), rel=5e-3)


def test_the_risk_difference_and_its_error_against_finite_differences() -> None:
    y, X, clusters, names = many(2, 80)
    fit = fitted(y, X, clusters, names)

    def effect(coef: np.ndarray) -> float:
        lost, neither = X.copy(), X.copy()
        lost[:, 1:3], neither[:, 1:3] = [0, 1], [0, 0]
        return float((expit(lost @ coef) - expit(neither @ coef)).mean())

    slope = np.array([(effect(fit.coef + h) - effect(fit.coef - h)) / 2e-6 for h in 1e-6 * np.eye(4)])
    found = risk_difference(fit, X, "lost", ["gained"])
    assert found.value == pytest.approx(effect(fit.coef))
    assert found.se == pytest.approx(np.sqrt(slope @ fit.covariance @ slope), rel=1e-5)
    weights = np.array([np.square(slope @ fit.row_weights)[clusters == c].sum() for c in np.unique(clusters)])
    assert found.df == pytest.approx(weights.sum() ** 2 / (weights**2).sum() - 1, rel=1e-4)
    assert (found.n, found.n_clusters) == (len(y), 80)
    assert found.value != pytest.approx(risk_difference(fit, X, "lost").value, rel=1e-3)


def test_order_units_and_the_other_outcome_change_what_they_should() -> None:
    y, X, clusters, names = many(3, 60)
    fit = fitted(y, X, clusters, names)
    order = np.random.default_rng(4).permutation(len(y))
    shuffled = fitted(y[order], X[order], clusters[order], names)
    scaled = fitted(y, X * [1, 1, 1, 1e-4], clusters, names)
    turned = fitted(1 - y, X, clusters, names)
    for other, factor in ((shuffled, np.ones(4)), (scaled, np.array([1, 1, 1, 1e-4])), (turned, -np.ones(4))):
        assert other.coef * factor == pytest.approx(fit.coef, rel=1e-5, abs=1e-7)
        assert other.covariance * np.outer(factor, factor) == pytest.approx(fit.covariance, rel=1e-4, abs=1e-9)
    mine, theirs = (risk_difference(f, X, "gained", ["lost"]) for f in (fit, turned))
    assert (mine.value, mine.se, mine.p) == pytest.approx((-theirs.value, theirs.se, theirs.p), rel=1e-5)


def test_separation_is_named_and_leaves_a_finite_value() -> None:
    y, X, clusters, names = many(5, 60)
    y[X[:, 2] == 1] = 0.0
    assert separated(y, X, names) == ("lost",)
    assert separated(y, X * [1, 1, 1e5, 1e-5], names) == ("lost",)
    fit = fitted(y, X, clusters, names)
    assert fit.reason is None
    assert -8 < fit.estimate("lost").value < 0
    y[np.flatnonzero(X[:, 2])[0]] = 1.0
    assert separated(y, X, names) == ()


@pytest.mark.parametrize("factor", [1.0, 1e9, 1e-9])
def test_both_of_two_columns_that_separate_together_are_named_in_any_unit(factor: float) -> None:
    X = np.random.default_rng(6).normal(size=(200, 2))
    y = (X.sum(axis=1) > 0).astype(float)
    assert separated(y, X * [1, factor], ("a", "b")) == ("a", "b")


def test_credits_of_one_half_count_half() -> None:
    y, X = table(10, 40, 20, 100)
    half = np.where(np.arange(140) % 2, 0.5, y)
    doubled = np.concatenate([half, half])
    whole = np.concatenate([np.floor(half), np.ceil(half)])
    both = np.concatenate([X, X])
    assert fitted(doubled, both).coef == pytest.approx(fitted(whole, both).coef, abs=1e-6)


def test_no_fit_has_a_reason() -> None:
    y, X = table(5, 20, 9, 40)
    for fit, why in (
        (fitted(y, np.column_stack([X[:, 0], X[:, 0]])), "rank"),
        (fitted(y, X, np.zeros(60)), "1 clusters"),
        (fitted(y[:2], X[19:21]), "2 rows for 2"),
    ):
        assert why in fit.reason
        assert risk_difference(fit, X, "cell").value is None
        assert why in risk_difference(fit, X, "cell").reason
    with pytest.raises(ValueError):
        risk_difference(fitted(y, X), X, "other")


def test_a_search_that_stops_elsewhere_gives_no_fit(monkeypatch) -> None:
    y, X = table(5, 20, 9, 40)
    assert fitted(y, X).reason is None
    monkeypatch.setattr("harness.stats.firth.minimize", lambda *_, **__: SimpleNamespace(x=np.full(2, 0.1)))
    fit = fitted(y, X)
    assert "ran away" in fit.reason
    assert fit.estimate("cell").value is None
