"""Whether rewrites mean what they were made from, by a judge that answers from a script."""

from __future__ import annotations

import hashlib
import json

import pytest

from harness.llm.ask import Reply
from harness.llm.judge import INSTRUCTIONS, JUDGE_PROMPT, SCHEMA, judge, mend, questions, read_verdict
from harness.llm.kinds import kinds
from harness.llm.rewriter import Rewriter, rewrite
from tests.llm.rewriting import Scripted, item, items, reply, reworded, said, turns
from tests.llm.test_prompt import BLOCK, INJECTIONS

ITEMS = items(3)
PARAPHRASE = kinds("paraphrase")


def verdict(value: str) -> str:
    return json.dumps({"same": value})


def made(of=ITEMS, answer=None, which=PARAPHRASE):
    return rewrite(of, Rewriter("m", Scripted() if answer is None else Scripted(answer)), which)


def both(there, back):
    """A judge by the order of the texts: the original is the one without the mark of the rewriter."""

    def answer(ask):
        first, second = (turn["text"] for turn in turns(ask.turns[1].content)[-2:])
        assert {first + "!", second + "!"} & {first, second}
        said = there if second == first + "!" else back
        return Reply(ask.id, None, said) if said in ("refused", "unreachable") else verdict(said)

    return Scripted(answer)


@pytest.mark.parametrize(
    ("there", "back", "judged", "problem"),
    [
        ("yes", "yes", "yes", False),
        ("yes", "no", "no", True),
        ("no", "yes", "no", True),
        ("yes", "unclear", "unclear", True),
        ("unclear", "yes", "unclear", True),
        ("unclear", "no", "no", True),
        ("yes", "refused", None, False),
        ("unreachable", "yes", None, False),
        ("unclear", "refused", None, False),
        ("no", "refused", "no", True),
        ("refused", "refused", None, False),
    ],
)
def test_the_meaning_is_kept_where_both_orders_say_yes(there, back, judged, problem):
    found = judge(made(), both(there, back))
    assert {m.row.judged for m in found.made} == {judged}
    assert {m.row.problems for m in found.made} == {("meaning",) if problem else ()}
    assert found.failed == (6 if judged is None else 0)


def test_a_rewrite_of_a_rewrite_is_compared_with_what_it_was_made_of():
    asker = Scripted(lambda ask: verdict("yes"))
    known = made(which=kinds("style:formal"))
    assert len(judge(known, asker).made) == len(known) == 24
    pairs = {tuple(turn["text"] for turn in turns(ask.turns[1].content)[-2:]) for ask in asker.asked}
    expected = {(m.job.reply, m.row.rewritten) for m in known}
    assert pairs == expected | {(b, a) for a, b in expected}
    assert len(asker.asked) == 2 * len(known)


def test_problems_that_were_there_stay_and_what_is_no_other_text_is_not_asked():
    def answer(ask):
        text = reply(ask.turns[1].content)
        if "good reply of number 0" in text:
            return said(text)
        if "good reply of number 1" in text:
            return said(" ")
        if "good reply of number 2" in text:
            return Reply(ask.id, None, "cut")
        return said(text.replace("number", "point 7 or"))

    asker = Scripted(lambda ask: verdict("no"))
    found = judge(made(answer=answer), asker)
    by_reply = {m.job.reply.partition(", ")[0]: m.row for m in found.made}
    assert {by_reply[f"A good reply of number {i}"].judged for i in range(3)} == {None}
    assert by_reply["A good reply of number 0"].problems == ("identical",)
    assert [by_reply[f"A bad reply of number {i}"].problems for i in range(3)] == [("digits", "meaning")] * 3
    assert (len(asker.asked), found.failed) == (6, 0)


def test_an_answer_that_is_no_verdict_goes_back_once_and_counts_as_unknown():
    asker = Scripted(lambda ask: "Yes." if len(ask.turns) == 2 else verdict("yes"))
    assert {m.row.judged for m in judge(made(), asker).made} == {"yes"}
    assert [len(call) for call in asker.calls] == [12, 12]
    found = judge(made(), Scripted(lambda ask: "Yes."))
    assert ({m.row.judged for m in found.made}, found.failed) == ({None}, 6)
    assert {m.row.problems for m in found.made} == {()}


def test_nothing_is_asked_where_nothing_was_rewritten():
    asker = Scripted()
    known = made(answer=lambda ask: Reply(ask.id, None, "refused"))
    assert judge(known, asker).made == known
    assert asker.calls == []


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_whatever_texts_say_they_are_one_block_of_data_under_the_same_instructions(text):
    (known, _) = made([item("a", text, text, "Fine.")], lambda ask: reworded(ask.turns[1].content))
    for ask in questions(known.job, text + " again"):
        system, user = ask.turns
        assert system.content == INSTRUCTIONS
        assert dict(ask.schema) == dict(SCHEMA)
        lines = [json.loads(line) for line in BLOCK.fullmatch(user.content)[2].splitlines()]
        assert [line["speaker"] for line in lines] == ["user", "first reply", "second reply"]
        assert {line["text"] for line in lines} <= {text, "Fine.", text + " again"}
        user.content.encode("utf-8")


@pytest.mark.parametrize("value", ["yes", "no", "unclear"])
def test_a_verdict_is_read_past_prose_and_case(value):
    assert read_verdict(f'So: {{"same": " {value.upper()} "}}.') == value


@pytest.mark.parametrize(
    "answer",
    ["", "yes", '{"same": true}', '{"same": "maybe"}', '{"same": ["yes"]}', '{"other": "yes"}', '{"same": "yes", "why": "x"}',
     '{"same": "yes"} or {"same": "no"}', '{"same": "yes", "same": "no"}', "{}"],
)  # fmt: skip
def test_anything_else_is_no_verdict(answer):
    with pytest.raises(ValueError, match="JSON object"):
        read_verdict(answer)


def test_other_words_are_another_version():
    asked = INSTRUCTIONS + mend((), "?", "no verdict")[-1].content
    assert (JUDGE_PROMPT, hashlib.sha256(asked.encode()).hexdigest()[:16]) == ("1", "8ccbcf540f06eb2d"), (
        "raise JUDGE_PROMPT"
    )
