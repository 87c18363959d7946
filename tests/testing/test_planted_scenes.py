from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.condition import NONE, Ablation, Condition
from harness.preference import units
from harness.reading import Reading
from harness.task import Accumulate, Score
from harness.testing import planted_scenes as scenes

ALL = ("specific", "tension", "siblings", "uniform", "identical", "tied")


def margins(scene: scenes.Scene, neurons=(), member=("model", 0), values=None) -> pd.DataFrame:
    """Columns objective and margin, indexed by item, of the evaluated groups with these neurons held (at 0)."""
    layers, numbers = np.array(sorted(neurons), int).reshape(-1, 2).T
    held = np.zeros(len(layers)) if values is None else values
    condition = Condition("held", (Ablation(layers, numbers, held),)) if neurons else NONE
    groups = {(d, s) for d, s, _ in scenes.GROUPS}
    asked = tuple(units(i for i in scene.items if (i.dataset, i.subset) in groups))
    table = scene.subject.answer(Score(asked, (condition,), members=(member,)))
    sides = table.pivot(index=["item_id", "objective"], columns="side", values="score")
    return (sides["chosen"] - sides["rejected"]).rename("margin").reset_index("objective")


def accuracy(found: pd.DataFrame, *objectives: str) -> float:
    return float((found.loc[found["objective"].isin(objectives), "margin"] > 0).mean())


def attribution(scene: scenes.Scene, dataset: str, subset: str, member=("model", 0)) -> np.ndarray:
    asked = tuple(units(i for i in scene.items if (i.dataset, i.subset) == (dataset, subset)))
    weights = tuple((1.0 if u.side == "chosen" else -1.0) * 2 / len(asked) for u in asked)
    return scene.subject.answer(Accumulate(asked, Reading("attribution"), weights))[member]["attribution"]


