from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from harness.condition import NONE, Ablation, Condition
from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models.resolve import resolve
from harness.preference import PreferenceItem, units
from harness.reading import Reading
from harness.subject import Member, Subject
from harness.task import Accumulate, Request, Score
from harness.testing import planted_transformer as planted
from harness.testing.planted_scenes import CORPORA, GROUPS, Truth

CORPUS = {"helpful": "helpful-online", "harmless": "harmless-base"}
ITEMS = planted.marked_items(np.random.default_rng(0), 25, 30)


@dataclass(frozen=True)
class World:
    truth: Truth
    ask: Callable
    sums: dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """At this size more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(planted.ARCHITECTURES))
def world(request, tmp_path_factory) -> World:
    """A loaded model, and its attribution of both objectives' corpora."""
    path = tmp_path_factory.mktemp("planted")
    truth = planted.planted_transformer(path / "model", request.param)
    member = Member("model", 0, Engine(resolve(path / "model", device="cpu"), ScoreStore(path / "s.sqlite")))
    subject = Subject("planted", "model", (member,))

    def ask(asked: Request):
        subject.ensure([asked])
        return subject.answer(asked)

    def sums(subset: str) -> dict[str, np.ndarray]:
        texts = tuple(units(i for i in ITEMS if i.subset == subset and i.dataset != "rm-bench"))
        weights = tuple((1.0 if u.side == "chosen" else -1.0) * 2 / len(texts) for u in texts)
        return ask(Accumulate(texts, Reading("attribution"), weights))["model", 0]

    return World(truth, ask, {objective: sums(subset) for objective, subset in CORPUS.items()})


def top(scores: np.ndarray, k: int) -> set[tuple[int, int]]:
    layers, neurons = np.unravel_index(np.argsort(-scores, axis=None, kind="stable")[:k], scores.shape)
    return set(zip(layers.tolist(), neurons.tolist(), strict=True))


def held(name: str, neurons, at: np.ndarray | None = None) -> Condition:
    layers, numbers = np.array(sorted(neurons)).T
    values = np.zeros(len(layers)) if at is None else at[layers, numbers]
    return Condition(name, (Ablation(layers, numbers, values),))


def margins(table: pd.DataFrame) -> pd.DataFrame:
    """Margins of an objective's evaluated items, a column a condition; `group` is helpful or harmless."""
    keys = ["item_id", "subset", "objective", "condition"]
    sides = table.pivot(index=keys, columns="side", values="score")
    wide = (sides["chosen"] - sides["rejected"]).unstack("condition").reset_index()
    return wide.assign(group=np.where(wide["objective"] == "helpful", "helpful", "harmless"))


def test_sets_are_five_percent_each_over_several_layers(world: World) -> None:
    size = planted.LAYERS * planted.WIDTH
    assert {a.shape for s in world.sums.values() for name, a in s.items() if a.ndim} == {
        (planted.LAYERS, planted.WIDTH)
    }
    for found in (world.truth.helpful, world.truth.harmless):
        assert len(found) == planted.K == round(0.05 * size)
        assert len({layer for layer, _ in found}) == planted.LAYERS - 1
    assert not world.truth.helpful & world.truth.harmless


@pytest.mark.parametrize("objective", list(CORPUS))
def test_attribution_finds_the_planted_set_of_the_corpus(world: World, objective: str) -> None:
    planted_set = getattr(world.truth, objective)
    found = top(world.sums[objective]["attribution"], planted.K)
    assert len(found & planted_set) / planted.K >= 0.95


def test_ablating_a_planted_set_removes_its_objectives_margin_and_nothing_else_does(world: World) -> None:
    rng = np.random.default_rng(1)
    special = world.truth.helpful | world.truth.harmless
    others = [place for place in np.ndindex(planted.LAYERS, planted.WIDTH) if place not in special]
    sets = {
        "helpful": world.truth.helpful,
        "harmless": world.truth.harmless,
        "random": [others[i] for i in rng.choice(len(others), planted.K, replace=False)],
    }
    mean = (world.sums["helpful"]["mean"] + world.sums["harmless"]["mean"]) / 2
    modes = {"zero": None, "mean": mean}
    conditions = [held(f"{name}/{mode}", s, at) for name, s in sets.items() for mode, at in modes.items()]
    texts = tuple(units(i for i in ITEMS if i.dataset == "hh-rlhf" and i.subset != CORPUS["helpful"]))
    for group, rows in margins(world.ask(Score(texts, (NONE, *conditions)))).groupby("group"):
        intact = rows["none"]
        assert (intact > 0).mean() > 0.85
        for condition in conditions:
            name = condition.name.partition("/")[0]
            if name == group:
                assert abs(rows[condition.name].mean()) < 0.25 * intact.mean(), condition.name
                assert (rows[condition.name] > 0).mean() < 0.7, condition.name
            else:
                assert rows[condition.name].mean() == pytest.approx(intact.mean(), rel=0.15), condition.name
                assert ((rows[condition.name] > 0) == (intact > 0)).mean() > 0.9, condition.name


def markers(item: PreferenceItem, side: str) -> dict[str, int]:
    words = getattr(item, side)[0].split()
    return {objective: sum(w in marks for w in words) for objective, marks in planted.MARKERS.items()}


def test_items_mark_the_side_of_their_own_objective() -> None:
    assert {(i.dataset, i.subset, i.objective) for i in ITEMS} == {*GROUPS, *CORPORA}
    assert len({i.cluster_id for i in ITEMS}) == len({i.id for i in ITEMS}) == len(ITEMS) == 6 * 25 + 3 * 30
    for item in ITEMS:
        own, other = ("helpful", "harmless") if item.objective == "helpful" else ("harmless", "helpful")
        chosen, rejected = markers(item, "chosen"), markers(item, "rejected")
        assert chosen[other] == rejected[other] == 0
        neutral = item.subset == "code"
        assert chosen[own] in ((0,) if neutral else (3, 4, 5))
        assert rejected[own] in ((0,) if neutral else (0, 1))
        assert len(item.chosen[0].split()) == len(item.rejected[0].split()) == 14
    assert planted.marked_items(np.random.default_rng(0), 25, 30) == ITEMS


@pytest.mark.parametrize("architecture", list(planted.ARCHITECTURES))
def test_same_seed_same_bytes_and_words_are_single_tokens(architecture: str, tmp_path: Path) -> None:
    truths = [planted.planted_transformer(tmp_path / str(i), architecture, seed) for i, seed in enumerate((3, 3, 4))]
    files = [tmp_path / str(i) / "model.safetensors" for i in range(3)]
    assert truths[0] == truths[1] != truths[2]
    assert files[0].read_bytes() == files[1].read_bytes()
    one, other = (load_file(files[i]) for i in (0, 2))
    (untouched,) = (name for name in one if "layer" in name and re.search(r"\.0\..*(q_proj|query)\.weight", name))
    assert not np.isclose(one[untouched], other[untouched]).all()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "0")
    for word in (*planted.FILLERS, *(w for words in planted.MARKERS.values() for w in words)):
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1


def test_unknown_architecture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known: llama, bert"):
        planted.planted_transformer(tmp_path, "gpt5")
