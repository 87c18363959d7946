from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from harness.tasks.neuron_ablation import retention as module
from harness.tasks.neuron_ablation.retention import Retention, retention

from harness.stats.bootstrap import cluster_weights, row_weights

LEVELS = (0.9, -0.7, 0.4)


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    """Margins of 360 items in three sub-tasks, one below chance, 90 clusters that do not respect sub-tasks."""
    rng = np.random.default_rng(0)
    subtasks = rng.integers(0, 3, 360)
    clusters = rng.integers(0, 90, 360)
    intact = np.array(LEVELS)[subtasks] + rng.normal(size=360) * 0.9 + rng.normal(size=90)[clusters] * 0.4
    ablated = intact[:, None] * [1, 0.5, 0.3, 1] + rng.normal(size=(360, 4)) * [0, 0.5, 1, 0.3]
    return {"intact": intact, "ablated": ablated, "subtasks": subtasks, "clusters": clusters}


def weighted(data: dict[str, np.ndarray], draws: int, seed: int = 1) -> np.ndarray:
    unique, counts = cluster_weights(data["clusters"], draws, np.random.default_rng(seed))
    return row_weights(data["clusters"], unique, counts)


def run(data: dict[str, np.ndarray], weights: np.ndarray | None = None, **changed: np.ndarray) -> Retention:
    return retention(**(data | changed), rng=np.random.default_rng(2), weights=weights)