def top(scores: np.ndarray, k: int = scenes.K) -> set[tuple[int, int]]:
    order = np.argsort(-scores.ravel(), kind="stable")[:k]
    return {(int(i) // scores.shape[1], int(i) % scores.shape[1]) for i in order}


@pytest.mark.parametrize("name", ALL)
def test_items_are_those_of_the_suite_and_scenes_repeat(name: str):
    items, subject, _ = make(name, 5, n=3, corpus=4)
    sizes = pd.DataFrame([(i.dataset, i.subset, i.objective) for i in items]).value_counts().to_dict()
    assert sizes == dict.fromkeys(scenes.GROUPS, 3) | dict.fromkeys(scenes.CORPORA, 4)
    assert len({i.cluster_id for i in items}) == len({i.id for i in items}) == len(items)
    assert not any(i.meta for i in items)
    again = make(name, 5, n=3, corpus=4)
    assert again.items == items
    asked = Score(tuple(units(items)))
    pd.testing.assert_frame_equal(subject.answer(asked), again.subject.answer(asked))
    other = make(name, 6, n=3, corpus=4).subject.answer(asked)
    assert (other["score"] != subject.answer(asked)["score"]).all()


def make(name: str, seed: int, **sizes: int) -> scenes.Scene:
    return getattr(scenes, name)(seed, **sizes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["specific", "tension"])
def test_planted_sets_are_disjoint_five_percent_and_found_by_attribution(name: str, seed: int):
    scene = make(name, seed)
    size = scenes.LAYERS * scenes.WIDTH
    assert len(scene.truth.helpful) == len(scene.truth.harmless) == scenes.K == round(0.05 * size)
    assert not scene.truth.helpful & scene.truth.harmless
    assert {layer for layer, _ in scene.truth.helpful} == set(range(scenes.LAYERS))
    assert top(attribution(scene, "hh-rlhf", "helpful-online")) == scene.truth.helpful
    assert top(attribution(scene, "hh-rlhf-train", "harmless-base")) == scene.truth.harmless
    assert len(top(attribution(scene, "rm-bench", "code")) & scene.truth.helpful) < scenes.K / 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("values", [None, 0.7])
def test_a_specific_set_costs_its_own_objective_alone(seed: int, values: float | None):
    scene = scenes.specific(seed, n=400)
    own = {"helpful": ("helpful",), "harmless": scenes.HARMLESS}
    held = None if values is None else np.full(scenes.K, values)
    intact = margins(scene)
    for mine, other in (("helpful", "harmless"), ("harmless", "helpful")):
        without = margins(scene, getattr(scene.truth, mine), values=held)
        assert accuracy(intact, *own[mine]) - accuracy(without, *own[mine]) > 0.15
        assert abs(accuracy(intact, *own[other]) - accuracy(without, *own[other])) < 0.03
    rng = np.random.default_rng(seed)
    size = scenes.LAYERS * scenes.WIDTH
    chance = {(int(i) // scenes.WIDTH, int(i) % scenes.WIDTH) for i in rng.choice(size, scenes.K, replace=False)}
    assert accuracy(intact, "helpful") - accuracy(margins(scene, chance), "helpful") < 0.1


def test_strengths_are_means_of_margins_in_their_sd():
    scene = scenes.specific(0, n=1000, strengths=scenes.UNEQUAL)
    found = margins(scene).groupby("objective")["margin"].agg(["mean", "std"])
    assert np.allclose(found["std"], scenes.SD, rtol=0.07)
    for objective, strength in scenes.UNEQUAL.items():
        assert found.loc[objective, "mean"] / scenes.SD == pytest.approx(strength, abs=0.12)


@pytest.mark.parametrize("push", [0.0, 0.5])
def test_tension_is_what_harmless_margins_gain_without_the_helpful_set(push: float):
    scene = scenes.tension(1, n=400, push=push)
    intact, without = margins(scene), margins(scene, scene.truth.helpful)
    for objective in scenes.HARMLESS:
        mine = intact["objective"] == objective
        rise = (without["margin"] - intact["margin"])[mine].mean() / intact.loc[mine, "margin"].std()
        assert rise == pytest.approx(push, abs=0.1)
    assert accuracy(intact, "helpful") - accuracy(without, "helpful") > 0.15
    if push:
        gain = np.sqrt((without["margin"] ** 2).sum() / (intact["margin"] ** 2).sum())
        assert 0.8 < gain < 1.25
    plain = margins(scenes.specific(1, n=400))
    assert np.allclose(plain["margin"], intact["margin"])


def test_uniform_damage_depends_on_the_number_of_neurons_not_on_which():
    scene = scenes.uniform(2, n=600)
    intact = margins(scene)
    rng = np.random.default_rng(0)
    places = [(int(i) // scenes.WIDTH, int(i) % scenes.WIDTH) for i in rng.permutation(scenes.LAYERS * scenes.WIDTH)]
    accuracies = intact["margin"].gt(0).groupby(intact["objective"]).mean()
    falls = {}
    for k in (4, 12, 40):
        drawn = [margins(scene, places[i * k : (i + 1) * k]) for i in range(2)]
        kept = [float(d["margin"] @ intact["margin"] / (intact["margin"] @ intact["margin"])) for d in drawn]
        assert kept == pytest.approx([max(0.0, 1 - scenes.RATE * k / 240)] * 2, abs=0.05)
        changes = [d["margin"].gt(0).groupby(d["objective"]).mean() - accuracies for d in drawn]
        assert np.allclose(*changes, atol=0.07)
        falls[k] = changes[0]
    assert falls[12]["comply"] > 0.02 > 0 > falls[12]["refuse"]
    left = falls[40] + accuracies
    assert np.allclose(left, 0.5, atol=0.06)
    assert scene.truth == scenes.Truth()
    found = attribution(scene, "hh-rlhf", "helpful-online"), attribution(scene, "hh-rlhf-train", "harmless-base")
    assert abs(np.corrcoef(*(f.ravel() for f in found))[0, 1]) < 0.3


def test_identical_siblings_have_identical_scores_and_sums():
    scene = scenes.identical(3, n=5, corpus=6)
    assert [m for m, _ in scene.subject.members] == ["helpful", "harmless", "mixed"]
    asked = tuple(units(scene.items))
    sums = scene.subject.answer(Accumulate(asked, Reading("attribution"), tuple(np.arange(len(asked)) / 7)))
    first, *others = sums.values()
    assert all(np.array_equal(first[name], other[name]) for other in others for name in first)
    assert scene.subject.answer(Score(asked)).groupby("unit_id")["score"].nunique().eq(1).all()


def test_siblings_carry_what_they_were_trained_on():
    scene = scenes.siblings(4, n=200, seeds=(0, 1))
    assert len(scene.subject.members) == 6
    intact = scene.subject.answer(Score(tuple(units(scene.items)))).groupby(["member", "unit_id"])["score"]
    assert (intact.nunique() == 2).all()
    for member, able in {"helpful": (True, False), "harmless": (False, True), "mixed": (True, True)}.items():
        found = margins(scene, member=(member, 1))
        for objectives, is_able in zip((("helpful",), scenes.HARMLESS), able, strict=True):
            expected = 0.84 if is_able else 0.5
            assert accuracy(found, *objectives) == pytest.approx(expected, abs=0.1)
    for member in scene.subject.members:
        sets = [("helpful", "hh-rlhf", "helpful-online"), ("harmless", "hh-rlhf-train", "harmless-base")]
        for name, *corpus in sets:
            if member[0] in (name, "mixed"):
                assert top(attribution(scene, *corpus, member)) == getattr(scene.truth, name)


@pytest.mark.parametrize("what", ["attribution", "mean", "abs_mean", "mean_square", "positive", "product"])
def test_tied_scores_are_exactly_equal(what: str):
    scene = scenes.tied(0)
    asked = tuple(units(i for i in scene.items if i.dataset == "hh-rlhf"))
    weights = tuple(np.random.default_rng(0).normal(size=len(asked)))
    found = scene.subject.answer(Accumulate(asked, Reading("attribution"), weights))["model", 0][what]
    assert found.min() == found.max() != 0
    assert margins(scene)["margin"].std() > 0.5
