"""Shares of R^2 against permutations of players and enumerated flips, and against what may not change them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from harness.stats.bootstrap import cluster_weights
from harness.stats.shares import held_out_r2, held_out_shares, shapley_r2
from tests.stats.data import clustered

GROUPS = ("target", "target", "spoiler", "length", "spoiler")
BETA = np.array([0.8, 0.5, -0.4, 0.6, 0.0])


def rows(seed: int, groups: int, beta: np.ndarray = BETA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins, correlated features and clusters; noise shared within clusters and growing with length."""
    rng = np.random.default_rng(seed)
    clusters = clustered(rng, groups)
    n = len(clusters)
    X = np.where(rng.random((n, 5)) < 0.4, rng.choice([-1.0, 1.0], (n, 5)), 0.0)
    X[:, 3] = rng.normal(size=n) + 0.5 * X[:, 0]
    X[:, 2] = np.where(rng.random(n) < 0.3, X[:, 1], X[:, 2])
    common = rng.normal(size=groups)[np.unique(clusters, return_inverse=True)[1]]
    return X @ beta + common + (0.5 + np.abs(X[:, 3])) * rng.normal(size=n), X, clusters


def r2(d: np.ndarray, X: np.ndarray) -> float:
    return 1 - ((d - X @ np.linalg.lstsq(X, d)[0]) ** 2).sum() / (d**2).sum() if X.shape[1] else 0.0


def shapley(worth, groups: tuple[str, ...]) -> dict[str, float]:
    """The mean over orders of players of what each adds; `worth` takes the mask of columns."""
    players = sorted(set(groups))
    total = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for k, name in enumerate(order):
            before, after = (np.isin(groups, order[:stop]) for stop in (k, k + 1))
            total[name] += (worth(after) - worth(before)) / len(orders)
    return total


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def in_order(found, values: np.ndarray) -> dict[str, float]:
    return dict(zip(found.players, values, strict=True))


def test_shares_are_those_over_orders_less_the_mean_over_all_flips() -> None:
    d, X, _ = rows(1, 12)
    clusters = np.arange(len(d)) % 6
    plain = shapley(lambda c: r2(d, X[:, c]), GROUPS)
    flipped = []
    for signs in product([-1, 1], repeat=6):
        copy = d * np.array(signs)[clusters]
        flipped.append(shapley(lambda c, copy=copy: r2(copy, X[:, c]), GROUPS))
    null = {name: np.mean([f[name] for f in flipped]) for name in plain}
    noise = {name: share * (1 - r2(d, X)) for name, share in null.items()}
    found = shapley_r2(d, X, GROUPS, clusters, generator(), flips=5, draws=0)
    assert in_order(found, found.excess) == pytest.approx({name: plain[name] - noise[name] for name in plain})
    for name, share in found.players.items():
        assert share.value == pytest.approx(max(0, plain[name] - noise[name]))
    assert found.r2.value == pytest.approx(max(0, r2(d, X) - sum(noise.values())))
    for copy in found.flipped:
        closest = min(flipped, key=lambda f: sum(abs(f[k] - null[k] - v) for k, v in in_order(found, copy).items()))
        assert in_order(found, copy) == pytest.approx({name: closest[name] - null[name] for name in closest})


def test_bootstrap_draws_are_fits_of_drawn_rows_less_twice_the_noise() -> None:
    d, X, clusters = rows(2, 40)
    found = shapley_r2(d, X, GROUPS, clusters, generator(), flips=1, draws=120)
    rng = generator()
    rng.choice([-1.0, 1.0], (1, 40))
    unique, counts = cluster_weights(clusters, 120, rng)
    plain = shapley(lambda c: r2(d, X[:, c]), GROUPS)
    noise = {name: plain[name] - x for name, x in in_order(found, found.excess).items()}
    for draw in (0, 110):
        repeat = np.repeat(np.arange(len(d)), counts[draw][np.searchsorted(unique, clusters)])
        again = shapley(lambda c, rows=repeat: r2(d[rows], X[np.ix_(rows, c)]), GROUPS)
        expected = {name: again[name] - 2 * noise[name] for name in again}
        assert in_order(found, found.drawn[draw]) == pytest.approx(expected)
    for j, share in enumerate(found.players.values()):
        ends = np.quantile(np.maximum(found.drawn[:, j], 0), [0.025, 0.975])
        assert (share.low, share.high) == pytest.approx(tuple(ends))
    ends = np.quantile(np.maximum(found.drawn.sum(axis=1), 0), [0.025, 0.975])
    assert (found.r2.low, found.r2.high) == pytest.approx(tuple(ends))


