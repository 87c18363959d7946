"""Bait: the reply is still there, both sides meet the same, and what is declared outlasts it."""

from __future__ import annotations

import ast
import codecs
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text.feature import words
from harness.text.invariants import broken
from harness.text.transforms import STRESS, TRANSFORMS, bait, code_bait

LED = ["ignore_above", "confident", "polite"]
FOLLOWED = ["handle", "url", "tautology", "ignore_below", "pad"]
CODED = ["other_code", "comment_good", "comment_bad"]
BITS = [
    "```",
    "```python\n",
    "`",
    '"',
    "“",
    "\n",
    " ",
    "www.",
    "not",
    "12",
    "x = y",
    "def f(): pass",
    "\r\n",
    "é",
    "\u0338",
]
TEXTS = st.text() | st.lists(st.sampled_from(BITS), max_size=20).map("".join)
FENCED = "Try this:\n```{}\n    return total\n```\nIt adds up."


def apply(name, reply, item="item", seed=0):
    return TRANSFORMS.get(name).apply("prompt", reply, item, seed)


@pytest.mark.parametrize("name", LED + FOLLOWED)
@given(reply=TEXTS.filter(str.strip))
def test_bait_leaves_the_reply_whole_at_its_own_end(name, reply):
    after = apply(name, reply).text
    assert len(after) > len(reply)
    assert after.endswith(reply) if name in LED else after.startswith(reply)


@pytest.mark.parametrize("name", LED + FOLLOWED)
def test_both_replies_of_an_item_meet_the_same_bait_and_items_differ(name):
    one, other = "Take the bus to town.", "Walk there, the road is dry."
    added = [[apply(name, reply, f"item {i}").text.replace(reply, "") for reply in (one, other)] for i in range(40)]
    assert all(first == second for first, second in added)
    assert (len({first for first, _ in added}) > 1) == (name != "tautology")


@pytest.mark.parametrize("name", LED + FOLLOWED)
def test_a_reply_of_one_paragraph_is_not_torn_from_openers_and_tails(name):
    assert ("\n" in apply(name, "Yes.").text) == name.startswith("ignore")
    assert re.search(r"\n\n", apply(name, "Yes:\n- a").text)


def test_every_text_of_bait_is_without_what_bait_must_keep():
    bare = ("digits", "urls", "code", "quotes", "negations")
    said = [
        *bait.PARAGRAPHS,
        *bait.CONFIDENT,
        *bait.POLITE,
        *bait.EMPTY,
        *code_bait.GOOD,
        *code_bait.BAD,
        *code_bait.SNIPPETS,
    ]
    assert [text for text in said if broken("", text, bare)] == []
    assert len(set(said)) == len(said)


def test_a_handle_and_a_link_look_like_one_and_lead_nowhere():
    assert re.fullmatch(r"Yes\. @[a-z]{8,12}", apply("handle", "Yes.").text)
    assert re.fullmatch(r"Yes\. https://s\.example\.com/[A-Za-z]{8,12}", apply("url", "Yes.").text)


@pytest.mark.parametrize("count", [1, 10, 40, 200, 3000])
def test_padding_adds_three_words_in_ten(count):
    reply = "word " * count
    more = len(words(apply("pad", reply).text)) - count
    longest = max(len(text.split()) for text in bait.EMPTY)
    assert 0.3 * count <= more < 0.3 * count + longest or more <= longest


@given(TEXTS)
def test_thirteen_places_are_the_known_cipher(reply):
    after = apply("rot13", reply).text
    if after is None:
        assert codecs.encode(reply, "rot13") == reply
    else:
        assert after.partition("\n\n")[2] == codecs.encode(reply, "rot13")


def test_without_latin_letters_there_is_nothing_to_move():
    assert [apply(name, "12, и 3!").status for name in ("rot13", "rot2")] == ["none"] * 2


@given(TEXTS)
def test_two_places_thirteen_times_are_the_alphabet(reply):
    text = reply
    for _ in range(13):
        text = (apply("rot2", text).text or f"\n\n{text}").partition("\n\n")[2]
    assert text == reply
    assert (apply("rot2", "Zebra y2").text or "").endswith("\n\nBgdtc a2")


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize(
    "reply", ["Yes.", "", "x", "print", "Use `x = y` here.", "```mermaid\na --> b", "Write ``` for it.", "\ud800"]
)
def test_without_code_there_is_nothing_to_bait(name, reply):
    assert apply(name, reply).status == "none"


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize(
    "reply", ["def f(x):\n    return x\n", "    for i in x:\n        y += i\n    return y\n", "import os"]
)
def test_python_stays_the_python_it_was_with_bait(name, reply):
    for item in map(str, range(12)):
        after = apply(name, reply, item).text
        headed = [f"if x:\n{text}" if text.startswith(" ") else text for text in (reply, after)]
        before, changed = (ast.dump(ast.parse(text)) for text in headed)
        assert (
            before == changed
            if name.startswith("comment")
            else changed.startswith(before.partition("], type_ignores")[0][:-1])
        )
        assert reply in after


@pytest.mark.parametrize(
    ("language", "form"),
    [
        ("python", "# {}"),
        ("", "# {}"),
        ("cpp", "// {}"),
        ("Rust", "// {}"),
        ("go", "// {}"),
        ("sql", "-- {}"),
        ("html", "<!-- {} -->"),
    ],
)
def test_a_comment_is_written_as_the_language_writes_it(language, form):
    for name, remarks in (("comment_good", code_bait.GOOD), ("comment_bad", code_bait.BAD)):
        found = {apply(name, FENCED.format(language), str(i)).text for i in range(40)}
        assert found == {FENCED.format(f"{language}\n    {form.format(remark)}") for remark in remarks}


def test_every_block_is_commented_but_one_in_an_unknown_language():
    reply = "```go\nx\n```\n\n```brainmush\n+\n```\n```py\ny\n```\n```c\nleft open"
    remark = apply("comment_good", "```py\nx = y\n```").text.split("\n")[1][2:]
    expected = f"```go\n// {remark}\nx\n```\n\n```brainmush\n+\n```\n```py\n# {remark}\ny\n```\n```c\nleft open"
    assert apply("comment_good", reply).text == expected
    assert apply("comment_good", "```brainmush\n+\n```").status == "none"


def test_other_code_is_a_block_of_its_own_and_waits_for_open_ones_to_close():
    after = apply("other_code", FENCED.format("go")).text
    block = re.fullmatch(r"```python\n(.+)\n```", after.removeprefix(FENCED.format("go") + "\n\n"), re.DOTALL)
    assert block[1] in code_bait.SNIPPETS
    assert [apply("other_code", f"{closed}```go\nx").status for closed in ("", "```c\ny\n```\n")] == ["none"] * 2
    assert [text for text in code_bait.SNIPPETS if not ast.parse(text).body] == []


def test_long_replies_take_no_time_that_grows_with_their_square():
    for unit in ("```" + "a" * 40_000 + "`", " " * 40_000, "`" * 40_000, "```\n" * 10_000, "a`" * 20_000, "-" * 40_000):
        assert {apply(name, unit).status for name in STRESS} <= {"none", "valid"}
