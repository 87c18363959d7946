"""Views of a text that a rewrite may have to leave alone, and how far two texts are apart."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.invariants import INVARIANTS, broken, edit_ratio

SHORT = st.text(st.characters(), max_size=12)


def distance(before: str, after: str) -> int:
    """Levenshtein distance by the recurrence that defines it."""
    row = list(range(len(after) + 1))
    for i, left in enumerate(before, 1):
        last, row = row, [i]
        for j, right in enumerate(after, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (left != right)))
    return row[-1]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("digits", "1,000 at 5:30, x2 and \u0663", ("1", "000", "5", "30", "2", "\u0663")),
        ("urls", "(http://a.b/c?d=1, HTTPS://E.F) www.g.h!", ("http://a.b/c?d=1,", "HTTPS://E.F)", "www.g.h!")),
        ("urls", "a.b and http:/c", ()),
        ("code", "a `b` c ```\nd `e`\n``` f `g\nh`", ("`b`", "```\nd `e`\n```")),
        ("code", "\u1fefa\u1fef", ()),
        ("urls", "http://a<\u0338b", ("http://a",)),
        ("quotes", 'a "b c" d “e f” \'g\' "h\ni"', ('"b c"', "“e f”")),
        ("negations", "No, I don’t and can't; not nothing, know, another, CANNOT.", 6),
        ("negations", "It wasn't so, nor is it none of them without us.", 4),
        ("words", "It’s  Straße—3 a_b!", ("it's", "strasse", "3", "a", "b")),
    ],
)
def test_what_a_view_sees(name, text, expected):
    assert INVARIANTS[name](text) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("It is 3.", "It is three.", ("digits", "words")),
        ("See http://a.b", "See http://a.c", ("urls", "words")),
        ("See `a`", "See 'a'", ("code",)),
        ('Say "a"', "Say a", ("quotes",)),
        ("Do not", "Do", ("negations", "words")),
        ("Do so.", "do  SO", ()),
    ],
)
def test_what_differs_is_named_in_order_and_only_what_was_asked(before, after, expected):
    assert broken(before, after, INVARIANTS) == expected
    assert broken(after, before, reversed(list(INVARIANTS))) == expected
    assert broken(before, after, ()) == ()
    assert broken(before, after, expected[:1]) == expected[:1]


@pytest.mark.parametrize("name", list(INVARIANTS))
@pytest.mark.parametrize(
    "text", ["caf\u0065\u0301 no\u0301 don’t 3", '"no\u0308n" `e\u0301` http://e\u0301.b', "a\n```\nb\n```\nc"]
)
def test_two_spellings_of_one_text_are_one_text(name, text):
    for other in (unicodedata.normalize("NFC", text), text.replace("\n", "\r\n")):
        assert INVARIANTS[name](text) == INVARIANTS[name](other)
    if name in ("negations", "words"):
        assert INVARIANTS[name](text.replace("’", "'")) == INVARIANTS[name](text)


def test_a_composed_letter_is_no_end_of_a_word():
    assert INVARIANTS["negations"]("no\u0301") == 0
    assert INVARIANTS["words"]("e\u0301te\u0301") == ("\u00e9t\u00e9",)


@given(SHORT)
def test_every_view_can_see_every_text(text):
    assert broken(text, text, INVARIANTS) == ()
    assert all(hash(view(text)) == hash(view(text)) for view in INVARIANTS.values())


@given(SHORT, SHORT)
def test_edit_ratio_is_edits_over_the_longer_text(before, after):
    expected = distance(before, after) / max(len(before), len(after), 1)
    assert edit_ratio(before, after) == pytest.approx(expected, abs=1e-12)
    assert edit_ratio(after, before) == edit_ratio(before, after)


def test_edit_ratio_of_known_texts():
    assert edit_ratio("", "") == 0.0
    assert edit_ratio("", "ab") == 1.0
    assert edit_ratio("abcd", "abXd") == 0.25
    assert edit_ratio("a\ud83db", "ab") == pytest.approx(1 / 3)
