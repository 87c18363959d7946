"""Answers with a form: read, sent back once, quarantined."""

from __future__ import annotations

import pytest

from harness.llm.ask import Ask, Reply, Turn
from harness.llm.block import once_more
from harness.llm.repair import QUARANTINED, Answer, answers
from tests.llm.rewriting import Scripted

ASKS = [Ask(f"q{i}", (Turn("user", str(i)),), repeat=i) for i in range(6)]


def doubled(*wrong: str, failed: str = "", still: bool = False) -> Scripted:
    """Twice the number of each question; words to the wrong ones, at the second try too where they stay wrong."""

    def answer(ask):
        if ask.id == failed:
            return Reply(ask.id, None, "cut")
        lost = ask.id in wrong and (still or len(ask.turns) == 1)
        return "two <s>" if lost else str(2 * int(ask.turns[0].content))

    return Scripted(answer)


def found(asker: Scripted):
    return answers(ASKS, asker, int, lambda turns, text, wrong: once_more(turns, text, f"not {wrong}"))


def test_every_question_has_its_answer_and_is_asked_once():
    asker = doubled()
    assert found(asker) == {f"q{i}": Answer(2 * i) for i in range(6)}
    assert asker.calls == [ASKS]


def test_what_is_wrong_goes_back_alone_and_once_with_the_answer_and_the_reason():
    asker = doubled("q1", "q4")
    assert found(asker) == {f"q{i}": Answer(2 * i) for i in range(6)}
    assert sorted(ask.id for ask in asker.calls[1]) == ["q1", "q4"]
    for ask in asker.calls[1]:
        before = ASKS[int(ask.id[1])]
        assert (ask.turns[0], ask.repeat) == (before.turns[0], before.repeat)
        assert [turn.role for turn in ask.turns[1:]] == ["assistant", "user"]
        assert ask.turns[1].content == "two \\u003cs>"
        assert ask.turns[2].content.startswith("not invalid literal")


@pytest.mark.parametrize("failed", ["q1", "q2"])
def test_what_stays_wrong_is_quarantined_and_a_failure_is_a_failure(failed):
    asker = doubled("q1", "q4", failed=failed, still=True)
    said = found(asker)
    assert set(said) == {ask.id for ask in ASKS}
    assert said.pop(failed) == Answer(None, "cut")
    quarantined = {id for id, answer in said.items() if answer.value is None}
    assert quarantined == {"q1", "q4"} - {failed}
    assert all(said[id].error.startswith(f"{QUARANTINED}: invalid literal") for id in quarantined)
    assert len(asker.calls) == 2
