"""What a pattern finds is replaced in a text's own words alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.invariants import broken
from harness.text.substitution import substitute

A = re.compile(r"\ba\b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b a", "X b X"),
        ("a `a` a", "X `a` X"),
        ("a ```\na\n``` a", "X ```\na\n``` X"),
        ("a ```\na", "X ```\na"),
        ('a "b a" a', 'X "b a" X'),
        ("a “a” a", "X “a” X"),
        ('a "a\na" a', 'X "X\nX" X'),
        ("a http://a/a?a a", "X http://a/a?a X"),
        ('"a `a" a` a', '"a `a" a` X'),
        ("", ""),
    ],
)
def test_code_addresses_and_quotations_stay(text, expected):
    assert substitute(A, lambda match: "X", text) == expected


def test_a_match_that_touches_a_span_stays_and_one_beside_it_does_not():
    assert substitute(re.compile(r"b `"), lambda match: "X", "b `c` d") == "b `c` d"
    assert substitute(re.compile(r"` d"), lambda match: "X", "b `c` d") == "b `c` d"
    assert substitute(re.compile(r"b "), lambda match: "X", "b `c` d") == "X`c` d"
    assert substitute(re.compile(r" d"), lambda match: "X", "b `c` d") == "b `c`X"


def test_a_pattern_sees_what_is_around_a_match_in_the_whole_text():
    assert substitute(re.compile(r"(?<=`)b"), lambda match: "X", "`a`b") == "`a`X"


@given(st.lists(st.sampled_from(["a", " ", "\n", "`", "```", '"', "“", "”", "www.", "http://", ".", "'"])).map("".join))
def test_nothing_that_is_verbatim_is_ever_touched(text):
    changed = substitute(A, lambda match: "bc", text)
    assert broken(text, changed, ("urls", "code", "quotes")) == ()
    assert len(changed) - len(text) <= len(A.findall(text))
    assert substitute(A, lambda match: match[0], text) == text
