"""Sentiment is VADER's own score of the opening, whatever is done for speed."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from harness.text.sentiment import OPENING, sentiment

VADER = SentimentIntensityAnalyzer()
PIECES = (
    "good", "bad", "GREAT", "Horrible", "love", "hate", "no", "not", "never", "so", "this", "without", "doubt",
    "least", "at", "very", "kind", "of", "sort", "just", "enough", "but", "BUT", "however", "cat", "tree", "badass",
    "bad", "ass", "the", "shit", "yeah", "right", "kiss", "death", "to", "die", "for", "beating", "heart", "isn't",
    "won't", "nor", "or", "really", "HARDLY", "extremely", ":)", ":D", ":(", "!!!", "???", "?!", "lol", "\U0001f600",
    "\U0001f62d", "\u2764", "\U0001f48b", "I",
    "kiss of death", "beating heart", "yeah right", "to die for", "the bomb", "kind of", "sort of", "just enough",
    "without doubt", "never so", "never this", "no good or", "at least", "very least", "fucking", "effing",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join) | st.lists(st.sampled_from(PIECES)).map("".join)


def by_vader(text: str) -> float:
    return VADER.polarity_scores(text[:OPENING])["compound"]


@settings(max_examples=400)
@given(TEXTS | st.text())
@example("\U0001f600\U0001f600 \U0001f600x")
@example("x " * 498 + "good bad")
@example("a tree gave the kiss of death")
def test_it_is_the_score_of_vader(text):
    assert sentiment("", text) == by_vader(text)


def test_it_is_the_score_of_vader_for_real_replies(shared):
    from harness.datasets import load, restrict

    items = restrict(load(["hh-rlhf"], shared / "data"), 150).items
    replies = [reply for item in items for reply in (*item.chosen, *item.rejected)]
    assert [sentiment("", reply) for reply in replies] == [by_vader(reply) for reply in replies]


def test_it_has_the_sign_of_the_text():
    assert sentiment("", "What a wonderful, lovely idea") > 0.5
    assert sentiment("", "What a horrible, cruel idea") < -0.5
    assert sentiment("", "") == 0.0


def test_only_the_opening_is_read():
    assert sentiment("", "tree " * 200 + "horrible") == 0.0


@pytest.mark.parametrize("text", ["\U0001f600" * OPENING, "no " * OPENING, "but good " * OPENING])
def test_no_opening_takes_long(text):
    began = time.process_time()
    sentiment("", text)
    assert time.process_time() - began < 0.2
