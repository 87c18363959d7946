"""Whether a rewrite is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.llm.checks import FLOOR, dissimilar, joined, misjudged, problems
from harness.llm.kinds import kinds

KINDS = {kind.name: kind for kind in kinds("paraphrase,style:formal,style:short")}
PARAPHRASE, FORMAL = KINDS["paraphrase"], KINDS["style:formal:up"]

PLAIN = "Bake it for 30 minutes, see https://a.org/x and then run `rm x` and do not open it."
WRONG = {
    "identical": PLAIN,
    "identical, spaces apart": PLAIN.replace(" 30", "\n  30"),
    "length, short": "Bake 30 minutes https://a.org/x `rm x` do not.",
    "length, long": PLAIN + " It is really good, and so warm, that I must say it again.",
    "digits": PLAIN.replace("30", "thirty"),
    "digits, others": PLAIN.replace("30", "31"),
    "urls": PLAIN.replace("a.org/x", "b.org/x"),
    "urls, one missing": PLAIN.replace("https://a.org/x and", "that address and"),
    "urls, its last part": PLAIN.replace("a.org/x", "a.org/"),
    "code": PLAIN.replace("rm x", "rm y"),
    "code, its marks": PLAIN.replace("`", "'"),
    "negations": PLAIN.replace("do not open", "open up"),
    "escapes": PLAIN.replace("and then", "\\uabcdthen"),
    "escapes, a line end": PLAIN.replace("and then", "\\n Then"),
    "refused": "I'm sorry, but I cannot help for 30 minutes with https://a.org/x and `rm x`.",
    "empty": " \n",
}


@pytest.mark.parametrize("name", list(WRONG))
def test_each_thing_that_is_wrong_is_named_alone(name):
    assert problems(PARAPHRASE, PLAIN, WRONG[name]) == (name.partition(",")[0],)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLAIN, "It bakes for 30 minutes; see https://a.org/x and then run `rm x`, and don't open it."),
        ("See https://a.org/x, www.b.org (https://c.org).", "See (https://a.org/x), www.b.org; https://c.org"),
        ("I cannot help with that.", "I can't assist you with it."),
        ("Say \\u0041 or \\n here.", "Here, say \\u0041 or \\n."),
        ("$\\nu$ is a frequency.", "A frequency is $\\nu$, $\\nu$."),
        ("做面包要半小时。", "烤面包需要半小时。"),
    ],
)
def test_a_good_rewrite_has_no_problem(before, after):
    assert problems(PARAPHRASE, before, after) == ()


def test_a_style_may_change_negations_or_nothing_and_no_more_that_a_paraphrase_may_not():
    for name, after in WRONG.items():
        check = name.partition(",")[0]
        expected = () if check in ("negations", "identical") else (check,)
        assert problems(FORMAL, PLAIN, after) == expected


@pytest.mark.parametrize(
    ("kind", "letters", "fits"),
    [
        ("paraphrase", 69, False), ("paraphrase", 70, True), ("paraphrase", 140, True), ("paraphrase", 141, False),
        ("style:short:up", 39, False), ("style:short:up", 40, True), ("style:short:up", 90, True),
        ("style:short:up", 91, False), ("style:short:down", 109, False), ("style:short:down", 111, True),
        ("style:short:down", 250, True), ("style:short:down", 251, False),
        ("style:short:up:down", 100, False), ("style:short:up:down", 150, True), ("style:short:down:up", 66, True),
    ],
)  # fmt: skip
def test_the_range_of_lengths_is_the_kinds_own_and_takes_its_ends(kind, letters, fits):
    assert ("length" in problems(KINDS[kind], "a" * 100, "b" * letters)) is not fits


def test_white_space_around_a_text_is_no_length():
    assert problems(PARAPHRASE, "a" * 10 + " " * 90, "b" * 10) == ()
    assert problems(PARAPHRASE, "a" * 10, "\n" * 90 + "b" * 10) == ()


@given(st.text())
def test_any_text_is_identical_to_itself_or_empty_and_nothing_else(text):
    assert problems(PARAPHRASE, text, text) == (("identical",) if text.strip() else ("empty",))


def test_floor_and_verdicts():
    assert FLOOR == 0.7
    assert [dissimilar(c) for c in (None, 0.7, 0.699, -1.0)] == [(), (), ("similarity",), ("similarity",)]
    assert [misjudged(v) for v in (None, "yes", "no", "unclear")] == [(), (), ("meaning",), ("meaning",)]
    assert joined(("a", "b"), (), ("b", "c", "a")) == ("a", "b", "c")
