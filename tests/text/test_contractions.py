"""What a contraction stands for by the words around it."""

from __future__ import annotations

import pytest

from harness.text.contractions import CONTRACTION, expanded


def full(text: str) -> str:
    return CONTRACTION.sub(expanded, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it's good", "it is good"),
        ("it's been good", "it has been good"),
        ("It’s never really been good", "It has never really been good"),
        ("she's got it, that's had it", "she has got it, that has had it"),
        ("it's called a tie", "it is called a tie"),
        ("he's called, who's partnered", "he's called, who's partnered"),
        ("it's gone", "it's gone"),
        ("it's own", "it's own"),
        ("that's what he's like, it's, er", "that is what he is like, it is, er"),
        ("what's it like, what's he want", "what is it like, what's he want"),
        ("there's no one's dog's", "there is no one's dog's"),
        ("let's go. LET'S GO.", "let us go. LET US GO."),
    ],
)
def test_is_or_has_or_of(text, expected):
    assert full(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'd like to", "I would like to"),
        ("I'd really never go", "I would really never go"),
        ("he'd been there, they'd already finished", "he had been there, they had already finished"),
        ("you'd better, I'd rather", "you had better, I would rather"),
        ("we'd need to proceed", "we would need to proceed"),
        ("I'd put it there. I'd the dog. I'd.", "I'd put it there. I'd the dog. I'd."),
        ("what'd dog'd", "what'd dog'd"),
    ],
)
def test_would_or_had(text, expected):
    assert full(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't, can't, won't, shan't.", "I do not, cannot, will not, shall not."),
        ("Don't worry. Can't say.", "Do not worry. Cannot say."),
        ("Don't you think so?", "Do you not think so?"),
        ("It is, isn't it?", "It is, is it not?"),
        ("So can't we go?", "So can we not go?"),
        ("WON'T it?", "WILL it not?"),
        ("Why don't you go?", "Why don't you go?"),
        ("Don't you dare.", "Don't you dare."),
        ("Aren't I nice?", "Aren't I nice?"),
        ("Why can't the dog go?", "Why can't the dog go?"),
        ("Isn't the dog nice?", "Isn't the dog nice?"),
        ("Who doesn't like it?", "Who does not like it?"),
        ("If you don't it will.", "If you do not it will."),
        ("People don't they say", "People don't they say"),
    ],
)
def test_not(text, expected):
    assert full(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'll I've I'm you're they'd've", "I will I have I am you are they'd've"),
        ("should've y'all", "should have y'all"),
        ("x-it's it's-x a'it's", "x-it's it is-x a'it's"),
        ("\u0131t's \u212at's it's\u0301", "\u0131t's \u212at's it is\u0301"),
    ],
)
def test_the_rest(text, expected):
    assert full(text) == expected
