"""Styles by name, and what a new one must say."""

from __future__ import annotations

import re

import pytest

from harness.errors import InputError
from harness.llm.styles import LENGTH, STYLES, Style, style


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(STYLES, "_objects", dict(STYLES._objects))


def test_the_attributes_of_the_method_are_there_each_with_words_for_both_directions():
    assert set(STYLES.names()) >= {"positive", "formal", "short", "hedged"}
    for name in STYLES.names():
        found = STYLES.get(name)
        assert found.name == name
        assert found.up != found.down
        assert all(re.match(r"(sounds|is) ", words) for words in (found.up, found.down)), "stands behind `so that it`"


def test_only_the_style_that_is_about_length_may_leave_the_usual_range():
    ranges = {name: (STYLES.get(name).length_up, STYLES.get(name).length_down) for name in STYLES.names()}
    (shorter, longer) = ranges.pop("short")
    assert set(ranges.values()) == {(LENGTH, LENGTH)}
    assert shorter[0] < 2 / 3 < shorter[1] < 1 < longer[0] < 1.5 < longer[1]
    assert longer == pytest.approx((1 / shorter[1], 1 / shorter[0]), abs=0.02)


def test_a_name_is_given_once_and_the_same_style_twice_is_one():
    new = style(Style("terse", "1", "is terse", "is wordy"))
    assert STYLES.get("terse") is new
    style(Style("terse", "1", "is terse", "is wordy"))
    with pytest.raises(InputError, match="two styles are called 'terse'"):
        style(Style("terse", "1", "is curt", "is wordy"))
