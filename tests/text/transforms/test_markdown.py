"""Markdown and lists taken away or put in: by hand, and on texts made of marks."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.text.transforms import TRANSFORMS

NAMES = ["strip_markdown", "unbold", "unhead", "bullets_to_sentences", "sentences_to_bullets"]
FRAGMENTS = [
    *(
        "*",
        "**",
        "***",
        "# ",
        "### ",
        "- ",
        "+ ",
        "• ",
        "1. ",
        "12) ",
        "> ",
        "|",
        "---",
        "===",
        "_",
        "`",
        "```",
        '"',
        "“",
        "”",
    ),
    *(
        "'",
        "’",
        "\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "\r",
        "\u2028",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "$",
        "\\",
        ".",
        ",",
        ";",
        ":",
    ),
    *("www", "http", "://", "http://a.b", "a", "b c", "not", "n't", "Ab.", "Cd! ", "Is it? ", "7", "٣", "\ud800"),
]
MARKED = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


def change(name: str, reply: str) -> str | None:
    return TRANSFORMS.get(name).apply("", reply, "item", 0).text


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("unbold", "It **is so**, *very* and ***both***.", "It is so, very and both."),
        ("unbold", "**Use `a**b` here**: it (**works**).", "Use `a**b` here: it (works)."),
        ("unbold", "**a *b* c** and **a **b** c**", "a b c and a b c"),
        ("unbold", "*a\nb*", None),
        ("unbold", "**see http://a.b/c** now", None),
        ("unbold", "2 * 3 * 4, 2**3**4, f(*a, *b), a*b*c", None),
        ("unbold", '"a **b** c" and `*a*` and http://a.b/*c* and\n| **a** |\n```\n*a*\n```', None),
        ("unbold", "**Ada**'s __name__ and _both_", None),
        ("unbold", "**www**.a and *http*://a", None),
        ("unbold", "**Note**\n\nint main() {", None),
        ("unhead", "# One\n\n## Two #1\nText # x\n#3 is\n####### x", "One\n\nTwo #1\nText # x\n#3 is\n####### x"),
        ("unhead", "# # One\n\nTwo\n===\nText", "One\n\nTwo\nText"),
        ("unhead", "```\n# a\n```\n    # b\n\n===\n", None),
        ("unhead", "# a\nimport os", None),
        ("unhead", "# a\n  x = y;", None),
        ("strip_markdown", "# A\n\n- **b**\n  - c\n\n1. *d*\n---\n> e", "A\n\nb\n  c\n\n1. d\n\ne"),
        ("strip_markdown", "**# a**", "a"),
        ("strip_markdown", "- only one [link](http://a.b)", None),
        ("unhead", "```\n# a", None),
        ("strip_markdown", "***", None),
        ("strip_markdown", "  12\n+ 3\n+ 4", None),
        ("unhead", "# a\nprint(b)", None),
        ("bullets_to_sentences", "Do:\n- one\n- two!\n- three;\n\nEnd.", "Do:\none. two! three.\n\nEnd."),
        ("bullets_to_sentences", "1. **A**:\n   - b,\n     or so\n\n2) see http://c.d\n3. e", "(1) **A**: b, or so. (2) see http://c.d (3) e"),
        ("bullets_to_sentences", "- Do it. \U0001f914\n- Say so \U0001f4ca\n- No! \u2728 \u2764\ufe0f\n- e", "Do it. \U0001f914 Say so \U0001f4ca. No! \u2728 \u2764\ufe0f e"),
        ("bullets_to_sentences", "- one", None),
        ("bullets_to_sentences", "- a\n- b:\n  ```\n  c\n  ```\n", None),
        ("bullets_to_sentences", "- one\ntext\n- two", None),
        ("bullets_to_sentences", '- 5" wide\n- 6" high', None),
        ("bullets_to_sentences", "- a:\n  ```\n  b\n  ```\n- c\n", None),
        ("bullets_to_sentences", "- a\n- b\n\n- c\n\nd\n\n* e\n* f\n", "a. b. c.\n\nd\n\ne. f.\n"),
        ("bullets_to_sentences", "- (a.)\n- **b:**\n- `c`\n- d", "(a.) **b:** `c`. d"),
        ("sentences_to_bullets", "It is. So is  it! Is it? (It is.)", "- It is.\n- So is  it!\n- Is it? (It is.)"),
        ("sentences_to_bullets", "It is (is it). So is it!  Is  it?", "- It is (is it).\n- So is it!\n- Is  it?"),
        ("sentences_to_bullets", "It is. So it is.", None),
        ("sentences_to_bullets", "1. It is. So it is. It is. It is.", None),
        ("sentences_to_bullets", "A\n\nIt is. So. It is.\nB", "A\n\n- It is.\n- So.\n- It is.\nB"),
        ("sentences_to_bullets", "Dr. Who met J. Bach in 5. See e.g. That.", None),
        ("sentences_to_bullets", "It (is. So) is. It is. So.", None),
        ("sentences_to_bullets", "It is. **So it is. It is.** So.", None),
        ("sentences_to_bullets", "- It is. So it is. It is.", None),
        ("sentences_to_bullets", "It is. So it is. Do this:", None),
        ("sentences_to_bullets", 'He said "It is. So it is. It is." to me.', None),
    ],
)  # fmt: skip
def test_transforms_by_hand(name, reply, expected):
    assert change(name, reply) == expected


@settings(max_examples=300, deadline=None)
@given(reply=MARKED)
def test_marks_go_and_lists_move_but_no_other_character_does(reply):
    def others(text: str) -> str:
        return re.sub(r"[\s*#=>_+•.,;()-]", "", text)

    for name in NAMES:
        changed = TRANSFORMS.get(name).function("", reply, np.random.default_rng(0))
        assert changed is None or others(changed) == others(reply)


def test_sentences_become_the_bullets_they_come_back_from():
    reply = "It is so. So is it! Is it?"
    assert change("bullets_to_sentences", change("sentences_to_bullets", reply)) == reply


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        *("*" * 20000, "`" * 20000, "# " * 10000, "- " * 10000, "\n" * 20000, " " * 20000 + "x", "*a " * 6000, "a* " * 6000),
        *("**(" * 3000 + "a" + ")**" * 3000, "# **" * 3000 + "a" + "**" * 3000, "- a\n" * 5000, "1. a\n" * 4000),
        *("Ab cd. " * 3000, '"a" ' * 5000, "=" * 20000 + "x", ";" * 20000 + "x", "{" * 20000 + "x", "www." * 5000),
    ],
    ids=lambda text: text[:4],
)  # fmt: skip
def test_long_texts_of_marks_take_no_time(name, text):
    start = time.perf_counter()
    TRANSFORMS.get(name).function("", text, np.random.default_rng(0))
    assert time.perf_counter() - start < 2
