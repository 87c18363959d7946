"""Attempts at rewriting: who is tried, what a transform is told, and the columns that say what became of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from harness.tasks.rewrite_robustness.params import Params
from harness.tasks.rewrite_robustness.variants import attempt_frames, attempts, rewritten

from harness.labels import text_id
from harness.preference import Message, PreferenceItem
from harness.rewrites import RewriteRow, Rewrites
from harness.task import TaskData
from harness.testing import planted
from harness.text.invariants import edit_ratio
from harness.text.transform import TRANSFORMS

from .scene import MARK, PLANTED

PAIRS = planted.items(np.random.default_rng(0), 6)
STYLED = planted.items(np.random.default_rng(1), 3, dataset="rm", styles=("plain", "markdown"))
LM = "lm/paraphrase/0"


@pytest.fixture
def planted_as(monkeypatch):
    def put(function, **facts):
        monkeypatch.setitem(TRANSFORMS._objects, "planted_mark", replace(PLANTED[0], function=function, **facts))
        return Params(transforms="planted_mark")

    return put


def paraphrased(units, problems=(), similarity=None, text="Said anew."):
    row = {"kind": "paraphrase", "rewriter": "r", "prompt": "1", "problems": problems, "similarity": similarity}
    rows = [RewriteRow(text=text_id(u.conversation), rewritten=text, **row) for u in units]
    return Rewrites({("paraphrase", 0, one.text): one for one in rows})


def test_both_replies_of_an_item_meet_the_same_draw_and_another_seed_draws_anew(planted_as):
    params = planted_as(lambda prompt, reply, rng: f"{reply} {rng.integers(10**9)}")
    draws = {}
    for seed in (0, 1):
        made = attempts(TaskData(PAIRS), replace(params, seed=seed))
        for item in PAIRS:
            drawn = {a.outcome.text.rsplit(" ", 1)[1] for a in made if a.unit.item_id == item.id}
            assert len(drawn) == 1
            draws[seed, item.id] = drawn.pop()
    assert len(set(draws.values())) == 2 * len(PAIRS)


def test_a_transform_is_told_the_turns_before_the_reply_line_by_line(planted_as):
    prompt = (Message("user", "One."), Message("assistant", "Two."), Message("user", "Three?"))
    item = PreferenceItem("i", prompt, ("Yes.",), ("No.",), "d", "s", "helpful", "c")
    made = attempts(TaskData((item,)), planted_as(lambda prompt, reply, rng: f"{prompt}|{reply}"))
    assert {a.outcome.text for a in made} == {"One.\nTwo.\nThree?|Yes.", "One.\nTwo.\nThree?|No."}
    assert {u.conversation[:-1] for u in rewritten(made)} == {prompt}


def test_styles_are_not_transformed_but_a_file_may_rewrite_any_reply():
    data = TaskData((*PAIRS, *STYLED))
    styled = [u for u in data.units() if u.item_id in {item.id for item in STYLED}]
    made = attempts(replace(data, rewrites=paraphrased(styled[:2])), Params(transforms="planted_mark"))
    tried = {way: {a.unit.unit_id for a in made if a.variant == way} for way in (MARK, LM)}
    assert tried[MARK] == {u.unit_id for u in data.units()} - {u.unit_id for u in styled}
    assert tried[LM] == {u.unit_id for u in styled[:2]}


def test_what_became_of_every_attempt_is_in_the_columns(planted_as):
    def change(prompt, reply, rng):
        return f"{reply} 7" if len(reply) % 2 else None

    params = planted_as(change, preserves=frozenset({"digits"}))
    units = TaskData(PAIRS).units()
    data = TaskData(PAIRS, rewrites=paraphrased(units[:3], ("length", "urls"), 0.25))
    made = attempts(data, params)
    numbers, said = attempt_frames(reversed(made))
    numbers, said = numbers.set_index("unit_id"), said.set_index("unit_id")
    texts = {f"{u.unit_id}@{MARK}": u for u in units if len(u.conversation[-1].content) % 2}
    assert 0 < len(texts) < len(units)
    assert set(numbers.index) == set(texts) | {f"{u.unit_id}@{LM}" for u in units[:3]}
    for name, unit in texts.items():
        reply = unit.conversation[-1].content
        assert tuple(numbers.loc[name, ["x_valid", "x_edit_ratio"]]) == (0, edit_ratio(reply, f"{reply} 7"))
        assert np.isnan(numbers.loc[name, "x_similarity"])
    assert set(numbers.loc[[f"{u.unit_id}@{LM}" for u in units[:3]], "x_similarity"]) == {0.25}
    assert list(said.columns) == [f"x_status/{LM}", f"x_status/{MARK}"]
    for unit in units:
        expected = "digits" if f"{unit.unit_id}@{MARK}" in texts else "none"
        assert said.loc[unit.unit_id, f"x_status/{MARK}"] == expected
        asked = unit in units[:3]
        assert said[f"x_status/{LM}"].notna()[unit.unit_id] == asked
        assert not asked or said.loc[unit.unit_id, f"x_status/{LM}"] == "length+urls"


def test_without_an_attempt_there_are_columns_and_no_rows():
    numbers, said = attempt_frames([])
    assert list(numbers) == ["unit_id", "x_valid", "x_edit_ratio", "x_similarity"]
    assert (len(numbers), list(said), len(said)) == (0, ["unit_id"], 0)
