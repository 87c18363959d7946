"""Counts and marks, against hand-made replies."""

from __future__ import annotations

import math

import pytest

from harness.text import surface


@pytest.mark.parametrize(
    ("measure", "reply", "expected"),
    [
        (surface.log_words, "one two  three", math.log(4)),
        (surface.log_words, "", 0.0),
        (surface.question, "Why not? Because.", 1.0),
        (surface.question, "Because.", 0.0),
        (surface.exclamation, "Stop!", 1.0),
        (surface.exclamation, "Stop.", 0.0),
        (surface.lists, "Do:\n- one\n- two", 1.0),
        (surface.lists, "1. one\n2) two", 1.0),
        (surface.lists, "- one point\nonly", 0.0),
        (surface.lists, "-5 and -6\n-7", 0.0),
        (surface.headings, "## Cake\nBake it.", 1.0),
        (surface.headings, "Cake\n   ###### Oven", 1.0),
        (surface.headings, "    # code by its indent", 0.0),
        (surface.headings, "#hashtag\nwe are # 1\n####### seven\n#\n", 0.0),
        (surface.headings, "```python\n# a comment\n```\ndone", 0.0),
        (surface.headings, "```python\n# a comment that is cut", 0.0),
        (surface.headings, "```\nx\n```\n# Result\n```\ny\n```", 1.0),
        (surface.bold, "this is **very bold** text", 1.0),
        (surface.bold, "2 ** 3 ** 4", 0.0),
        (surface.code, "```python\nx\n```", 1.0),
        (surface.code, "`x`", 0.0),
        (surface.digits_urls, "in 1999 and 2001, see https://a.b/2024/05", math.log(4)),
        (surface.digits_urls, "none", 0.0),
        (surface.lexical_diversity, "a b a b", 0.5),
        (surface.lexical_diversity, "", 0.0),
    ],
)
def test_a_feature_of_a_known_reply(measure, reply, expected):
    assert measure("", reply) == pytest.approx(expected)


def test_overlap_is_the_share_of_long_words_the_prompt_uses():
    assert surface.overlap("How do I bake POTATOES?", "Bake the potatoes slowly") == pytest.approx(2 / 3)
    assert surface.overlap("so it is", "so it is") == 0.0


def test_diversity_reads_only_the_first_hundred_words():
    varied = " ".join(f"w{i}" for i in range(100))
    assert surface.lexical_diversity("", varied + " w0" * 400) == 1.0
