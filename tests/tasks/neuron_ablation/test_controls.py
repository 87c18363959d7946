from __future__ import annotations

import itertools

import numpy as np
from harness.tasks.neuron_ablation.controls import LayerDraw, allot, neutral_top, rand_label, rand_layer, seeded
from harness.tasks.neuron_ablation.sets import Ranking, per_layer
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (5, 40)
ALL = np.arange(200)
CHOSEN = np.array([0, 1, 2, 41, 42, 80, 170, 171, 172, 173])

layers = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=8)


@given(layers, st.integers(0, 100))
def test_allot_gives_n_and_never_more_than_there_is(shares_and_sizes: list[tuple[int, int]], n: int) -> None:
    shares, has = np.array(shares_and_sizes).T
    given_out = allot(shares, n, has)
    assert (given_out <= has).all()
    assert (given_out[shares == 0] == 0).all()
    assert given_out.sum() == min(n, has[shares > 0].sum())


@given(layers, st.integers(0, 100))
def test_allot_is_within_one_of_the_shares_where_there_is_room(shares_and_sizes: list[tuple[int, int]], n: int) -> None:
    shares = np.array([s for s, _ in shares_and_sizes])
    if shares.sum():
        assert abs(allot(shares, n, np.full(len(shares), 10**6)) - shares / shares.sum() * n).max() < 1


def test_allot_gives_largest_remainders_first() -> None:
    assert allot(np.array([5, 3, 2]), 4, np.full(3, 9)).tolist() == [2, 1, 1]
    assert allot(np.array([1, 1, 1]), 2, np.full(3, 9)).tolist() == [1, 1, 0]


def test_random_sets_have_the_layers_of_the_set() -> None:
    shares = per_layer(CHOSEN, SHAPE)
    for r in range(10):
        drawn = rand_layer(CHOSEN, ALL, SHAPE, r, 0, "m.0").cut(shares, len(CHOSEN))
        assert per_layer(drawn, SHAPE).tolist() == shares.tolist()
        assert len(np.unique(drawn)) == len(CHOSEN)


def test_random_sets_leave_out_neurons_that_are_not_there() -> None:
    valid = ALL[(ALL % 40) < 10]
    for r in range(5):
        drawn = rand_layer(CHOSEN % 10, valid, SHAPE, r, 0, "m.0").cut(np.full(5, 3), 15)
        assert set(drawn) <= set(valid)


def test_every_neuron_of_a_layer_is_drawn_alike() -> None:
    counts = np.zeros(200)
    for r in range(2000):
        counts[rand_layer(CHOSEN, ALL, SHAPE, r, 0, "m.0").cut(per_layer(CHOSEN, SHAPE), 10)] += 1
    first = counts[:40]  # 3 of 40 each time
    assert abs(first - 150).max() < 5 * np.sqrt(150)
    assert (counts[120:160] == 0).all()


def test_draws_differ_and_repeat() -> None:
    cuts = [tuple(rand_layer(CHOSEN, ALL, SHAPE, r, 0, "m.0").cut(np.ones(5), 20)) for r in (0, 0, 1)]
    assert cuts[0] == cuts[1] != cuts[2]
    others = [rand_layer(CHOSEN, ALL, SHAPE, 0, s, t) for s, t in ((1, "m.0"), (0, "m.1"))]
    assert all(tuple(o.cut(np.ones(5), 20)) != cuts[0] for o in others)
    assert seeded("a", 1).random() == seeded("a", 1).random() != seeded("a", 2).random()


def test_larger_sets_of_one_draw_hold_smaller_ones_with_the_same_layers() -> None:
    draw = LayerDraw(ALL, SHAPE, np.random.default_rng(0))
    shares = np.array([2, 1, 0, 4, 3])
    cuts = [set(draw.cut(shares, n)) for n in range(0, draw.most(shares) + 1, 10)]
    assert all(small < large for small, large in itertools.pairwise(cuts))


def test_layers_cut_by_share_stay_nested_up_to_rounding() -> None:
    draw = LayerDraw(ALL, SHAPE, np.random.default_rng(0))
    shares = np.array([7, 1, 2, 4, 3])
    cuts = [set(draw.cut(shares, n)) for n in range(draw.most(shares) + 1)]
    assert all(len(small - large) <= 1 for small, large in itertools.pairwise(cuts))
    assert [len(cut) for cut in cuts] == list(range(len(cuts)))


def test_the_largest_set_fills_the_layer_that_is_wanted_most() -> None:
    draw = LayerDraw(ALL, SHAPE, np.random.default_rng(0))
    assert draw.most(np.array([4, 1, 0, 0, 0])) == 50
    assert draw.most(np.zeros(5)) == 0
    assert per_layer(draw.cut(np.array([4, 1, 0, 0, 0]), 50), SHAPE).tolist() == [40, 10, 0, 0, 0]


def test_labelled_controls_are_drawn_from_the_active_neurons_and_the_set() -> None:
    active = np.union1d(CHOSEN[:6], np.arange(3, 200, 7))
    pool = set(active) | set(CHOSEN)
    drawn = list(rand_label(CHOSEN, active, SHAPE, 20, 0, "m.0"))
    assert len(drawn) == 20
    assert len({tuple(d) for d in drawn}) > 1
    for chosen in drawn:
        assert set(chosen) <= pool
        assert per_layer(chosen, SHAPE).tolist() == per_layer(CHOSEN, SHAPE).tolist()


def test_neutral_controls_are_the_top_of_each_resample() -> None:
    resamples = [np.random.default_rng(r).normal(size=SHAPE) for r in range(3)]
    found = list(neutral_top(CHOSEN, [Ranking.of(score, "global") for score in resamples]))
    for score, chosen in zip(resamples, found, strict=True):
        assert set(chosen) == set(np.argsort(-score.ravel())[: len(CHOSEN)])
    assert list(neutral_top(CHOSEN, [])) == []
