from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from harness.tasks.neuron_ablation.overlap import depth, overlaps, reliabilities, top
from harness.tasks.neuron_ablation.params import Params
from scipy.stats import spearmanr

from harness.task import Metric

SHAPE = (6, 50)
PARAMS = Params(percents=(10.0,), headline=10.0)


def score(seed: int, lean: float = 0.0) -> np.ndarray:
    """Random; `lean` moves the best into late layers."""
    return np.random.default_rng(seed).normal(size=SHAPE) + lean * np.arange(SHAPE[0])[:, None]


def by_name(rows: Iterable[Metric]) -> dict[str, Metric]:
    return {m.name: m for m in rows}


def pair(a: np.ndarray, b: np.ndarray, params: Params = PARAMS) -> dict[str, Metric]:
    return by_name(overlaps({"score/m.0/helpful": a, "score/m.0/harmless": b, "half/m.0/helpful": a}, params))


def loop(a: np.ndarray, b: np.ndarray, percent: float = 10) -> dict[str, float]:
    """By definition, neuron by neuron, with exact k of a sort."""
    width, valid = a.shape[1], [i for i in range(a.size) if not np.isnan(a.ravel()[i])]
    k = round(percent / 100 * len(valid))
    first, second = (set(sorted(valid, key=lambda i: -s.ravel()[i])[:k]) for s in (a, b))
    expected = sum(
        sum(n // width == layer for n in first) * sum(n // width == layer for n in second) / widths
        for layer in range(len(a))
        if (widths := sum(i // width == layer for i in valid))
    )
    both = len(first & second)
    jaccard = both / len(first | second)
    chance = k**2 / len(valid)
    return {
        "jaccard": jaccard,
        "overlap_frac": both / k,
        "overlap_lift": jaccard / (chance / (2 * k - chance)),
        "overlap": (both - expected) / (k - expected),
    }


@pytest.mark.parametrize("lean", [0.0, 0.5])
def test_overlaps_are_those_of_a_loop(lean: float) -> None:
    a, b = score(0, lean), score(0, lean) + score(1)
    a[2, 30:] = b[2, 30:] = np.nan
    found = pair(a, b)
    for name, value in loop(a, b).items():
        assert found[name].value == pytest.approx(value), name
    assert found["overlap"].dims == {"a": "m.0/harmless", "b": "m.0/helpful", "p": "10"}


def test_layer_profiles_alone_give_lift_but_no_overlap() -> None:
    lifts, beyond = [], []
    for seed in range(30):
        found = pair(score(seed, 0.6), score(seed + 100, 0.6))
        lifts.append(found["overlap_lift"].value)
        beyond.append(found["overlap"].value)
    assert np.mean(lifts) > 2  # type: ignore[arg-type]
    assert abs(np.mean(beyond)) < 0.05  # type: ignore[arg-type]


def test_a_set_overlaps_itself_wholly_and_exchange_changes_nothing() -> None:
    a, b = score(2), score(2) + score(3)
    assert [pair(a, a)[n].value for n in ("jaccard", "overlap_frac", "overlap")] == [1, 1, 1]
    assert {n: m.value for n, m in pair(a, b).items()} == pytest.approx({n: m.value for n, m in pair(b, a).items()})


def test_disjoint_sets_overlap_less_than_chance() -> None:
    a = score(4)
    found = pair(a, -a)
    assert (found["jaccard"].value, found["overlap_lift"].value) == (0, 0)
    assert found["overlap"].value is not None
    assert found["overlap"].value < 0


def test_full_layers_force_an_overlap() -> None:
    a = np.full((2, 10), -1.0)
    a[1] = 1.0
    assert "forced" in (pair(a, a, Params(percents=(50.0,), headline=50.0))["overlap"].reason or "")


def test_empty_sets_are_reported() -> None:
    tiny = np.ones((1, 3))
    found = pair(tiny, tiny, Params(percents=(5.0,)))
    assert all(m.value is None and m.reason == "empty set" for m in found.values())


def test_every_pair_of_rankings_at_every_percentage_once() -> None:
    arrays = {f"score/{m}.0/{o}": score(i) for i, m in enumerate("ab") for o in ("helpful", "harmless")}
    found = [m for m in overlaps(arrays, Params(percents=(1.0, 5.0))) if m.name == "jaccard"]
    keys = {(frozenset((m.dims["a"], m.dims["b"])), m.dims["p"]) for m in found}
    assert len(found) == len(keys) == 2 * 6


def test_a_model_is_compared_with_its_base_by_activity() -> None:
    own, base = score(0), score(0) + 0.5 * score(1)
    found = by_name(overlaps({"activity/mixed.0/helpful": np.stack([own, base])}, PARAMS))
    assert found["overlap"].value == pytest.approx(loop(own, base)["overlap"])
    assert found["overlap"].dims["score"] == "abs_mean"
    assert found["overlap"].dims["b"] == "base/helpful"


# --- reliability ----------------------------------------------------------------------------------


def halves(first: np.ndarray, second: np.ndarray) -> dict[str, Metric]:
    return by_name(reliabilities({"half/mixed.1/harmless": np.stack([first, second])}, PARAMS))


def test_reliability_is_spearman_brown_of_spearman() -> None:
    a, b = score(0), score(0) + 0.4 * score(1)
    r = spearmanr(a.ravel(), b.ravel()).statistic
    found = halves(a, b)
    assert found["score_reliability"].value == pytest.approx(2 * r / (1 + r))
    assert found["half_overlap"].value == pytest.approx(loop(a, b)["overlap"])
    assert found["score_reliability"].dims == {"member": "mixed", "seed": "1", "objective": "harmless"}


def test_a_reliable_score_has_no_remark_and_an_unreliable_one_has() -> None:
    assert halves(score(0), score(0) + 0.1 * score(1))["score_reliability"].reason is None
    assert "more pairs" in (halves(score(0), score(1))["score_reliability"].reason or "")


def test_a_rising_transformation_changes_nothing() -> None:
    a, b = score(0), score(0) + score(1)
    assert halves(np.exp(a), b)["score_reliability"].value == pytest.approx(halves(a, b)["score_reliability"].value)


@pytest.mark.filterwarnings("error")
def test_a_constant_half_has_no_reliability() -> None:
    found = halves(np.ones(SHAPE), score(0))["score_reliability"]
    assert found.value is None
    assert "equal" in (found.reason or "")


def test_neurons_that_cannot_be_chosen_in_a_half_do_not_count() -> None:
    a, b = score(0), score(0) + 0.4 * score(1)
    a[0], b[1] = -np.inf, np.nan
    r = spearmanr(a[2:].ravel(), b[2:].ravel()).statistic
    assert halves(a, b)["score_reliability"].value == pytest.approx(2 * r / (1 + r))


# --- depth ----------------------------------------------------------------------------------------


def shares(chosen: list[int], layers: int, width: int = 10) -> list[float | None]:
    return [m.value for m in depth(np.array(chosen, dtype=np.int64), np.zeros((layers, width)), {})]


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6, 7, 12, 13])
def test_thirds_of_the_depth_sum_to_one(layers: int) -> None:
    chosen = np.random.default_rng(layers).choice(layers * 10, min(8, layers * 10), replace=False)
    assert sum(shares(sorted(chosen.tolist()), layers)) == pytest.approx(1)  # type: ignore[arg-type]


def test_a_layer_lies_where_it_is_and_on_a_border_in_parts() -> None:
    assert shares([0, 1, 25, 59], 6) == [0.5, 0.25, 0.25]
    assert shares([15], 4) == pytest.approx([1 / 3, 2 / 3, 0])  # the second of four: from 1/4 to 1/2
    assert shares([], 6) == [None, None, None]


def test_true_depth_counts_layers_without_any_of_the_set() -> None:
    assert shares([0], 3) == [1, 0, 0]
    assert shares([0], 30) == [1, 0, 0]


def test_top_follows_the_rule_for_ties() -> None:
    tied = np.ones((2, 10))
    assert len(top(tied, 10, PARAMS)) == 2
    assert len(top(tied, 10, Params(ties="keep"))) == 20
