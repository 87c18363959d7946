from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.antagonism import antagonism, called, growth
from scipy import stats

from harness.stats.bootstrap import cluster_weights, row_weights


def by_hand(m: np.ndarray, after: np.ndarray) -> float:
    slope = max(0.0, stats.linregress(m, after).slope)
    return (after.mean() - max(m.mean(), slope * m.mean())) / m.std()


@pytest.mark.parametrize("level", [0.8, 0.0, -0.6])
def test_growth_by_hand(level: float) -> None:
    rng = np.random.default_rng(0)
    m = rng.normal(level, 2, 50)
    after = rng.normal(size=(50, 6)) + m[:, None] * [1.3, 1, 0.5, 0, -0.5, -2]
    assert growth(m, after) == pytest.approx([by_hand(m, x) for x in after.T])


def test_growth_under_weights_is_that_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    m, after, weights = rng.normal(0.3, 1, 40), rng.normal(size=(40, 3)), rng.integers(0, 3, (5, 40))
    found = growth(m, after, weights)
    assert found.shape == (5, 3)
    for row, times in zip(found, weights, strict=True):
        assert row == pytest.approx([by_hand(np.repeat(m, times), np.repeat(x, times)) for x in after.T])
    assert growth(m, after, np.ones((1, 40), dtype=np.uint16))[0] == pytest.approx(growth(m, after))
    assert np.isnan(growth(m, after, np.zeros((1, 40)))).all()


@pytest.mark.parametrize("level", [1.0, 0.0, -0.7])
def test_spared_is_0_and_collapse_never_positive(level: float) -> None:
    rng = np.random.default_rng(2)
    m = rng.normal(level, 1, 4000)
    shares = np.array([1, 0.9, 0.5, 0.1, 0])
    assert growth(m, m[:, None])[0] == pytest.approx(0, abs=1e-12)
    assert (growth(m, m[:, None] * shares) <= 1e-12).all()
    noisy = growth(m, m[:, None] * shares + rng.normal(size=(4000, 5)))
    assert (noisy <= 4 / 4000**0.5).all()
    factors = np.array([1.1, 1.5, 3])
    assert growth(m, m[:, None] * factors) == pytest.approx(
        np.minimum(0, (factors - 1) * m.mean()) / m.std(), abs=1e-12
    )


@pytest.mark.parametrize("level", [1.0, -0.7])
def test_a_shift_by_part_of_the_spread_is_that_growth(level: float) -> None:
    m = np.random.default_rng(3).normal(level, 2, 300)
    assert growth(m, m[:, None] + [0.4 * m.std(), -0.3 * m.std()]) == pytest.approx([0.4, -0.3])


def test_unit_of_both_and_order_do_not_matter_unit_of_one_does() -> None:
    rng = np.random.default_rng(4)
    m = rng.normal(0.5, 1, 60)
    after = 0.9 * m[:, None] + 0.4 + rng.normal(size=(60, 3)) * 0.1
    order = rng.permutation(60)
    assert growth(m[order], after[order]) == pytest.approx(growth(m, after))
    assert growth(7 * m, 7 * after) == pytest.approx(growth(m, after))
    assert (growth(m, 0.8 * after) < growth(m, after)).all()


def test_what_does_not_vary_has_no_growth() -> None:
    assert np.isnan(growth(np.full(5, 0.1), np.ones((5, 2)))).all()
    assert growth([1.0, 2.0], np.empty((2, 0))).shape == (0,)
    with pytest.raises(ValueError, match=r"\(2, conditions\)"):
        growth([1.0, 2.0], np.ones((3, 1)))


def scene(shift: float, seed: int = 0) -> dict[str, np.ndarray]:
    """200 items in 100 clusters whose margins grow by `shift` SD, and 20 controls of each kind that spread by .03."""
    rng = np.random.default_rng(seed)
    intact = rng.normal(0.5, 1, 200)
    same, matched = (intact[:, None] + rng.normal(0, 0.03, 20) + rng.normal(size=(200, 20)) * 0.2 for _ in range(2))
    ablated = intact + shift * intact.std() + rng.normal(size=200) * 0.2
    return {
        "intact": intact,
        "ablated": ablated,
        "same_size": same,
        "matched": matched,
        "clusters": np.arange(200) // 2,
    }


