"""Rewards that pay for one thing, on real pairs: verdicts turn under what touches it and under nothing else."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness import datasets
from harness.models.adapters.sequence_classification import SequenceClassifier
from harness.models.spec import ModelSpec
from harness.preference import units
from harness.runner import run
from harness.task import TASKS, TaskData
from harness.testing import planted, tiny
from harness.testing.corpus import write_pairs
from harness.text.transforms import SETS, TRANSFORMS
from tests.engine.fakes import Counting

TASK = TASKS.get("rewrite_robustness")()
QUICK = TASK.Params(draws=0)
FORM = ("trailing_space", "line_endings", "nfc", "quoted", "punctuation_spaces", "upper", "lower")


@cache
def sample(root: Path):
    """Pairs of two subsets, and of one of styles."""
    plain = datasets.restrict(datasets.load(("hh-rlhf/helpful-base", "hh-rlhf/harmless-base"), root / "data"), 60)
    styled = datasets.restrict(datasets.load(("rm-bench/chat",), root / "data"), 30)
    return (*plain.items, *styled.items)


@pytest.fixture
def items(shared):
    return sample(shared)


def reply(unit):
    return unit.conversation[-1].content


def measured(items, score, params=QUICK):
    """Rows of the arm `both` by (name, transform), natural ones apart; and the whole table."""
    table, _, metrics = planted.drive(TASK, items, score, params=params)
    rows = {
        (m.name, m.dims["transform"]): m
        for m in metrics
        if m.dims.get("arm") == "both" and "rows" not in m.dims and m.dims["set"] != "natural"
    }
    return rows, table


def rewritten_texts(items):
    """{transform: [(original, rewritten)]} by the transforms themselves, valid or not."""
    plain = [u for u in units(items) if "/" not in u.side]
    made = {}
    for name in SETS["standard"]:
        for u in plain:
            prompt = "\n".join(m.content for m in u.conversation[:-1])
            text = TRANSFORMS.get(name).apply(prompt, reply(u), u.item_id, 0).text
            made.setdefault(name, {})[u.unit_id] = reply(u) if text is None else text
    return made


# --- one thing is paid for ----------------------------------------------------------------------


def test_a_reward_for_exclamation_marks_moves_exactly_where_they_are_touched(items):
    def score(unit):
        return float(reply(unit).count("!"))

    rows, _ = measured(items, score)
    pairs = {u.item_id: (u, v) for u, v in zip(*_sides(items), strict=True)}
    turned, touching = {}, set()
    for name, texts in rewritten_texts(items).items():
        if any(texts[u.unit_id].count("!") != reply(u).count("!") for pair in pairs.values() for u in pair):
            touching.add(name)
        signs = {
            item: [np.sign(a.count("!") - b.count("!")) for a, b in ((reply(u), reply(v)), (texts[u.unit_id], texts[v.unit_id]))]
            for item, (u, v) in pairs.items()
        }  # fmt: skip
        turned[name] = any(before != after for before, after in signs.values())
    assert {"drop_final_mark", "polite"} & touching
    assert len(touching) < len(turned) / 2
    applied = [name for name in turned if ("flip_rate", name) in rows]
    assert not touching - set(applied)
    for name in applied:
        turns, shift, flips = turned[name], rows["abs_shift", name], rows["flip_rate", name]
        if flips.value is None:
            continue
        assert (flips.value > 0) == turns, name
        assert (shift.value > 0) == (name in touching), name
    measurable = [name for name in applied if rows["flip_rate", name].value is not None]
    assert {name for name in measurable if turned[name]} <= touching
    assert any(turned[name] for name in measurable)


def _sides(items):
    plain = [u for u in units(items) if "/" not in u.side]
    return [u for u in plain if u.side == "chosen"], [u for u in plain if u.side == "rejected"]


def bag(text):
    """A text as counted words of letters and digits, small and composed."""
    return Counter(
        re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))
    )


def test_a_bag_of_words_does_not_see_space_marks_or_capitals(items):
    weights = {}

    def score(unit):
        worth = (weights.setdefault(w, planted.unit_noise(w) - 0.5) * n for w, n in sorted(bag(reply(unit)).items()))
        return float(sum(worth))

    rows, _ = measured(items, score)
    seen = set()
    for name in FORM:
        if ("abs_shift", name) in rows and rows["abs_shift", name].value is not None:
            shift, flips = rows["abs_shift", name], rows["flip_rate", name]
            seen.add(name)
            assert shift.value == pytest.approx(0, abs=1e-6), name
            assert flips.value == 0, name
    assert {"trailing_space", "quoted", "punctuation_spaces", "upper", "lower"} <= seen
    assert rows["abs_shift", "delete_3"].value > 0.01
    assert rows["flip_rate", "drop_words_3"].value > 0


def test_a_reward_for_length_pays_for_padding(items):
    rows, table = measured(items, planted.response_words)
    assert rows["shift", "pad"].value > 0
    assert rows["shift", "drop_words_3"].value < 0
    assert rows["shift", "quoted"].value == 0
    assert rows["spearman", "pad"].value > 0.9
    words = table[table["replicate"] == 0].pivot(
        index=["item_id", "side"], columns="variant", values="n_response_words"
    )
    assert (words["rewrite/pad"] > words["original"])[words["rewrite/pad"].notna()].all()


def test_styles_of_one_reply_are_rewrites_to_a_reward_for_length(items):
    metrics = planted.drive(TASK, items, planted.response_words, params=QUICK)[2]
    cells = {(m.dims["chosen_style"], m.dims["rejected_style"]): m.value for m in metrics if m.name == "acc_cell"}
    assert cells["markdown", "concise"] == 1
    assert cells["concise", "markdown"] == 0
    shifts = {m.dims["transform"]: m for m in metrics if m.name == "shift" and m.dims.get("set") == "natural" and m.dims["arm"] == "both"}  # fmt: skip
    assert set(shifts) == {"concise>plain", "concise>markdown", "plain>markdown"}
    assert shifts["concise>markdown"].value > 0


# --- the identity, through the engine -----------------------------------------------------------


@pytest.fixture
def pairs(shared, tmp_path):
    plain = [item for item in sample(shared) if item.dataset == "hh-rlhf"]
    return str(write_pairs(plain[:40], tmp_path / "pairs.jsonl"))


def evaluated(model, pairs, tmp_path):
    (result,) = run(
        model,
        ["rewrite_robustness"],
        data=[pairs],
        results=tmp_path / "results",
        store=tmp_path / "scores.sqlite",
        params={"rewrite_robustness": {"transforms": "trailing_space,upper", "draws": 0}},
    )
    return result


def test_the_originals_are_computed_anew_in_other_batches(pairs, tmp_path):
    adapter = Counting()
    result = evaluated(adapter, pairs, tmp_path)
    table = result.table
    times = Counter(adapter.texts)
    texts = {u.conversation[-1].content.encode() for u in TaskData(datasets.load((pairs,), None).items).units()}
    assert {times[t] for t in texts} == {2}
    rewritten = {t + b" " for t in texts} | {t.decode().upper().encode() for t in texts}
    assert {times[t] for t in rewritten & set(times) - texts} == {1}
    company = {}
    for batch in adapter.batches:
        for t in set(batch) & texts:
            company.setdefault(t, []).append(frozenset(batch))
    assert any(a != b for a, b in company.values())
    assert set(table[table["replicate"] == 1]["variant"]) == {"original"}


def test_a_model_gives_the_same_again_to_five_digits(pairs, tmp_path, monkeypatch):
    seen = []

    def spied(method):
        def forward(self, batch, *more):
            seen.append(len(batch))
            return method(self, batch, *more)

        return forward

    for name in ("forward", "forward_trees"):
        monkeypatch.setattr(SequenceClassifier, name, spied(getattr(SequenceClassifier, name)))
    spec = ModelSpec(model=str(tiny.tiny_model(tmp_path / "bert", "bert")), template={"pair": "plain"}, dtype="float32")
    result = evaluated(spec, pairs, tmp_path)
    table = result.table
    scores = table[table["variant"] == "original"].pivot(index="unit_id", columns="replicate", values="score").dropna()
    assert len(scores) > 40
    assert (scores[0] - scores[1]).abs().max() < 1e-5
    (noise,) = [m for m in result.record.metrics if m.name == "noise_score"]
    assert noise.value < 1e-5
    distinct = table.drop_duplicates(["ids_hash", "replicate"])["ids_hash"].size
    assert sum(seen) >= distinct
