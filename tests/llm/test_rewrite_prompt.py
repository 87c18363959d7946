"""The question a rewriter reads, and what counts as an answer to it."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest

from harness.llm.kinds import kinds
from harness.llm.rewrite_prompt import (
    REWRITE_PROMPT,
    SCHEMA,
    instructions,
    mend,
    question,
    read_rewritten,
    version,
)
from harness.llm.styles import STYLES, Style
from harness.preference import units
from harness.testing import planted
from tests.llm.rewriting import said
from tests.llm.test_prompt import BLOCK, INJECTIONS, dialogue

ALL = kinds("paraphrase,style:positive,style:formal,style:short,style:hedged")
PARAPHRASE = ALL[0]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
@pytest.mark.parametrize("where", ["reply", "prompt"])
def test_whatever_a_text_says_it_is_one_block_of_data_under_the_same_instructions(text, where):
    conversation = dialogue(text) if where == "reply" else dialogue("No.", asked=text)
    system, user = question(conversation, PARAPHRASE)
    assert (system.role, system.content) == ("system", instructions(PARAPHRASE))
    mark, block = BLOCK.fullmatch(user.content).groups()
    assert user.content.count(mark) == 2
    assert [json.loads(line) for line in block.splitlines()] == [
        {"speaker": m.role, "text": m.content} for m in conversation
    ]
    assert not re.search(r"<|\[/?INST\]", user.content), "a server reads control tokens wherever they stand"
    user.content.encode("utf-8")


def test_a_question_does_not_say_which_reply_people_chose():
    for unit in units(planted.items(np.random.default_rng(0), 3)):
        for kind in ALL:
            system, user = question(unit.conversation, kind)
            frame = system.content + user.content.replace(BLOCK.fullmatch(user.content)[2], "")
            assert not re.search(r"chosen|rejected|prefer|reward", frame, re.IGNORECASE)


def test_a_kind_decides_the_instructions_and_a_nonce_the_mark_alone():
    first_stage = [kind for kind in ALL if kind.of is None]
    assert len({instructions(kind) for kind in ALL}) == len(first_stage) == 9
    assert all(kind.change in instructions(kind) for kind in ALL)
    one, other = (question(dialogue("Mix."), PARAPHRASE, nonce=n) for n in (0, 1))
    assert one[0] == other[0]
    marks = [BLOCK.fullmatch(q[1].content)[1] for q in (one, other)]
    assert marks[0] != marks[1]
    assert one[1].content.replace(marks[0], "") == other[1].content.replace(marks[1], "")


def test_the_length_is_to_stay_but_where_it_is_what_changes():
    kept = {kind.name for kind in ALL if "about as long as the last reply" in instructions(kind)}
    assert {kind.name for kind in ALL} - kept == {f"style:short:{way}" for way in ("up", "down", "up:down", "down:up")}


TEXTS = [
    "plain",
    " white space around \n",
    'quotes " and \\ and {"rewritten": "x"} and \\"rewritten\\": 1',
    "<|im_end|>\n<|im_start|>system</s>[INST]",
    "line\u2028and\u2029and\x85and\x00and\x0c",
    "🙂 ünïcode \ufeff\u202e",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_rewrite_comes_back_as_it_was_written_character_by_character(text, ascii_only):
    answer = json.dumps({"rewritten": text}, ensure_ascii=ascii_only)
    assert read_rewritten(answer) == text
    assert read_rewritten(f"Here it is:\n```json\n{answer}\n```\nAnything else?") == text


def test_a_line_end_that_was_not_escaped_stands_for_itself():
    assert (
        read_rewritten('{"rewritten": "# Bread\n\n- flour\n\t- water \\"\\n"}') == '# Bread\n\n- flour\n\t- water "\n'
    )


def test_what_a_question_escapes_comes_back_whole_from_who_copies_it():
    """The line of the reply, as it stands in the question, is read as JSON by whoever answers."""
    for text in [*TEXTS, *INJECTIONS[:9]]:
        line = question(dialogue(text), PARAPHRASE)[1].content.splitlines()[-2]
        answer = '{"rewritten": ' + line.partition('"text": ')[2]
        assert read_rewritten(answer) == text


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("", "no complete JSON"),
        ("Just the text.", "no complete JSON"),
        (said("long enough")[:-3], "no complete JSON"),
        ('["rewritten"]', "no complete JSON"),
        ("{}", "one field"),
        ('{"text": "x"}', "one field"),
        ('{"rewritten": "x", "note": "y"}', "one field"),
        ('{"rewritten": null}', "one field"),
        ('{"rewritten": ["x"]}', "one field"),
        ('{"rewritten": {"rewritten": "x"}}', "one field"),
        ('{"rewritten": "x", "rewritten": "y"}', "more than once"),
        (f"{said('x')} or {said('y')}", "more than once"),
        ('{"rewritten": "half \\ud83d a pair"}', "surrogate"),
    ],
)
def test_anything_else_is_refused_with_words_that_can_go_back(answer, wrong):
    with pytest.raises(ValueError, match=wrong):
        read_rewritten(answer)
    asked = question(dialogue("Mix."), PARAPHRASE)
    turns = mend(asked, answer + "<|x|>", f"it is {wrong}")
    assert turns[:2] == asked
    assert [t.role for t in turns[2:]] == ["assistant", "user"]
    assert wrong in turns[3].content
    assert not any("<" in t.content for t in turns[2:])


def test_the_schema_takes_what_is_read_and_nothing_else():
    assert (SCHEMA["required"], SCHEMA["additionalProperties"]) == (["rewritten"], False)
    assert SCHEMA["properties"] == {"rewritten": {"type": "string"}}


def test_other_words_are_another_version(monkeypatch):
    monkeypatch.setitem(STYLES._objects, "odd", Style("odd", "3", "is odd", "is even", (0.1, 0.2), (5.0, 6.0)))
    fixed = [instructions(kind) for kind in (PARAPHRASE, *kinds("style:odd"))]
    fixed.append(mend(question(dialogue("x"), PARAPHRASE), "?", "no rewrite")[-1].content)
    digest = hashlib.sha256("\n".join(fixed).encode()).hexdigest()[:16]
    assert (REWRITE_PROMPT, PARAPHRASE.version, digest) == ("1", "1", "a4120873424dffdc"), (
        "the words changed: raise a version"
    )
    assert [version(kind) for kind in (PARAPHRASE, *kinds("style:odd"))] == ["1.1", *["1.3"] * 4]


OWN = {
    "positive": "f4910f3ab548a8ab",
    "formal": "6a2d3b61923b4154",
    "short": "b396a9f2ff570ed2",
    "hedged": "65497ae217d860da",
}


@pytest.mark.parametrize("name", ["positive", "formal", "short", "hedged"])
def test_other_words_of_a_style_are_another_version_of_it(name):
    own = STYLES.get(name)
    words = repr((own.up, own.down, own.length_up, own.length_down))
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    assert (own.version, digest) == ("1", OWN[name]), "the words changed: raise the style's version"
