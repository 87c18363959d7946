from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from harness.stats.differences import first_differences
from harness.stats.fit import COLUMNS, Fit
from tests.stats.data import clustered

NAMES = ("a", "b", "c")


@pytest.fixture
def fit() -> Fit:
    rng = np.random.default_rng(1)
    clusters = clustered(rng, 40)
    X = rng.normal(size=(len(clusters), 3)) * [1, 2, 0.5]
    return first_differences(X @ [1.0, 0.0, -2.0] + rng.normal(size=len(X)), X, clusters, NAMES)


def g_eff(weights: np.ndarray, codes: np.ndarray) -> float:
    squares = [sum(w**2 for w, c in zip(weights, codes, strict=True) if c == g) for g in sorted(set(codes))]
    return sum(squares) ** 2 / sum(s**2 for s in squares)


def test_a_sum_has_its_own_error_and_its_own_effective_clusters(fit: Fit) -> None:
    c = np.array([0.5, 0.0, -1.5])
    found = fit.combine({"a": 0.5, "c": -1.5})
    df = g_eff(c @ fit.row_weights, fit.codes) - 1
    se = float(c @ fit.covariance @ c) ** 0.5
    assert (found.value, found.se, found.df) == pytest.approx((c @ fit.coef, se, df))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, df) * se)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / se, df))
    assert (found.n, found.n_clusters, found.method) == (fit.n, 40, fit.method)
    assert df not in [pytest.approx(fit.estimate(name).df) for name in NAMES]


def test_one_coefficient_is_a_sum_of_one(fit: Fit) -> None:
    found = fit.estimate("b")
    assert found == fit.combine({"b": 1.0}) == fit.combine({"b": 1.0, "a": 0.0})
    assert (found.value, found.se) == pytest.approx((fit.coef[1], fit.covariance[1, 1] ** 0.5))
    assert fit.effective_clusters({"b": 1.0}) == pytest.approx(g_eff(fit.row_weights[1], fit.codes))


@pytest.mark.parametrize("factor", [3.0, -0.01])
def test_a_multiple_of_a_sum_is_the_sum_scaled(fit: Fit, factor: float) -> None:
    one = fit.combine({"a": 1.0, "b": -2.0})
    many = fit.combine({"a": factor, "b": -2.0 * factor})
    expected = one.scaled(factor)
    assert (many.value, many.se, many.low, many.high) == pytest.approx(
        (expected.value, expected.se, expected.low, expected.high)
    )
    assert (many.df, many.p) == pytest.approx((one.df, one.p))


def test_the_same_quantity_in_another_design_is_the_same_estimate() -> None:
    rng = np.random.default_rng(2)
    clusters = clustered(rng, 60)
    X = rng.normal(size=(len(clusters), 2))
    d = X @ [1.0, 0.5] + rng.normal(size=len(X))
    apart = first_differences(d, X, clusters, ["a", "b"]).combine({"a": 1.0, "b": 1.0})
    turned = np.column_stack([X[:, 0], X[:, 1] - X[:, 0]])  # d = (a + b) X_0 + b (X_1 - X_0)
    joint = first_differences(d, turned, clusters, ["sum", "b"]).estimate("sum")
    assert (apart.value, apart.se, apart.df, apart.p) == pytest.approx((joint.value, joint.se, joint.df, joint.p))


def test_fixed_degrees_of_freedom_go_before_effective_clusters(fit: Fit) -> None:
    fixed = dataclasses.replace(fit, df=7.0)
    assert fixed.combine({"a": 1.0, "b": 1.0}).df == 7.0
    assert fixed.estimate("a").se == fit.estimate("a").se
    assert fixed.effective_clusters({"a": 1.0}) == fit.effective_clusters({"a": 1.0})


def test_the_frame_says_what_the_estimates_say(fit: Fit) -> None:
    frame = fit.to_frame()
    assert tuple(frame.columns) == COLUMNS
    assert frame["feature"].tolist() == list(NAMES)
    for made in frame.to_dict("records"):
        found = fit.estimate(made["feature"])
        wanted = (found.value, found.se, found.low, found.high, found.df, found.p, found.df + 1)
        assert tuple(made[c] for c in ("coef", "se", "low", "high", "df", "p", "g_eff")) == pytest.approx(wanted)
    assert set(frame["scale"]) == {"sw"}
    assert set(frame["n_clusters"]) == {40}


def test_the_summary_has_a_head_and_a_line_a_feature(fit: Fit) -> None:
    head, columns, *lines = fit.summary().splitlines()
    assert head == f"first differences, CR1, t: {fit.n} rows, 40 clusters, coefficients in sw"
    assert columns.split() == ["feature", "coef", "se", "low", "high", "df", "p", "g_eff"]
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert float(lines[0].split()[1]) == pytest.approx(fit.coef[0], rel=1e-3)


def test_without_a_fit_every_answer_is_null_with_the_reason() -> None:
    none = Fit.none(NAMES, "nothing to regress", np.zeros(4, dtype=np.intp), 1, "sw", "method")
    assert none.combine({"a": 1.0, "b": 2.0}).value is None
    assert none.estimate("a").reason == "nothing to regress"
    assert none.estimate("a").n == 4
    assert none.effective_clusters({"a": 1.0}) == 0.0
    assert none.summary().splitlines()[1] == "not fitted: nothing to regress"
    frame = none.to_frame()
    assert frame["reason"].tolist() == ["nothing to regress"] * 3
    assert frame["coef"].isna().all()
    assert tuple(Fit.none((), "no", np.zeros(0, dtype=np.intp), 0, "sw", "m").to_frame().columns) == COLUMNS


def test_unknown_names_are_refused(fit: Fit) -> None:
    none = Fit.none(NAMES, "nothing", np.zeros(4, dtype=np.intp), 1, "sw", "method")
    for one in (fit, none):
        with pytest.raises(KeyError, match="length"):
            one.combine({"a": 1.0, "length": 1.0})
        with pytest.raises(KeyError, match="length"):
            one.estimate("length")
        with pytest.raises(KeyError, match="length"):
            one.effective_clusters({"length": 1.0})
