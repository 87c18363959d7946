"""What holds for every feature, the list a regression uses, and the table of many replies."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import load, restrict
from harness.errors import InputError
from harness.preference import Message, Unit, units
from harness.registry import UnknownNameError
from harness.text.feature import Feature
from harness.text.features import FEATURES, STANDARD, featurize

DECLARED = {
    "log_words": ("control", "log", 0),
    "sentence_count": ("control", "log", 0),
    "readability": ("spoiler", "open", 0),
    "lexical_diversity": ("spoiler", "bounded", 0),
    "digits_urls": ("control", "log", 0),
    "overlap": ("control", "bounded", 0),
    "toxicity": ("target", "binary", -1),
    "refusal": ("target", "binary", 0),
    "refusal_on_harmful": ("target", "binary", 1),
    "refusal_on_benign": ("spoiler", "binary", 0),
    "hedging": ("spoiler", "log", 0),
    "politeness": ("spoiler", "log", 0),
    "first_person": ("spoiler", "log", 0),
    "sentiment": ("spoiler", "bounded", 0),
    "question": ("spoiler", "binary", 0),
    "exclamation": ("spoiler", "binary", 0),
    "lists": ("spoiler", "binary", 0),
    "headings": ("spoiler", "binary", 0),
    "bold": ("spoiler", "binary", 0),
    "code": ("spoiler", "binary", 0),
}
CHOSEN_AND_REJECTED = {
    "log_words": (3.079, 3.278),
    "readability": (4.674, 5.276),
    "sentiment": (0.091, 0.121),
    "refusal": (0.034, 0.011),
    "toxicity": (0.020, 0.040),
    "overlap": (0.275, 0.276),
    "lists": (0.006, 0.011),
    "question": (0.365, 0.369),
    "exclamation": (0.060, 0.078),
    "first_person": (1.253, 1.025),
    "lexical_diversity": (0.876, 0.851),
}
"""Means on hh-rlhf harmless-base, the table of an independent prototype within a few thousandths, its wider lists aside."""
ENDS = {"binary": (0.0, 1.0), "log": (0.0, math.inf), "bounded": (-1.0, 1.0), "open": (-math.inf, math.inf)}
ODD = (
    "",
    " ",
    "\ud800",
    "\U0001f642" * 50,
    "?" * 2000,
    "a" * 5000,
    "1" * 400,
    "\n- \n- x",
    "```",
    "**",
    "I can't help\ud800",
)
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"])) | st.lists(
    st.sampled_from([*ODD[2:], "# A\n", "- b\n", "**c**", "I can't help", "bomb", "idiot", "maybe", "3.5", "https://x.y/1?"])
).map("".join)  # fmt: skip
LONG = ("a", "a ", ".", ". ", "!)", "- ", "-", "# ", "#", "`", "**a", "__a", "\n", " ", "1", "www.", "'", "a'", "kill ", "but good ", "\U0001f642", "\ud800")  # fmt: skip


def unit(unit_id: str, *turns: str) -> Unit:
    conversation = tuple(Message("user" if i % 2 == 0 else "assistant", t) for i, t in enumerate(turns))
    return Unit(unit_id, "i", "c", "d", "s", "other", "chosen", conversation)


def test_what_every_feature_declares():
    found = {name: FEATURES.get(name) for name in FEATURES.names()}
    assert {name: (f.kind, f.form, f.desired_sign) for name, f in found.items()} == DECLARED
    assert all(f.function.__doc__ for f in found.values())


def test_a_regression_uses_them_all_but_the_sum_of_two_and_length_comes_first():
    assert STANDARD[0] == "log_words"
    assert sorted(STANDARD) == sorted(DECLARED.keys() - {"refusal"})


@pytest.mark.parametrize("name", list(DECLARED))
@given(prompt=ANY_TEXT, reply=ANY_TEXT)
def test_values_are_of_the_declared_form_and_always_the_same(name, prompt, reply):
    measure, (_, form, _) = FEATURES.get(name).function, DECLARED[name]
    value = measure(prompt, reply)
    assert type(value) is float
    assert math.isfinite(value)
    assert ENDS[form][0] <= value <= ENDS[form][1]
    assert form != "binary" or value in (0.0, 1.0)
    measure(reply, prompt + "x")
    assert measure(prompt, reply) == value


@pytest.mark.parametrize(
    "name", [n for n in DECLARED if n not in ("overlap", "refusal_on_harmful", "refusal_on_benign")]
)
@given(prompt=ANY_TEXT, reply=ANY_TEXT)
def test_most_features_are_of_the_reply_alone(name, prompt, reply):
    assert FEATURES.get(name).function(prompt, reply) == FEATURES.get(name).function("", reply)


@pytest.mark.parametrize("piece", LONG, ids=ascii)
def test_a_hundred_thousand_characters_are_no_trap(piece):
    text = (piece * 100_000)[:100_000]
    began = time.process_time()
    frame = featurize([unit("a", text, text), unit("b", "I can't help", f"{text[:-1]}x")])
    assert time.process_time() - began < 2
    assert np.isfinite(frame.drop(columns="unit_id").to_numpy()).all()


def test_featurize_joins_by_id_and_hides_the_reply_from_the_prompt():
    frame = featurize(
        [unit("a", "tell potatoes", "first", "again", "potatoes"), unit("b", "x", "")], ["overlap", "log_words"]
    )
    assert list(frame.columns) == ["unit_id", "x_overlap", "x_log_words"]
    assert frame.set_index("unit_id").loc["a", "x_overlap"] == 1.0
    assert frame.set_index("unit_id").loc["b"].tolist() == [0.0, 0.0]


def test_the_prompt_is_every_message_before_the_reply():
    bomb, declines = "How do I build a bomb?", "I can't help with that."
    frame = featurize([unit("a", bomb, "Why?", "For fun", declines), unit("b", "Hi", declines)], ["refusal_on_harmful"])
    assert frame["x_refusal_on_harmful"].tolist() == [1.0, 0.0]


def test_featurize_of_nothing_still_has_its_columns():
    assert list(featurize([], ["question"]).columns) == ["unit_id", "x_question"]
    assert list(featurize([]).columns) == ["unit_id", *(f"x_{name}" for name in sorted(DECLARED))]


def test_neither_the_order_of_units_nor_their_neighbours_matter():
    many = [unit(str(i), prompt, reply) for i, (prompt, reply) in enumerate(zip(ODD[::-1], ODD, strict=True))]
    first, second = featurize(many), featurize(many[::-1])
    assert first.set_index("unit_id").equals(second.set_index("unit_id").loc[first["unit_id"]])


def test_a_name_that_is_unknown_or_a_column_that_is_taken_is_refused(monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean question"):
        featurize([], ["questions"])
    with pytest.raises(InputError, match="two features are called 'bold'"):
        featurize([], ["bold", "code", "bold"])
    theirs = Feature("bold", "1", "spoiler", "binary", 0, lambda prompt, reply: 0.0)
    monkeypatch.setattr(FEATURES, "_objects", {**FEATURES._objects, "acme/bold": theirs})
    with pytest.raises(InputError, match="two features are called 'bold'"):
        featurize([])


def test_importing_the_features_loads_neither_torch_nor_vader():
    code = "import sys, harness.text.features; print([m for m in ('torch', 'vaderSentiment', 'transformers') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_means_of_real_replies(shared):
    many = list(units(load(["hh-rlhf/harmless-base"], shared / "data").items))
    frame = featurize(many, list(CHOSEN_AND_REJECTED)).drop(columns="unit_id")
    means = frame.groupby([u.side for u in many]).mean()
    for name, expected in CHOSEN_AND_REJECTED.items():
        assert means[f"x_{name}"].loc[["chosen", "rejected"]].tolist() == pytest.approx(expected, abs=0.0006), name


def test_every_standard_feature_varies_somewhere_and_is_fast(shared):
    many = list(units(restrict(load(["hh-rlhf", "rm-bench"], shared / "data"), 150).items))
    featurize(many[:5], STANDARD)
    began = time.process_time()
    frame = featurize(many, STANDARD).drop(columns="unit_id")
    rate = len(many) / (time.process_time() - began)
    assert rate > 1000, f"{rate:.0f} replies a second"
    assert (frame.std() > 0).all()
