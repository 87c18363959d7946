"""Space, line ends, Unicode forms, quotation marks and spaces around punctuation."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings

from harness.text.surface import exclamation
from harness.text.transforms import TRANSFORMS

from .texts import CORPUS, TEXTS


def apply(name: str, reply: str, item: str = "item") -> str | None:
    return TRANSFORMS.get(name).apply("prompt", reply, item, 0).text


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("line_endings", "a\nb\r\n\nc", "a\r\nb\r\n\r\nc"),
        ("line_endings", "a\r\nb", None),
        ("nfc", "cafe\u0301 \u212b", "caf\u00e9 \u00c5"),
        ("nfc", "caf\u00e9", None),
        ("nfc", "\u1fefe\u0301<\u0338", "\u1fef\u00e9<\u0338"),
        ("quoted", "It is.", '"It is."'),
        ("quoted", "  It is.\n\n", '  "It is."\n\n'),
        ("quoted", 'He said "no".', '"He said "no"."'),
        ("quoted", '"It is."\n', None),
        ("quoted", '"', None),
        ("punctuation_spaces", "Hello, world!", "Hello , world !"),
        ("punctuation_spaces", "Wait... what?!", "Wait ... what ?!"),
        ("punctuation_spaces", "It's 3.14 or 1,000, at 5:30.", "It's 3.14 or 1,000 , at 5:30 ."),
        ("punctuation_spaces", "yes,no", "yes , no"),
        ("punctuation_spaces", "He left (so they say).", "He left ( so they say ) ."),
        ("punctuation_spaces", "the dog(s) f(x) (a) (1)", None),
        ("punctuation_spaces", "1. One\n2) Two\n  a. Three\n- **4.** Four", None),
        ("punctuation_spaces", "Do this: 1. Go. 2. Stay", "Do this : 1. Go . 2. Stay"),
        ("punctuation_spaces", "e.g. here, the U.S. or a.b.c", "e.g. here , the U.S. or a.b.c"),
        ("punctuation_spaces", "See http://a.b/c, `x, y` and [b, c](http://d.e).", "See http://a.b/c, `x, y` and [b , c](http://d.e)."),
        ("punctuation_spaces", '"It is, so," he said.', '"It is, so," he said .'),
        ("punctuation_spaces", "**Note:** *so.* ok", "**Note :** *so .* ok"),
        ("punctuation_spaces", "```\na, b\n```\nOk.", "```\na, b\n```\nOk ."),
        ("punctuation_spaces", "file.txt a . b :-) :)", None),
    ],
)  # fmt: skip
def test_what_becomes_of_a_known_reply(name, reply, expected):
    assert apply(name, reply) == expected


def test_trailing_space_is_one_of_a_few_drawn_by_the_item():
    tails = [apply("trailing_space", "It is.", f"item-{number}").removeprefix("It is.") for number in range(200)]
    assert sorted(set(tails)) == sorted([" ", "  ", "   ", "\n", "\n\n"])
    assert min(tails.count(tail) for tail in set(tails)) >= 20
    assert apply("trailing_space", "Else.", "item-7") == f"Else.{tails[7]}"


@given(TEXTS)
@settings(deadline=None)
def test_nothing_but_space_is_added_around_marks(text):
    made = apply("punctuation_spaces", text)
    if made is not None:
        assert made.replace(" ", "") == text.replace(" ", "")
        assert len(made) > len(text)
        assert sorted(re.findall(r"\w+", made)) == sorted(re.findall(r"\w+", text))


@given(TEXTS)
@settings(deadline=None)
def test_line_ends_are_of_one_kind_and_undone_by_the_way_back(text):
    made = apply("line_endings", text) or text
    if text.strip():
        assert re.search(r"(?<!\r)\n", made) is None
        assert made.replace("\r\n", "\n") == text.replace("\r\n", "\n")


@given(TEXTS)
@settings(deadline=None)
def test_composed_text_is_canonically_the_same(text):
    made = apply("nfc", text) or text
    assert unicodedata.normalize("NFD", made) == unicodedata.normalize("NFD", text)
    if not set(text) & set("<>\u1fef") and text.strip():
        assert made == unicodedata.normalize("NFC", text)


def test_a_count_of_exclamation_marks_never_moves():
    names = ("trailing_space", "line_endings", "nfc", "quoted", "punctuation_spaces")
    pairs = [(text, apply(name, text) or text) for name in names for text in CORPUS]
    assert all(before.count("!") == after.count("!") for before, after in pairs)
    moved = [after for before, after in pairs if exclamation("", before) != exclamation("", after)]
    assert moved == []
