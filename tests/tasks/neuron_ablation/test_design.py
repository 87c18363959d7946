from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from harness.tasks.neuron_ablation.design import Corpus, Design, spread, targets
from harness.tasks.neuron_ablation.params import Params

from harness.errors import InputError
from harness.preference import PreferenceItem
from harness.task import Members, TaskData
from harness.testing import planted
from harness.testing.planted_scenes import GROUPS, suite

ITEMS = suite(np.random.default_rng(0), 30, 25)
FAMILY: Members = (("helpful", 0), ("harmless", 0), ("mixed", 0))


def design(items: tuple[PreferenceItem, ...] = ITEMS, members: Members = (("model", 0),), **params: Any) -> Design:
    return Design.of(TaskData(items, members), Params(**{"pairs": 20, "corpus_pairs": 20} | params))


def made(n: int, dataset: str, subset: str, objective: str, **more: Any) -> tuple[PreferenceItem, ...]:
    return planted.items(np.random.default_rng(1), n, dataset=dataset, subset=subset, objective=objective, **more)


def ids(corpora: tuple[Corpus, ...]) -> set[str]:
    return {unit.item_id for part in corpora for unit in part.units}


def clusters(items: Any) -> set[str]:
    return {i.cluster_id for i in items}


# --- judged, pilot --------------------------------------------------------------------------------


def test_judged_items_are_as_many_a_group_as_asked_for_spread_over_subsets() -> None:
    counts = Counter((i.objective, i.dataset, i.subset) for i in design(pairs=21).judged)
    assert {objective for objective, *_ in counts} == {"helpful", "refuse", "comply", "safety_mixed"}
    assert counts["helpful", "hh-rlhf", "helpful-base"] == 21
    assert sorted(n for (o, *_), n in counts.items() if o == "refuse") == [10, 11]


def test_the_pilot_is_a_part_of_every_group() -> None:
    found = design(pairs=300, items=suite(np.random.default_rng(0), 90, 25))
    assert {i.id for i in found.pilot} <= {i.id for i in found.judged}
    assert Counter(i.objective for i in found.pilot) == {"helpful": 30, "safety_mixed": 30, "refuse": 60, "comply": 60}
    assert len(design(pairs=20).pilot) == len(design(pairs=20).judged)  # a third would be too few


def test_more_items_keep_those_of_fewer() -> None:
    some = suite(np.random.default_rng(0), 40, 25)
    assert {i.id for i in spread(some, 30)} < {i.id for i in spread(some, 60)}
    assert len(spread(some, 10**6)) == len(some)


# --- corpora --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fallback", [False, True])
def test_no_prompt_is_judged_and_scored_on(fallback: bool) -> None:
    own = {place[:2] for place in GROUPS}
    items = tuple(i for i in ITEMS if not fallback or (i.dataset, i.subset) in own)
    found = design(items, pairs=10)
    judged = clusters(found.judged)
    by_id = {i.id: i for i in ITEMS}
    for name, parts in found.corpora.items():
        assert not clusters(by_id[i] for i in ids(parts)) & judged, name


def test_corpora_are_the_places_named_for_them() -> None:
    by_id = {i.id: (i.dataset, i.subset) for i in ITEMS}
    found = {name: {by_id[i] for i in ids(parts)} for name, parts in design().corpora.items()}
    assert found == {
        "helpful": {("hh-rlhf", "helpful-online")},
        "harmless": {("hh-rlhf-train", "harmless-base")},
        "neutral": {("rm-bench", "code")},
    }


def test_without_them_what_is_left_over_serves() -> None:
    items = tuple(i for i in ITEMS if i.dataset != "hh-rlhf-train" and i.subset != "helpful-online")
    found = design(items, pairs=10)
    by_id = {i.id: i.objective for i in items}
    assert {by_id[i] for i in ids(found.corpora["helpful"])} == {"helpful"}
    assert {by_id[i] for i in ids(found.corpora["harmless"])} <= {"safety_mixed", "refuse"}


def test_both_objectives_have_as_many_pairs() -> None:
    items = tuple(i for i in ITEMS if not (i.subset == "helpful-online" and i.id.endswith(("1", "2", "3"))))
    found = design(items, corpus_pairs=25)
    sizes = {name: sum(part.pairs for part in parts) for name, parts in found.corpora.items()}
    assert sizes["helpful"] == sizes["harmless"] < 25


