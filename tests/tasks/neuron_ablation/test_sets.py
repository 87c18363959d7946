from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.sets import HEADLINE, SETS, Ranking, choose, per_layer, size
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (4, 25)


def scores(seed: int, shape: tuple[int, int] = SHAPE) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {o: rng.normal(size=shape) for o in ("helpful", "harmless")}


@given(st.integers(0, 50), st.sampled_from([1.0, 2.0, 5.0, 10.0, 37.0]), st.sampled_from(["global", "layer"]))
def test_exactly_k_however_many_are_tied(values: int, percent: float, rank: str) -> None:
    rng = np.random.default_rng(values)
    tied = {o: rng.integers(0, 1 + values % 3, SHAPE).astype(float) for o in ("helpful", "harmless")}
    found = choose(tied, percent, rank, "exact")
    k = round(percent / 100 * 100)
    assert len(found["own_helpful"]) == len(found["own_harmless"]) == k
    for chosen in found.values():
        assert (np.diff(chosen) > 0).all()


def test_ties_go_to_the_first_layer_and_number() -> None:
    found = choose(dict.fromkeys(("helpful", "harmless"), np.ones(SHAPE)), 7, "global", "exact")
    assert found["own_helpful"].tolist() == list(range(7))


def test_many_ties_are_in_order_of_layer_and_number() -> None:
    score = np.random.default_rng(0).integers(0, 3, (40, 200)).astype(float)
    expected = sorted(range(score.size), key=lambda i: (-score.ravel()[i], i))
    assert Ranking.of(score, "global").order.tolist() == expected


@pytest.mark.parametrize(("percent", "k"), [(3.0, 2), (7.0, 4), (5.0, 2), (1.0, 0)])
def test_k_is_rounded(percent: float, k: int) -> None:
    assert size(np.ones((1, 50)), percent) == k


def test_missing_neurons_of_narrow_layers_are_neither_counted_nor_chosen() -> None:
    score = scores(1)["helpful"]
    score[2, 5:] = np.nan
    assert size(score, 10) == 8
    for rank in ("global", "layer"):
        chosen = choose({"helpful": score, "harmless": score}, 10, rank, "exact")["own_helpful"]
        assert len(chosen) == 8
        assert not np.isnan(score.ravel()[chosen]).any()


def test_what_cannot_be_chosen_is_not_chosen_by_either_rule() -> None:
    score = np.full(SHAPE, -np.inf)
    score[1, :3] = [1.0, 3.0, 2.0]
    for ties in ("exact", "keep"):
        assert choose({"helpful": score, "harmless": score}, 5, "global", ties)["own_helpful"].tolist() == [25, 26, 27]
    assert choose({"helpful": score, "harmless": score}, 2, "global", "exact")["own_helpful"].tolist() == [26, 27]


def test_the_top_k_of_a_sort() -> None:
    score = scores(2)["helpful"]
    chosen = choose({"helpful": score, "harmless": -score}, 8, "global", "exact")
    assert set(chosen["own_helpful"]) == set(sorted(range(100), key=lambda i: -score.ravel()[i])[:8])
    assert not set(chosen["own_helpful"]) & set(chosen["own_harmless"])


@pytest.mark.parametrize("ties", ["exact", "keep"])
@pytest.mark.parametrize("percent", [3.0, 10.0, 40.0])
def test_sets_are_what_their_names_say(ties: str, percent: float) -> None:
    found = choose(scores(3), percent, "global", ties)
    helpful, harmless = set(found["own_helpful"]), set(found["own_harmless"])
    assert set(found["only_helpful"]) == helpful - harmless
    assert set(found["only_harmless"]) == harmless - helpful
    assert set(found["shared"]) == helpful & harmless
    assert tuple(found) == SETS
    assert set(HEADLINE) < set(SETS)


@pytest.mark.parametrize("percent", [3.0, 10.0, 40.0])
def test_the_matched_shared_set_is_an_intersection_at_another_percentage_of_the_only_sets_size(percent: float) -> None:
    given = scores(4)
    found = choose(given, percent, "global", "exact")
    matched = set(found["shared_m"])
    assert len(matched) == len(found["only_helpful"])

    def shared(k: int) -> set[int]:
        one, two = (set(np.argsort(-s.ravel(), kind="stable")[:k]) for s in given.values())
        return one & two

    assert any(shared(k - 1) <= matched <= shared(k) for k in range(1, 101))


