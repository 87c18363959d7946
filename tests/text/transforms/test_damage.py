"""Noise: how much is damaged, what never is, and that more noise holds all of the less."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from harness.text.invariants import broken
from harness.text.transforms import TRANSFORMS, damage

FAMILIES = ["swap", "substitute", "insert", "delete", "homoglyphs", "typos", "drop_words"]
REPLACING = ["substitute", "homoglyphs", "typos"]
BITS = [
    "www",
    ".",
    "http",
    "s",
    "://",
    "x",
    "wwe",
    "`",
    "```",
    "\n",
    " ",
    "1",
    "٣",
    "²",
    "’",
    "-",
    '"',
    "É",
    "İ",
    "K",
    ",",
    "日",
]
TEXTS = st.text() | st.lists(st.sampled_from(BITS), max_size=25).map("".join)
PROSE = "Moving the three wooden boxes took her quite a while, yet nobody came to help. " * 3


def damaged(family, text, rate, seed=0):
    return getattr(damage, family)(text, np.random.default_rng(seed), rate)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=TEXTS, seed=st.integers(0, 99), rate=st.sampled_from([0.05, 0.5, 1.0]))
def test_digits_addresses_and_code_outlast_any_rate(family, text, seed, rate):
    assert broken(text, damaged(family, text, rate, seed), ("digits", "urls", "code")) == ()


@pytest.mark.parametrize("family", FAMILIES)
@given(text=TEXTS, seed=st.integers(0, 99))
def test_no_rate_is_no_damage(family, text, seed):
    assert damaged(family, text, 0.0, seed) == text


def share_damaged(family, before, after):
    if family == "drop_words":
        return 1 - len(after.split()) / len(before.split())
    letters = sum(map(str.isalpha, before))
    changed = sum(a != b for a, b in zip(before, after, strict=False))
    return (abs(len(after) - len(before)) if family in ("insert", "delete") else changed) / letters


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_damage_is_the_rate(family, rate):
    shares = [share_damaged(family, PROSE, damaged(family, PROSE, rate, seed)) for seed in range(1500)]
    error = np.std(shares, ddof=1) / len(shares) ** 0.5
    assert abs(np.mean(shares) - rate) < 3.5 * error


@pytest.mark.parametrize("family", ["substitute", "homoglyphs", "typos", "swap"])
@given(text=TEXTS | st.just(PROSE), seed=st.integers(0, 99))
def test_what_is_damaged_at_one_rate_is_damaged_alike_at_a_higher_one(family, text, seed):
    low, high = damaged(family, text, 0.1, seed), damaged(family, text, 0.4, seed)
    assert len(low) == len(high) == len(text)
    assert all(after in (before, higher) for before, after, higher in zip(text, low, high, strict=True))


@pytest.mark.parametrize("family", ["delete", "drop_words"])
@given(seed=st.integers(0, 99))
def test_what_is_lost_at_one_rate_is_lost_at_a_higher_one(family, seed):
    low, high = damaged(family, PROSE, 0.05, seed), damaged(family, PROSE, 0.4, seed)
    rest = iter(low.replace(" ", ""))
    assert all(letter in rest for letter in high.replace(" ", ""))


@given(seed=st.integers(0, 99))
def test_what_gets_in_at_one_rate_gets_in_at_a_higher_one(seed):
    rest = iter(damaged("insert", PROSE, 0.4, seed))
    assert all(letter in rest for letter in damaged("insert", PROSE, 0.05, seed))


@pytest.mark.parametrize("family", REPLACING)
@given(text=TEXTS)
def test_a_replaced_letter_is_another_in_the_same_case(family, text):
    after = damaged(family, text, 1.0)
    for old, new in zip(text, after, strict=True):
        assert old == new or (new.isalpha() and old.isupper() == new.isupper())


def test_at_the_full_rate_every_letter_with_a_counterpart_is_replaced():
    assert damaged("homoglyphs", "pacey", 1.0) == "расеу"
    assert all(a != b for a, b in zip("quartz", damaged("substitute", "quartz", 1.0), strict=True))
    assert damaged("delete", "Lost, all of it! 12", 1.0) == ",   ! 12"


def test_words_that_touch_a_digit_or_a_likely_address_stay_whole():
    assert (
        damaged("delete", "3rd mp3 x2y xhttp://b.c end.next htp://d ok", 1.0)
        == "3rd mp3 x2y xhttp://b.c end.next htp://d "
    )
    assert damaged("delete", "x² y½", 1.0) == "² ½"


def test_look_alikes_are_letters_of_another_alphabet_one_for_one():
    latin, other = zip(*((chr(a), chr(b)) for a, b in damage.HOMOGLYPHS.items()), strict=True)
    assert all(unicodedata.name(letter).startswith("LATIN") for letter in latin)
    assert all(unicodedata.name(letter).startswith(("CYRILLIC", "GREEK")) for letter in other)
    assert len(set(other)) == len(other)
    assert all(a.isupper() == b.isupper() for a, b in zip(latin, other, strict=True))


def test_neighbours_on_the_keyboard_are_mutual_and_near():
    near = damage.NEAR
    assert set(near["g"]) == set("fhtyvb")
    assert set(near["q"]) == set("wa")
    assert set(near["p"]) == set("ol")
    assert all(one in near[other] for one in near for other in near[one])


@given(text=TEXTS, seed=st.integers(0, 99))
def test_swapping_keeps_the_letters_of_every_word(text, seed):
    after = damaged("swap", text, 1.0, seed)
    assert sorted(after) == sorted(text)
    assert [c.isspace() for c in after] == [c.isspace() for c in text]
    assert damaged("swap", "aaa a I'm", 1.0, seed) == "aaa a I'm"


def test_every_place_of_a_word_can_be_swapped():
    seen = {damaged("swap", "abcd", 1.0, seed) for seed in range(30)}
    assert seen == {"badc", "acbd"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Keep this word, please.", "Keep word, please."),
        ("Keep this word, please.", "Keep this, please."),
        ("Keep this word, please.", "this word, please."),
        ("a\nwell-known don’t b", "a\ndon’t b"),
        ("see www. then/so", "see www. /so"),
        ("see www. b,c", "see www. ,c"),
        ("(one) two", "() two"),
        ("at the end", "at the"),
    ],
)
def test_a_word_goes_with_one_space(text, left):
    assert left in {damaged("drop_words", text, 0.5, seed) for seed in range(300)}


@pytest.mark.parametrize("name", [f"{family}_{rate}" for family in FAMILIES for rate in (1, 3, 5)])
def test_short_replies_are_mostly_left_whole_and_long_ones_hardly_differ(name):
    short = [TRANSFORMS.get(name).apply("", "Yes.", f"item {i}", 0).status for i in range(50)]
    assert short.count("none") > 25
    long = TRANSFORMS.get(name).apply("", PROSE * 20, "item", 0)
    assert long.status == "valid"
    assert 0 < Levenshtein.normalized_distance(PROSE * 20, long.text) < 0.12
