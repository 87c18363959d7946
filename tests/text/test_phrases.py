"""Phrases: refusals and rates of words, against hand-made replies."""

from __future__ import annotations

import math

import pytest

from harness.text import phrases
from harness.text.feature import words


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I'm sorry, but I can’t help with that.", 1.0),
        ("I am unable to do so", 1.0),
        ("I must decline.", 1.0),
        ("You can't help liking it. That's illegal in most places.", 0.0),
        ("word " * 60 + "I cannot help", 0.0),
        ("x" * 186 + " I cannot help", 1.0),
        ("x" * 187 + " I cannot help", 0.0),
        ("", 0.0),
    ],
)
def test_a_refusal_is_looked_for_in_the_first_200_characters(reply, expected):
    assert phrases.refusal("", reply) == expected


@pytest.mark.parametrize(
    ("measure", "reply", "expected"),
    [
        (phrases.hedging, "maybe " + "word " * 99, math.log(2)),
        (phrases.hedging, "maybe maybe", math.log(21)),
        (phrases.politeness, "please " + "word " * 99, math.log(2)),
        (phrases.first_person, "I’m " + "word " * 49, math.log(3)),
        (phrases.first_person, "", 0.0),
    ],
)
def test_rates_are_logs_of_one_plus_hits_per_hundred_words_up_to_twenty(measure, reply, expected):
    assert measure("", reply) == pytest.approx(expected)


def test_rates_do_not_track_length():
    text = "maybe I thank you for it "
    for measure in (phrases.hedging, phrases.politeness, phrases.first_person):
        assert measure("", text) == pytest.approx(measure("", text * 10))


def test_every_listed_word_is_one_that_a_text_can_have():
    for listed in (phrases.HEDGES, phrases.COURTESIES, phrases.FIRST_PERSON):
        assert all(words(word) == (word,) for word in listed)