def test_order_sides_units_and_redundant_columns_change_nothing() -> None:
    d, X, clusters = rows(3, 40)
    rng = np.random.default_rng(4)
    order, flip = rng.permutation(len(d)), rng.choice([-1, 1], len(d))
    scale = np.array([1e-4, 1, 1e3, 1, 1])
    again = np.column_stack([X, 3 * X[:, 2] + X[:, 4], 0 * d])
    versions = (
        (d, X, GROUPS, clusters),
        (d[order], X[order], GROUPS, clusters[order]),
        (flip * d, flip[:, None] * X, GROUPS, clusters),
        (1e3 * d, X * scale, GROUPS, clusters),
        (d, again, (*GROUPS, "spoiler", "length"), clusters),
    )
    first, *others = (shapley_r2(*v, generator(), draws=50) for v in versions)
    held, *held_others = (held_out_shares(*v, generator()) for v in versions)
    for other, held_other in zip(others, held_others, strict=True):
        assert other.excess == pytest.approx(first.excess)
        assert other.drawn == pytest.approx(first.drawn)
        assert [s.value for s in held_other.values()] == pytest.approx([s.value for s in held.values()])
        assert [s.se for s in held_other.values()] == pytest.approx([s.se for s in held.values()])


def test_a_length_only_model_has_a_length_share_and_no_selectivity() -> None:
    _, X, clusters = rows(5, 150)
    X[:, 3] = np.random.default_rng(6).normal(size=len(X))
    found = shapley_r2(X[:, 3], X, GROUPS, clusters, generator(), draws=100)
    assert found.players["length"].value > 0.95
    assert max(found.players[name].value for name in ("target", "spoiler")) < 0.03
    noisy = rows(7, 300, np.zeros(5))[0][: len(X)]
    shares = shapley_r2(noisy, X, GROUPS, clusters, generator(), draws=0)
    assert "no more than they do of flipped signs" in str(shares.selectivity("target", "spoiler").reason)


def test_selectivity_is_the_part_of_the_target() -> None:
    d, X, clusters = rows(8, 400)
    found = shapley_r2(d, X, GROUPS, clusters, generator(), draws=300)
    target, spoiler = (found.players[name].value for name in ("target", "spoiler"))
    one, other = found.selectivity("target", "spoiler"), found.selectivity("spoiler", "target")
    assert one.value == pytest.approx(target / (target + spoiler))
    assert (other.value, other.low) == pytest.approx((1 - one.value, 1 - one.high))
    assert 0 <= one.low < one.value < one.high <= 1
    with pytest.raises(KeyError):
        found.selectivity("target", "style")
    without = shapley_r2(d, X, GROUPS, clusters, generator(), draws=0).selectivity("target", "spoiler")
    assert (without.value, without.low) == (pytest.approx(one.value), None)


def test_a_share_below_its_null_counts_as_none() -> None:
    found = shapley_r2(*rows(2, 300, BETA * [1, 0, 0, 0, 0])[:2], GROUPS, rows(2, 300)[2], generator(), draws=100)
    spoiler = list(found.players).index("spoiler")
    assert found.excess[spoiler] < 0
    assert found.players["spoiler"].value == 0
    ratio = found.selectivity("target", "spoiler")
    assert (ratio.value, ratio.high) == (1, 1)
    assert ratio.low > 0.5


def test_models_that_pay_for_nothing_are_rarely_selective() -> None:
    alarms = 0
    for seed in range(300):
        d, X, clusters = rows(seed, 60, np.zeros(5))
        shares = shapley_r2(d, X, GROUPS, clusters, generator(), draws=0)
        alarms += shares.selectivity("target", "spoiler").value is not None
    assert 4 <= alarms <= 30


def test_intervals_cover_the_shares_of_all_prompts() -> None:
    d, X, clusters = rows(0, 40000)
    truth = shapley_r2(d, X, GROUPS, clusters, generator(), draws=0)
    selectivity = truth.selectivity("target", "spoiler").value
    shares = np.array([s.value for s in truth.players.values()])
    inside, selective, whole = [], [], []
    for seed in range(1, 151):
        found = shapley_r2(*rows(seed, 120)[:2], GROUPS, rows(seed, 120)[2], generator(), draws=200)
        limits = np.array([(s.low, s.high) for s in found.players.values()])
        inside.append((limits[:, 0] <= shares) & (shares <= limits[:, 1]))
        ratio = found.selectivity("target", "spoiler")
        selective.append(ratio.low <= selectivity <= ratio.high)
        whole.append(found.r2.low <= truth.r2.value <= found.r2.high)
    for covered in (*np.mean(inside, axis=0), np.mean(selective), np.mean(whole)):
        assert covered >= 0.87  # 95 % less 4.5 standard errors of 150 simulations