def test_halves_share_no_prompt_and_are_all_of_it() -> None:
    items = (*ITEMS, *made(40, "hh-rlhf-train", "helpful-base", "helpful", per_cluster=3))
    found = design(items, corpus_pairs=60).corpora["helpful"]
    by_id = {i.id: i for i in items}
    first, second = (clusters(by_id[i] for i in ids((part,))) for part in found)
    assert not first & second
    assert abs(len(first) - len(second)) <= 1


def test_weights_make_the_weighted_score_the_mean_margin() -> None:
    items = (*made(3, "a", "b", "helpful"), *made(2, "a", "c", "helpful", styles=("x", "y", "z")))
    corpus = Corpus.of(items)
    assert corpus.pairs == 5
    for unit, weight in zip(corpus.units, corpus.weights, strict=True):
        assert weight == (1 if unit.side.startswith("chosen") else -1) / 5
    assert sum(corpus.weights) == pytest.approx(0)
    assert Counter(u.item_id for u in corpus.units) == {i.id: 2 for i in items}


# --- order and errors -----------------------------------------------------------------------------


def test_the_order_of_items_does_not_matter() -> None:
    shuffled = tuple(np.random.default_rng(3).permutation(np.array(ITEMS, dtype=object)).tolist())
    assert design(shuffled) == design()


def test_nothing_to_judge() -> None:
    with pytest.raises(InputError, match="helpful, refuse, comply, safety_mixed"):
        design(made(20, "rm-bench", "code", "helpful"))


@pytest.mark.parametrize(("missing", "place"), [("helpful", "hh-rlhf/helpful-online"), ("harmless", "hh-rlhf-train")])
def test_a_missing_corpus_is_named_with_what_would_do(missing: str, place: str) -> None:
    places = {"helpful": {"helpful-online"}, "harmless": {"harmless-base"}}[missing]
    items = tuple(i for i in ITEMS if i.subset not in places)
    with pytest.raises(InputError, match=rf"for {missing}: found 0 pairs.*{place}.*neuron_ablation.pairs"):
        design(items, pairs=300)


def test_a_corpus_of_one_prompt_has_no_halves() -> None:
    items = tuple(i for i in ITEMS if i.subset != "helpful-online")
    one = made(10, "hh-rlhf", "helpful-online", "helpful", per_cluster=10)
    with pytest.raises(InputError, match="for helpful: found 10 pairs"):
        design((*items, *one), pairs=300)


def test_a_suite_without_neutral_text_has_no_neutral_corpus() -> None:
    assert "neutral" not in design(tuple(i for i in ITEMS if i.subset != "code")).corpora


# --- targets --------------------------------------------------------------------------------------


def test_a_single_model_is_ablated_with_its_own_sets() -> None:
    (found,) = targets((("model", 0),), "auto")
    assert found.model == ("model", 0)
    assert found.sources == {"helpful": (("model", 0), "helpful"), "harmless": (("model", 0), "harmless")}
    assert found.name == "model.0"


@pytest.mark.parametrize(
    ("sets", "corpora"),
    [("auto", ("both", "both")), ("siblings", ("both", "both")), ("siblings_own_corpus", ("helpful", "harmless"))],
)
def test_a_mixed_model_is_ablated_with_its_siblings_sets(sets: str, corpora: tuple[str, str]) -> None:
    (found,) = targets((*FAMILY, ("base", 0)), sets)
    assert found.model == ("mixed", 0)
    assert found.sources == {o: ((o, 0), c) for o, c in zip(("helpful", "harmless"), corpora, strict=True)}


def test_siblings_have_the_seed_of_the_mixed_model_or_the_first() -> None:
    members = (("helpful", 0), ("helpful", 1), ("harmless", 2), ("harmless", 3), ("mixed", 1), ("mixed", 0))
    found = {t.model: {o: model for o, (model, _) in t.sources.items()} for t in targets(members, "auto")}
    assert found == {
        ("mixed", 0): {"helpful": ("helpful", 0), "harmless": ("harmless", 2)},
        ("mixed", 1): {"helpful": ("helpful", 1), "harmless": ("harmless", 2)},
    }


def test_asked_for_corpora_every_member_but_the_base_is_ablated() -> None:
    assert [t.model for t in targets((*FAMILY, ("base", 0)), "corpora")] == list(FAMILY)


def test_siblings_that_are_absent_are_asked_for() -> None:
    with pytest.raises(InputError, match="sets=corpora"):
        targets((("model", 0),), "siblings")
