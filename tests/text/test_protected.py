"""The parts of a text between its code and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.invariants import code, urls
from harness.text.protected import inside, outside

TEXTS = st.lists(st.sampled_from(["```", "`", "a", "\n", " ", "www.", "http://", "é", "."]), max_size=30).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://a.b/c now", "SEE https://a.b/c NOW"),
        ("www.a.b", "www.a.b"),
        ("a `b` c", "A `b` C"),
        ("a ```\nb\n``` c", "A ```\nb\n``` C"),
        ("a ```\nb `c", "A ```\nb `c"),
        ("a `b\nc` d", "A `B\nC` D"),
        ("", ""),
    ],
)
def test_a_change_reaches_what_is_neither_code_nor_address(text, expected):
    assert outside(text, str.upper) == expected


@given(TEXTS)
def test_no_change_gives_the_text_back_and_capitals_leave_code_and_addresses(text):
    assert outside(text, lambda part: part) == text
    changed = outside(text, str.upper)
    assert (code(changed), urls(changed)) == (code(text), urls(text))


@given(TEXTS)
def test_the_spans_and_the_parts_between_them_make_up_the_text(text):
    parts: list[str] = []
    outside(text, lambda part: parts.append(part) or part)
    assert "" not in parts
    assert sum(map(len, parts)) + sum(end - begin for begin, end in inside(text)) == len(text)