def test_what_cannot_be_shared_is_null() -> None:
    d, X, clusters = rows(9, 40)
    ties = shapley_r2(0 * d, X, GROUPS, clusters, generator())
    assert [e.value for e in (ties.r2, *ties.players.values())] == [None] * 4
    assert "ties" in str(ties.selectivity("target", "spoiler").reason)
    silent = shapley_r2(d, X * [1, 1, 0, 1, 0], GROUPS, clusters, generator(), draws=40)
    assert "differs in spoiler" in str(silent.players["spoiler"].reason)
    assert silent.selectivity("target", "spoiler").value is None
    few = shapley_r2(d, X, GROUPS, np.arange(len(d)) % 29, generator(), draws=40)
    assert few.r2.value is not None
    assert "29 clusters" in str(few.r2.reason)
    alone = shapley_r2(d, X, GROUPS, np.zeros(len(d)), generator()).players["target"]
    assert (alone.value, alone.reason) == (None, "1 cluster: flipped signs need two")
    assert shapley_r2([], np.empty((0, 5)), GROUPS, [], generator()).r2.value is None
    assert held_out_r2(0 * d, X, clusters, generator()).value is None
    assert "folds need" in str(held_out_r2(d[:4], X[:4], range(4), generator()).reason)
    assert held_out_shares([], np.empty((0, 5)), GROUPS, [], generator())["length"].value is None


def test_held_out_shares_are_those_over_orders_and_add_up() -> None:
    d, X, clusters = rows(10, 30)
    folds = generator().permutation(30) % 5
    fold = folds[np.unique(clusters, return_inverse=True)[1]]

    def worth(columns: np.ndarray) -> float:
        left = d.copy()
        for k in range(5) if columns.any() else ():
            fit = np.linalg.lstsq(X[np.ix_(fold != k, columns)], d[fold != k])[0]
            left[fold == k] -= X[np.ix_(fold == k, columns)] @ fit
        return 1 - (left**2).sum() / (d**2).sum()

    found = held_out_shares(d, X, GROUPS, clusters, generator())
    whole = held_out_r2(d, X, clusters, generator())
    assert {name: s.value for name, s in found.items()} == pytest.approx(shapley(worth, GROUPS))
    assert whole.value == pytest.approx(worth(np.ones(5, dtype=bool)))
    assert sum(s.value for s in found.values()) == pytest.approx(whole.value)


def test_no_prompt_helps_to_predict_itself() -> None:
    d, _, clusters = rows(11, 60)
    prompts = (clusters[:, None] == np.unique(clusters)).astype(float)
    assert r2(d, prompts) > 0.2
    assert held_out_r2(d, prompts, clusters, generator()).value == pytest.approx(0)
    assert held_out_r2(d, np.random.default_rng(12).normal(size=(len(d), 40)), clusters, generator()).value < 0
    exact = held_out_r2(d, np.column_stack([d, prompts[:, 0]]), clusters, generator())
    assert exact.value == pytest.approx(1)


def test_the_held_out_interval_is_that_of_a_ratio() -> None:
    d, X, clusters = rows(13, 30)
    found = held_out_r2(d, X, clusters, generator())
    folds = (generator().permutation(30) % 5)[np.unique(clusters, return_inverse=True)[1]]
    left = d - np.array([x @ np.linalg.lstsq(X[folds != k], d[folds != k])[0] for x, k in zip(X, folds, strict=True)])
    total = (d**2).sum()
    moved = [
        ((d**2 - left**2)[clusters == c].sum() - found.value * (d[clusters == c] ** 2).sum()) / total
        for c in set(clusters)
    ]
    assert found.se == pytest.approx(np.sqrt(30 / 29 * np.sum(np.square(moved))))
    parts = np.array([(d[clusters == c] ** 2).sum() for c in set(clusters)])
    assert found.df == pytest.approx(parts.sum() ** 2 / (parts**2).sum() - 1)


def test_bad_input_is_refused() -> None:
    d, X, clusters = rows(14, 30)
    for bad in (
        (np.where(d > 0, np.nan, d), X, GROUPS, clusters),
        (d, np.where(X > 0, np.nan, X), GROUPS, clusters),
        (d, X, GROUPS[:4], clusters),
        (d, X, GROUPS, clusters[:-1]),
        (d, X[:, :0], (), clusters),
        (d, np.tile(X, 2)[:, :9], tuple("abcdefghi"), clusters),
    ):
        for compute in (shapley_r2, held_out_shares):
            with pytest.raises(ValueError):
                compute(*bad, generator())
