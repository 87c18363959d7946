"""Capitals and the last mark."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.feature import words
from harness.text.transforms import TRANSFORMS


def apply(name, reply):
    return TRANSFORMS.get(name).apply("prompt", reply, "item", 0)


CASED = [
    letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.lower() != letter or letter.upper() != letter
]


@pytest.mark.parametrize("name", ["lower", "upper"])
def test_every_cased_letter_keeps_its_length_and_its_word(name):
    texts = [f"a{letter}Σ {letter} b" for letter in CASED]
    changed = [apply(name, text).text or text for text in texts]
    assert [len(text) for text in changed] == [len(text) for text in texts]
    assert [words(text) for text in changed] == [words(text) for text in texts]


@given(
    st.text(st.characters(codec="ascii", exclude_characters="`"), min_size=1).filter(
        lambda t: ":" not in t and "." not in t
    )
)
def test_plain_text_is_in_one_case(text):
    for name, change in (("lower", str.lower), ("upper", str.upper)):
        assert (apply(name, text).text or text) == change(text)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("upper", "Read `my_code` at http://a.b/c, straße", "READ `my_code` at http://a.b/c, STRAßE"),
        ("upper", "read this:\n```py\nx = y\n```\nok", "READ THIS:\n```py\nx = y\n```\nOK"),
        ("lower", "Read `My_Code` at HTTP://A.B/C, ΟΔΟΣ", "read `My_Code` at HTTP://A.B/C, οδοΣ"),
        ("drop_final_mark", "Yes. It is.\n", "Yes. It is\n"),
        ("drop_final_mark", "Really?! ...", "Really "),
        ("drop_final_mark", "See http://a.b/c.", None),
        ("drop_final_mark", "See http://a.b/c .", "See http://a.b/c "),
        ("drop_final_mark", "```\nx.", None),
        ("drop_final_mark", "No mark", None),
        ("drop_final_mark", "It said “Go.”", None),
        ("drop_final_mark", "?!", None),
        ("drop_final_mark", "", None),
    ],
)
def test_what_becomes_of_a_known_reply(name, before, after):
    made = apply(name, before)
    assert made.text == (after.replace(" at ", " AT ") if after and name == "upper" else after)
    assert made.status == ("none" if after is None else "valid")


@given(st.text() | st.text("a.!? \n`"))
def test_only_marks_go_and_none_is_left_at_the_end(text):
    after = apply("drop_final_mark", text).text
    if after is not None:
        assert text.startswith(after.rstrip())
        assert not after.rstrip().endswith((".", "!", "?")) or "`" in text
        assert [c for c in after if c not in ".!?"] == [c for c in text if c not in ".!?"]