def test_identical_scores_leave_nothing_to_only_one() -> None:
    score = scores(5)["helpful"]
    found = choose({"helpful": score, "harmless": score}, 10, "global", "exact")
    assert [len(found[name]) for name in SETS] == [10, 10, 0, 0, 10, 0]


def test_the_papers_rule_keeps_every_tie_at_the_percentile() -> None:
    score = np.zeros((2, 50))
    score[0, :3] = 1.0
    assert len(choose({"helpful": score, "harmless": score}, 10, "global", "keep")["own_helpful"]) == 100
    assert choose({"helpful": score, "harmless": score}, 3, "global", "keep")["own_helpful"].tolist() == [0, 1, 2]


def test_the_papers_rule_is_a_linear_percentile() -> None:
    score = scores(6)["helpful"]
    chosen = choose({"helpful": score, "harmless": score}, 12.5, "global", "keep")["own_helpful"]
    assert set(chosen) == set(np.flatnonzero(score.ravel() >= np.percentile(score, 87.5)))


@pytest.mark.parametrize("percent", [4.0, 10.0, 30.0])
def test_ranked_by_layer_every_layer_gives_its_share(percent: float) -> None:
    score = scores(7)["helpful"]
    score[0] += 100  # globally all would come from here
    chosen = choose({"helpful": score, "harmless": score}, percent, "layer", "exact")["own_helpful"]
    counts = per_layer(chosen, SHAPE)
    assert counts.sum() == percent
    assert abs(counts - 25 * percent / 100).max() <= 1
    for layer, count in enumerate(counts):
        best = np.argsort(-score[layer])[:count] + 25 * layer
        assert set(best) <= set(chosen)


def test_a_narrow_layer_gives_as_large_a_share_as_a_wide_one() -> None:
    score = np.random.default_rng(0).normal(size=(2, 40))
    score[1, 10:] = np.nan
    for percent, counts in ((4.0, [2, 0]), (10.0, [4, 1]), (50.0, [20, 5])):
        chosen = choose({"helpful": score, "harmless": score}, percent, "layer", "exact")["own_helpful"]
        assert per_layer(chosen, score.shape).tolist() == counts


def test_the_matched_shared_set_is_as_small_as_the_smaller_only_set() -> None:
    given = scores(11)
    given["helpful"] = given["helpful"].round()
    found = choose(given, 10, "global", "keep")
    assert len(found["shared_m"]) == len(found["only_harmless"]) < len(found["only_helpful"])


@pytest.mark.parametrize("rank", ["global", "layer"])
def test_permuting_neurons_inside_layers_permutes_the_sets(rank: str) -> None:
    given, rng = scores(8), np.random.default_rng(0)
    moved = np.stack([rng.permutation(25) for _ in range(4)])
    permuted = {o: np.take_along_axis(s, moved, axis=1) for o, s in given.items()}
    before, after = (choose(s, 10, rank, "exact") for s in (given, permuted))
    for name in SETS:
        back = {(n // 25) * 25 + moved[n // 25, n % 25] for n in after[name]}
        tied = 1 if name == "shared_m" else 0  # two neurons can have the same worse place; the number decides
        assert len(back - set(before[name])) <= tied, name


def test_exchanging_objectives_exchanges_the_sets() -> None:
    given = scores(9)
    a, b = (choose(s, 10, "global", "exact") for s in (given, dict(zip(given, reversed(given.values()), strict=True))))
    assert a["only_helpful"].tolist() == b["only_harmless"].tolist()
    assert a["shared_m"].tolist() == b["shared_m"].tolist()


def test_a_ranking_knows_the_place_of_everything_it_holds() -> None:
    score = scores(10)["helpful"]
    score[0, 0] = np.nan
    ranking = Ranking.of(score, "global")
    assert ranking.place[ranking.order].tolist() == list(range(99))
    assert ranking.place[0] >= 99
