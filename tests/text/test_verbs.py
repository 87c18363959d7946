"""Forms of verbs: the lists keep out of each other's way."""

from __future__ import annotations

from harness.text.verbs import ADVERBS, ARE_DONE, BASES, HAVE_BEEN, PARTICIPLES, SAME, participle


def test_no_word_tells_two_things():
    assert not BASES & (PARTICIPLES | ARE_DONE | HAVE_BEEN | ADVERBS)
    assert not HAVE_BEEN & ARE_DONE
    assert not ADVERBS & PARTICIPLES
    assert not SAME & BASES


def test_what_goes_with_is_or_has_is_a_participle():
    assert [word for word in sorted(ARE_DONE | HAVE_BEEN) if not participle(word)] == []


def test_participles_by_list_and_by_form():
    assert [word for word in ("gone", "walked", "used", "need", "proceed", "red", "go", "") if participle(word)] == [
        "gone",
        "walked",
        "used",
    ]
