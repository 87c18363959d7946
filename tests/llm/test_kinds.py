"""Kinds of rewrites from their names."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.llm.kinds import kinds
from harness.llm.styles import LENGTH, STYLES, Style, style
from harness.rewrites import variant


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(STYLES, "_objects", dict(STYLES._objects))


def test_a_style_is_four_kinds_and_the_second_ones_ask_what_the_first_of_their_direction_asks():
    found = {kind.name: kind for kind in kinds("style:formal")}
    up, down, up_down, down_up = (found[f"style:formal:{way}"] for way in ("up", "down", "up:down", "down:up"))
    assert len(found) == 4
    assert (up.of, down.of, up_down.of, down_up.of) == (None, None, up.name, down.name)
    for second, first in ((up_down, down), (down_up, up)):
        assert (second.change, second.length, second.keeps) == (first.change, first.length, first.keeps)
    assert STYLES.get("formal").up in up.change
    assert STYLES.get("formal").down in down.change


def test_a_paraphrase_keeps_negations_too_and_a_style_need_not():
    (paraphrase,) = kinds("paraphrase")
    assert (paraphrase.of, paraphrase.length) == (None, LENGTH)
    assert set(paraphrase.keeps) == {"digits", "code", "negations"}
    assert all(set(kind.keeps) == {"digits", "code"} for kind in kinds("style:positive"))


def test_a_style_has_its_own_range_of_lengths_in_each_direction():
    style(Style("terse", "7", "is terse", "is wordy", (0.1, 0.2), (3.0, 4.0)))
    found = {kind.name.removeprefix("style:terse:"): kind for kind in kinds("style:terse")}
    assert {name: kind.length for name, kind in found.items()} == {
        "up": (0.1, 0.2), "down": (3.0, 4.0), "up:down": (3.0, 4.0), "down:up": (0.1, 0.2),
    }  # fmt: skip
    assert {kind.version for kind in found.values()} == {"7"}


def test_what_is_made_of_replies_comes_before_what_is_made_of_rewrites_and_a_name_counts_once():
    found = kinds("style:short, paraphrase,style:hedged,paraphrase")
    made_of = [kind.of is not None for kind in found]
    assert made_of == sorted(made_of)
    assert len(found) == len({kind.name for kind in found}) == 9
    names = {kind.name for kind in found}
    assert all(kind.of in names for kind in found if kind.of)
    assert variant((found[-1].name, 0)).count("/") == 2


@pytest.mark.parametrize("name", ["", "Paraphrase", "style", "style:", "style:absent", "formal", "paraphrase,"])
def test_another_name_is_refused_with_those_that_there_are(name):
    with pytest.raises(InputError, match="formal"):
        kinds(name)
