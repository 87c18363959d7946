"""Sentences against hand-made texts, the index against its formula, and what neither may depend on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.readability import readability, sentence_count, sentences

SENTENCES = st.lists(
    st.sampled_from(["Cats purr.", "Why not?", "Well done!", "So it goes…", "He said “no.”"]), min_size=1
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("  \n ... !!! \U0001f642", 0),
        ("no mark at all", 1),
        ("One. Two! Three? Four…", 4),
        ("Really?! Yes... fine", 3),
        ("He said “stop.” She did.", 2),
        ("**Stop.** (Now.) Go", 3),
        ("Version 3.5 of example.com is out.", 1),
        ("Eggs\nMilk\n\nBread", 3),
        ("1. Boil water\n2. Wait", 2),
    ],
)
def test_sentences_of_a_known_text(text, expected):
    assert sentences(text) == expected
    assert sentence_count("", text) == pytest.approx(math.log(1 + expected))


@given(st.text(), st.text())
def test_texts_on_two_lines_have_the_sentences_of_both(first, second):
    assert sentences(f"{first}\n{second}") == sentences(first) + sentences(second)


def test_the_index_is_its_formula():
    text = "The cat sat. It purred, though."  # 3+3+3+2+6+6 characters, 6 words, 2 sentences
    assert readability("", text) == pytest.approx(4.71 * 23 / 6 + 0.5 * 6 / 2 - 21.43)


@given(SENTENCES, st.integers(2, 5))
def test_saying_it_again_is_as_hard_to_read(said, times):
    text = " ".join(said)
    assert readability("", " ".join([text] * times)) == pytest.approx(readability("", text))


def test_longer_words_and_longer_sentences_are_harder():
    easy = "We go home. We eat."
    assert readability("", "Residents return homewards. Residents devour.") > readability("", easy)
    assert readability("", easy.replace(".", "", 1)) > readability("", easy)


@pytest.mark.parametrize("text", ["", "...", "\U0001f642", "\n"])
def test_a_text_without_words_has_an_index_of_zero(text):
    assert readability("", text) == 0.0


def test_words_without_a_letter_are_one_sentence():
    assert readability("", "12 345") == pytest.approx(4.71 * 5 / 2 + 0.5 * 2 - 21.43)
