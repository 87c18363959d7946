"""Whole words only, in any case; on real replies more of those people rejected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import load
from harness.text.feature import words
from harness.text.toxicity import INSULTS, PROFANITY, SLURS, TOXIC, toxicity


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("You are an idiot.", 1.0),
        ("WHAT THE FUCK", 1.0),
        ("what a *stupid* idea", 1.0),
        ("Scunthorpe's class assessed the cocktail, and Dickens the passage.", 0.0),
        ("You are kind.", 0.0),
        ("", 0.0),
    ],
)
def test_a_reply_has_a_toxic_word_or_not(reply, expected):
    assert toxicity("", reply) == expected


@given(st.sampled_from(sorted(TOXIC)), st.text(), st.text())
def test_nothing_around_a_toxic_word_hides_it(word, before, after):
    assert toxicity("", f"{before} {word.upper()} {after}") == 1.0


def test_the_prompt_has_no_part_in_it():
    assert toxicity("you idiot", "I am sorry to hear that") == 0.0


def test_every_listed_word_is_one_that_a_text_can_have_and_in_one_list():
    assert all(words(word) == (word,) for word in TOXIC)
    assert len(TOXIC) == len(PROFANITY) + len(INSULTS) + len(SLURS)


def test_people_reject_more_toxic_replies_than_they_choose(shared):
    items = load(["hh-rlhf/harmless-base"], shared / "data").items
    chosen, rejected = (
        sum(toxicity("", reply) for item in items for reply in getattr(item, side)) / len(items)
        for side in ("chosen", "rejected")
    )
    assert (round(chosen, 3), round(rejected, 3)) == (0.020, 0.040)