def judged(data: dict[str, np.ndarray], seed: int = 1, draws: int = 1000, **changed: np.ndarray):
    return antagonism(**(data | changed), rng=np.random.default_rng(seed), draws=draws)


def test_a_planted_tension_passes_all_three_and_the_largest_p_counts() -> None:
    found = judged(scene(0.4))
    assert found.value == pytest.approx(0.4, abs=0.05)
    assert found.low < found.value < found.high
    assert found.p == max(found.p_items, found.p_same, found.p_matched) <= 0.001
    assert found.reason is None


@pytest.mark.parametrize(
    ("weak", "changes"),
    [
        ("p_items", {"shift": 0.12}),
        ("p_same", {"shift": 0.4, "noisy": "same_size"}),
        ("p_matched", {"shift": 0.4, "noisy": "matched"}),
    ],
)
def test_each_test_alone_can_refuse(weak: str, changes: dict) -> None:
    data = scene(changes["shift"])
    if name := changes.get("noisy"):
        data[name] = data["intact"][:, None] + np.random.default_rng(5).normal(0, 0.4, 20)
    found = judged(data)
    assert found.p == getattr(found, weak) > 0.05
    assert all(getattr(found, name) <= 0.05 for name in {"p_items", "p_same", "p_matched"} - {weak})


def test_p_items_and_interval_are_the_cluster_bootstrap() -> None:
    data = scene(0.15)
    found = judged(data, draws=500)
    unique, counts = cluster_weights(data["clusters"], 500, np.random.default_rng(1))
    weights = row_weights(data["clusters"], unique, counts)
    draws = [by_hand(np.repeat(data["intact"], w), np.repeat(data["ablated"], w)) for w in weights]
    assert found.p_items == pytest.approx((1 + sum(d <= 0.1 for d in draws)) / 501)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_order_of_items_and_of_controls_does_not_matter() -> None:
    data = scene(0.2)
    rng = np.random.default_rng(6)
    order, columns = rng.permutation(200), rng.permutation(20)
    shuffled = {name: values[order] for name, values in data.items()}
    shuffled |= {name: shuffled[name][:, columns] for name in ("same_size", "matched")}
    first, second = judged(data), judged(shuffled)
    for name in ("value", "low", "high", "p_items", "p_same", "p_matched", "p"):
        assert getattr(first, name) == pytest.approx(getattr(second, name))


def test_a_missing_part_leaves_no_p_and_says_which() -> None:
    data = scene(0.4)
    none = judged(data, matched=np.empty((200, 0)))
    assert (none.p, none.p_matched) == (None, None)
    assert none.p_same is not None
    assert "damage-matched controls: 0 control draws" in none.reason
    assert "same-size controls: 1 control draws" in judged(data, same_size=data["same_size"][:, :1]).reason
    few = judged(data, clusters=np.arange(200) // 8)
    assert (few.p, few.p_items, few.low) == (None, None, None)
    assert few.value is not None
    assert "items: 25 clusters" in few.reason
    flat = judged(data, intact=np.ones(200))
    assert (flat.value, flat.p) == (None, None)


def test_called_needs_holm_over_both_sets_and_a_gain_near_one() -> None:
    assert called([0.02, 0.04], [1, 1]) == [True, True]
    assert called([0.03, 0.04], [1, 1]) == [False, False]
    assert called([0.02, 0.9], [1, 1]) == [True, False]
    assert called([0.03, None], [1, 1]) == [True, None]
    gains = [0.79, 0.8, 1.25, 1.26, np.nan]
    assert called([0.001] * 5, gains) == [False, True, True, False, False]
