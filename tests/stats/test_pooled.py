from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from harness.stats.differences import first_differences
from harness.stats.pooled import seal_pooled

NAMES = ("a", "b")


@pytest.fixture
def texts() -> tuple[np.ndarray, np.ndarray]:
    """Rewards (80,) and features (80, 2), chosen sides first."""
    rng = np.random.default_rng(1)
    X = rng.normal(2, 1, (80, 2)) * [1, 5]
    return 4 + X @ [0.5, 0.1] + rng.normal(size=80), X


def test_the_fixture_of_statsmodels(texts: tuple) -> None:
    r, X = texts
    reference = OLS(r, np.column_stack([np.ones(80), X])).fit()
    fit = seal_pooled(r, X, NAMES)
    assert fit.coef == pytest.approx(reference.params[1:])
    assert fit.covariance == pytest.approx(reference.cov_params()[1:, 1:])
    for name, (low, high), p in zip(NAMES, reference.conf_int()[1:], reference.pvalues[1:], strict=True):
        found = fit.estimate(name)
        assert (found.low, found.high, found.p, found.df) == pytest.approx((low, high, p, 77))
    assert fit.row_weights @ r == pytest.approx(fit.coef)
    assert (fit.scale, fit.n, fit.n_clusters) == ("reward", 80, 80)
    assert "legacy" in fit.method


def test_the_formula_by_hand(texts: tuple) -> None:
    r, X = texts
    design = np.column_stack([np.ones(80), X])
    coef, *_ = np.linalg.lstsq(design, r)
    variance = sum((r - design @ coef) ** 2) / 77
    se = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    both = seal_pooled(r, X, NAMES).combine({"a": 1.0, "b": -1.0})
    c = np.array([0.0, 1.0, -1.0])
    assert both.value == pytest.approx(c @ coef)
    assert both.se == pytest.approx(np.sqrt(variance * c @ np.linalg.inv(design.T @ design) @ c))
    assert both.high - both.value == pytest.approx(stats.t.ppf(0.975, 77) * both.se)
    assert seal_pooled(r, X, NAMES).estimate("a").se == pytest.approx(se[1])


def test_it_charges_features_with_what_the_prompt_brings() -> None:
    rng = np.random.default_rng(2)
    topic = rng.normal(size=(500, 2))
    X = (rng.normal(size=(2, 500, 2)) + topic).reshape(1000, 2)
    r = X @ [0.5, -0.3] + np.tile(topic @ [1.0, 1.0], 2) + 0.1 * rng.normal(size=1000)
    pooled = seal_pooled(r, X, NAMES)
    paired = first_differences(r[:500] - r[500:], X[:500] - X[500:], range(500), NAMES, "reward")
    for name, truth in zip(NAMES, (0.5, -0.3), strict=True):
        wrong, right = pooled.estimate(name), paired.estimate(name)
        assert wrong.low > truth + 0.3
        assert right.low < truth < right.high


def test_no_fit_has_a_reason() -> None:
    r = np.arange(6.0)
    assert "rank" in str(seal_pooled(r, np.ones((6, 1)), ["a"]).reason)
    assert "2 rows for 2" in str(seal_pooled(r[:2], r[:2, None], ["a"]).reason)
    with pytest.raises(ValueError, match="different names"):
        seal_pooled(r, np.ones((6, 1)), NAMES)
