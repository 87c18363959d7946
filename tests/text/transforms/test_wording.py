"""Contractions and small numbers, on hand-made replies and on real ones."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from harness.datasets import load
from harness.text.feature import APOSTROPHES
from harness.text.transforms import TRANSFORMS


def apply(name: str, reply: str) -> str | None:
    return TRANSFORMS.get(name).apply("prompt", reply, "item", 0).text


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I'm sure it’s fine.", "I am sure it is fine."),
        ("IT'S BIG. I'M BIG.", "IT IS BIG. I AM BIG."),
        ("The dog's and Ada's and everyone's", None),
        ("He said \"it's\" in `it's` at http://a.b/it's", None),
        ("I'd haven't", "I would have not"),
        ("we'd've y'all ma'am o'clock 'tis ain't rock'n'roll", None),
        ("Nothing to see", None),
    ],
)
def test_contractions_are_said_in_full(reply, expected):
    assert apply("expand_contractions", reply) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I do not know. He is not here. I cannot go.", "I don't know. He isn't here. I can't go."),
        ("Will not it? I will not. You would not.", "Won't it? I won't. You wouldn't."),
        ("I DO NOT know; do NOT go.", None),
        ("He is not only so. It is not only so.", "He's not only so. It's not only so."),
        ("The dog is not only so.", None),
        ("It is here, and you are there.", "It's here, and you're there."),
        ("I am here; they have been there.", "I'm here; they've been there."),
        ("I would go. We will stay.", "I'd go. We'll stay."),
        ("What is the name? What is it?", "What's the name? What is it?"),
        ("He is robbed. He is here.", "He is robbed. He's here."),
        ("You know how old it is today.", None),
        ("Yes, it is. So it is and you are too. I will, I am.", None),
        ("They have a dog, I have to go.", None),
        ("That is fine; the one that is big.", "That's fine; the one that is big."),
        ("Say \"it is so\", `I am here`, http://a.b/cannot", None),
    ],
)  # fmt: skip
def test_words_are_contracted_where_a_clause_begins(reply, expected):
    assert apply("contract", reply) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I have 3 dogs and 0 cats.", "I have three dogs and zero cats."),
        ("about 5 minutes. Then 15 more, or 5 more", "about five minutes. Then 15 more, or 5 more"),
        ("take 1 cup\nand 2 1/2 cups", "take one cup\nand 2 1/2 cups"),
        ("at 5 pm for 3 kg of version 2 on may 4", "at 5 pm for 3 kg of version 2 on may 4"),
        ("1. Buy a dog\n2. Buy a cat", None),
        ("Step 3 is at 5:30, or 3.5 of 1,000 on Windows 7 in May 8", None),
        ("see http://a.b/ 3 and `the 3 dogs`", None),
        ("a \"big 3 dogs\" and 3 cats", "a \"big 3 dogs\" and three cats"),
        ("the 3rd of 4x4, 5\ufe0f\u20e3 and \u0663 dogs", None),
        ("2 plus 2 is so", None),
    ],
)  # fmt: skip
def test_small_numbers_in_words(reply, expected):
    assert apply("digits_to_words", reply) == (None if expected == reply else expected)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("I have three dogs and nine cats.", "I have 3 dogs and 9 cats."),
        ("from two to three dogs", "from 2 to 3 dogs"),
        ("from two to twenty dogs. I see two cats", "from two to twenty dogs. I see 2 cats"),
        ("the one dog, one or two cats, a day or two later", None),
        ("about two hundred, two thirds, twenty-two dogs, a two-thirds of two and a half", None),
        ("Two dogs", None),
        ("the two of us, you two are", None),
        ("cut in two with it", None),
        ('"with two dogs" and `with two dogs`', None),
    ],
)
def test_small_numbers_as_digits(reply, expected):
    assert apply("words_to_digits", reply) == expected


@pytest.mark.parametrize(
    "reply",
    [
        "at 5 pm",
        "with 3 kg of it",
        "on may 4 we go",
        "the version 2 is",
        "go to step 3 and",
        "see omega 3 in it",
        "is x 3 or",
    ],
)
def test_a_digit_that_names_or_measures_stays(reply):
    assert apply("digits_to_words", reply) is None


@pytest.mark.parametrize(
    "reply",
    ["about two hundred dogs", "with two thirds done", "with two of us", "tell the two in it", "a day or two later", "one two three go", "cut in two with it"],
)  # fmt: skip
def test_a_number_word_that_is_part_of_more_stays(reply):
    assert apply("words_to_digits", reply) is None


def test_numbers_of_a_sentence_come_back():
    reply = "we have two dogs, three cats and nine birds here."
    assert apply("digits_to_words", apply("words_to_digits", reply)) == reply


# --- real replies ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replies(shared: Path) -> list[str]:
    items = random.Random(0).sample(load(("hh-rlhf",), shared / "data").items, 400)
    return [reply for item in items for reply in item.chosen + item.rejected]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("expand_contractions", 0.4),
        ("contract", 0.1),
        ("digits_to_words", 0.005),
        ("words_to_digits", 0.02),
        ("british", 0.05),
        ("american", 0.001),
        ("punctuation_spaces", 0.9),
    ],
)
def test_real_replies_are_rewritten_and_every_rewrite_is_valid(name, share, replies):
    made = [TRANSFORMS.get(name).apply("", reply, str(at), 0) for at, reply in enumerate(replies)]
    assert sum(one.text is not None for one in made) >= share * len(replies)
    assert [one.problems for one in made if one.problems] == []


def test_few_contractions_of_real_replies_are_left(replies):
    common = re.compile(r"\b(?:I'm|it's|don't|can't|won't|you're|they're|isn't|doesn't|I'll|I've)(?!\w)", re.IGNORECASE)
    before = [reply.translate(APOSTROPHES) for reply in replies]
    after = [apply("expand_contractions", reply) or reply for reply in before]
    assert sum(len(common.findall(reply)) for reply in after) < 0.1 * sum(
        len(common.findall(reply)) for reply in before
    )