def every_halving(m: np.ndarray, other: np.ndarray, subtasks: np.ndarray, clusters: np.ndarray) -> float:
    """Sum over sub-tasks of the mean of D_A of `m` times D_B of `other` over all ways to halve the clusters."""

    def d(x: np.ndarray) -> float:
        return x.mean() / x.std()

    total = 0.0
    for task in np.unique(subtasks):
        names = np.unique(clusters[subtasks == task])
        halves = [np.isin(clusters, h) for h in combinations(names, len(names) // 2)]
        mine = subtasks == task
        total += np.mean([d(m[mine & a]) * d(other[mine & ~a]) for a in halves])
    return total


def test_kappa_approaches_the_mean_over_all_halvings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPLITS", 40_000)
    rng = np.random.default_rng(3)
    subtasks, clusters = np.repeat([0, 1], [18, 16]), np.concatenate([np.arange(18) % 6, np.arange(16) % 4])
    intact = np.where(subtasks, -1.5, 2) + rng.normal(size=34)
    ablated = 0.5 * intact[:, None] + rng.normal(size=(34, 2))
    below = every_halving(intact, intact, subtasks, clusters)
    expected = [every_halving(a, intact, subtasks, clusters) / below for a in ablated.T]
    found = retention(intact, ablated, subtasks, clusters, rng)
    assert found.values == pytest.approx(expected, abs=0.01)


def test_a_draw_is_the_value_of_the_repeated_rows(data) -> None:
    repeats = np.random.default_rng(4).integers(1, 4, (3, 90))[:, data["clusters"]]
    found = run(data, repeats)
    for draw, times in zip(found.draws, repeats, strict=True):
        again = {name: np.repeat(values, times, axis=0) for name, values in data.items()}
        assert draw == pytest.approx(run(again).values)


def test_intact_is_1_and_noise_is_0_on_average(data) -> None:
    rng = np.random.default_rng(5)
    found = run(data, weighted(data, 50), ablated=np.column_stack([data["intact"], rng.normal(size=(360, 400))]))
    assert found.values[0] == pytest.approx(1)
    assert found.draws[:, 0] == pytest.approx(np.ones(50))
    assert found.values[1:].mean() == pytest.approx(0, abs=4 * found.values[1:].std() / 20)
    assert found.values[1:].std() < 0.2


def test_kappa_is_the_share_of_the_standardised_mean_that_is_left() -> None:
    rng = np.random.default_rng(6)
    subtasks, clusters = np.arange(30_000) % 3, np.arange(30_000) // 3
    intact = np.array(LEVELS)[subtasks] + rng.normal(size=30_000)
    shares = np.array([0.75, 0.3, -0.5])
    ablated = 5 * (shares * np.array(LEVELS)[subtasks][:, None] + rng.normal(size=(30_000, 3)))
    assert retention(intact, ablated, subtasks, clusters, rng).values == pytest.approx(shares, abs=0.03)


def test_unit_labels_and_order_do_not_matter(data) -> None:
    weights = weighted(data, 20)
    found = run(data, weights)
    scaled = run(data, weights, intact=3 * data["intact"], ablated=data["ablated"] * [0.2, 1, 5, 100])
    swapped = run(data, weights, intact=-data["intact"], ablated=-data["ablated"])
    order = np.random.default_rng(7).permutation(360)
    shuffled = run({name: values[order] for name, values in data.items()}, weights[:, order])
    renamed = run(data, weights, subtasks=np.array(["c", "d", "e"])[data["subtasks"]])
    for other in (scaled, swapped, shuffled, renamed):
        assert other.values == pytest.approx(found.values)
        assert other.draws == pytest.approx(found.draws)
    one_swapped = np.where(data["subtasks"] == 1, -1, 1)
    flipped = run(data, weights, intact=one_swapped * data["intact"], ablated=one_swapped[:, None] * data["ablated"])
    assert flipped.values == pytest.approx(found.values)


def test_conditions_do_not_see_each_other_and_blocks_change_nothing(data, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weighted(data, 30)
    found = run(data, weights)
    alone = [run(data, weights, ablated=data["ablated"][:, [c]]) for c in range(4)]
    assert np.column_stack([a.draws for a in alone]) == pytest.approx(found.draws)
    for block in (1, 20 * 32 * 7, 20 * 3 * 30):
        monkeypatch.setattr(module, "BLOCK", block)
        assert run(data, weights).draws == pytest.approx(found.draws)


def test_the_bootstrap_has_the_spread_of_new_samples() -> None:
    def sample(rng: np.random.Generator) -> dict[str, np.ndarray]:
        clusters = np.arange(300) // 2
        subtasks = np.arange(300) // 100
        shared = rng.normal(size=150)[clusters] * 0.5
        intact = np.array([0.9, -0.7, 0.8])[subtasks] + shared + rng.normal(size=300) * 0.8
        ablated = (0.6 * intact + rng.normal(size=300) * 0.6)[:, None]
        return {"intact": intact, "ablated": ablated, "subtasks": subtasks, "clusters": clusters}

    rng = np.random.default_rng(8)
    values = [run(sample(rng)).values[0] for _ in range(300)]
    spreads = []
    for _ in range(20):
        data = sample(rng)
        spreads.append(run(data, weighted(data, 300)).draws.std())
    assert np.median(spreads) == pytest.approx(np.std(values), rel=0.25)


def test_a_group_at_chance_has_nothing_to_retain(data) -> None:
    noise = np.random.default_rng(9).normal(size=360)
    found = run(data, weighted(data, 200), intact=noise)
    assert np.isnan(found.values).all()
    assert found.draws.shape == (200, 4)
    assert np.isnan(found.draws).all()
    assert "group at chance" in found.reason


def test_a_weak_preference_is_at_chance_only_where_the_bootstrap_is_asked() -> None:
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        intact = rng.normal(0.2, 1, 100)
        data = {"intact": intact, "ablated": intact[:, None], "subtasks": np.zeros(100), "clusters": np.arange(100)}
        found.append((run(data).reason, run(data, weighted(data, 200)).reason))
    point, checked = (sum(r is not None for r in reasons) for reasons in zip(*found, strict=True))
    assert point < 12
    assert checked > 25
    assert not [f for f in found if f[0] and not f[1]]


def test_points_without_draws_and_the_check_without_conditions(data) -> None:
    whole = run(data, weighted(data, 10))
    point = run(data)
    assert point.values == pytest.approx(whole.values)
    assert point.draws.shape == (0, 4)
    check = run(data, weighted(data, 10), ablated=data["ablated"][:, :0])
    assert (check.values.shape, check.draws.shape, check.reason) == ((0,), (10, 0), None)
    assert run(data, weights=weighted(data, 10), intact=-data["intact"] * 0).reason


def test_without_spread_there_is_no_preference(data) -> None:
    constant = run(data, ablated=np.column_stack([np.zeros(360), np.full(360, 0.3), data["intact"]]))
    assert constant.values == pytest.approx([0, 0, 1])
    lonely = np.where(data["subtasks"] == 1, -1, data["clusters"])
    mine = data["subtasks"] != 1
    rest = run({name: values[mine] for name, values in data.items()})
    assert run(data, clusters=lonely).values == pytest.approx(rest.values, abs=0.1)
    assert "1 clusters" in run(data, clusters=np.zeros(360)).reason


def test_what_does_not_fit_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"weights must be \(draws, 360\)"):
        run(data, np.ones((5, 90)))
    with pytest.raises(ValueError, match="one cluster a row"):
        run(data, subtasks=data["subtasks"][1:])
    with pytest.raises(ValueError, match="not finite"):
        run(data, ablated=np.full((360, 1), np.nan))
