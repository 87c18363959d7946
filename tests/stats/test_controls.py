from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.stats.controls import against, randomised_p


def test_p_is_the_prediction_interval_of_one_more_draw() -> None:
    found = against(1.0, [2.0, 4.0, 3.0], "below")
    assert (found.mean, found.sd, found.z, found.n) == (3.0, 1.0, -2.0, 3)
    assert found.p == pytest.approx(stats.t.cdf(-2 / (4 / 3) ** 0.5, 2))
    assert found.p_emp is None
    assert found.reason is None


def test_one_control_is_the_two_sample_t_test_of_scipy() -> None:
    draws = np.random.default_rng(0).normal(size=20)
    reference = stats.ttest_ind([0.7], draws, alternative="greater")
    assert against(0.7, draws, "above").p == pytest.approx(reference.pvalue)


def test_sides_are_mirrors() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=250)
    below, above = against(-1.1, draws, "below"), against(-1.1, draws, "above")
    mirrored = against(1.1, -draws, "above")
    assert below.p + above.p == pytest.approx(1)
    assert (below.p, below.p_emp) == (mirrored.p, mirrored.p_emp)
    assert below.z == above.z == -mirrored.z
    assert below.p_emp == (1 + sum(d <= -1.1 for d in draws)) / 251
    assert above.p_emp == (1 + sum(d >= -1.1 for d in draws)) / 251


def test_unit_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(size=30)
    found, scaled = against(0.4, draws, "below"), against(4 + 7, rng.permutation(draws) * 10 + 7, "below")
    assert (scaled.z, scaled.p) == pytest.approx((found.z, found.p))


def test_rank_is_given_from_199_draws_and_counts_ties_against_the_claim() -> None:
    draws = np.repeat([0.0, 1.0], 100)
    assert against(0.0, draws[1:], "below").p_emp == 100 / 200
    assert against(0.0, draws[2:], "below").p_emp is None
    assert against(-1.0, draws, "below").p_emp == 1 / 201
    assert against(1.0, draws, "above").p_emp == 101 / 201


def test_what_cannot_be_tested_says_why() -> None:
    assert against(None, [1.0, 2.0], "below").reason == against(np.nan, [1.0, 2.0], "below").reason
    assert "0 control draws" in against(1.0, [], "below").reason
    one = against(1.0, [3.0, np.nan], "below")
    assert (one.mean, one.sd, one.p, one.n) == (3.0, None, None, 1)
    assert "1 control draws" in one.reason
    flat = against(1.0, [0.1 + 0.2, 0.3, 0.3], "below")
    assert (flat.z, flat.p) == (None, None)
    assert "do not differ" in flat.reason
    with pytest.raises(ValueError, match="below, above"):
        against(1.0, [1.0, 2.0], "under")


def test_undefined_draws_are_left_out() -> None:
    assert against(0.0, [1.0, np.nan, 2.0, np.inf, 4.0], "below") == against(0.0, [1.0, 2.0, 4.0], "below")


@pytest.mark.parametrize("count", [5, 20])
def test_t_keeps_its_level_where_the_normal_quantile_does_not(count: int) -> None:
    rng = np.random.default_rng(count)
    found = [against(x[0], x[1:], "below") for x in rng.normal(size=(4000, count + 1))]
    assert np.mean([f.p <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.012)
    assert np.mean([abs(f.z) > 1.96 for f in found]) == pytest.approx({5: 0.15, 20: 0.07}[count], abs=0.02)


def test_randomised_p_is_uniform_with_ties_and_brackets_the_rank() -> None:
    rng = np.random.default_rng(3)
    tied = rng.integers(0, 4, (2000, 100)).astype(float)
    for side in ("below", "above"):
        ps = [randomised_p(x[0], x[1:], side, rng) for x in tied]
        assert stats.kstest(ps, "uniform").pvalue > 0.001
    alone = [randomised_p(1.0, [1.0], "below", rng) for _ in range(200)]
    assert stats.kstest(alone, "uniform").pvalue > 0.001
    assert 0 <= randomised_p(0.0, np.ones(199), "below", rng) <= 1 / 200
    assert 199 / 200 <= randomised_p(0.0, np.ones(199), "above", rng) <= 1
    with pytest.raises(ValueError, match="not finite"):
        randomised_p(np.nan, [1.0], "below", rng)
