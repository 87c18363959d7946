"""From items to rows of rewrites, over a model that answers from a script."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.labels import text_id
from harness.llm.ask import Reply, Told
from harness.llm.kinds import kinds
from harness.llm.rewrite_prompt import SCHEMA
from harness.llm.rewriter import Rewriter, inherited, rewrite
from harness.preference import units
from harness.rewrites import Rewrites, read_rewrites, write_rewrites
from tests.llm.rewriting import Scripted, item, items, reply, reworded, said, turns
from tests.llm.test_prompt import INJECTIONS

ITEMS = items(4)
TEXTS = {text_id(u.conversation): u.conversation for u in units(ITEMS)}
PARAPHRASE = kinds("paraphrase")
FORMAL = kinds("style:formal")
FAILURES = ["refused", "empty", "cut", "filtered", "unreachable", "rejected", "expired", "not_asked"]


def made(answer=None, of=ITEMS, which=PARAPHRASE, samples=1, **more):
    asker = Scripted() if answer is None else Scripted(answer)
    return [m.row for m in rewrite(of, Rewriter("m", asker, **more), which, samples)], asker


def test_every_text_is_asked_once_a_kind_and_sample_and_gets_its_own_row():
    rows, asker = made(of=[*ITEMS, *ITEMS], which=kinds("paraphrase,style:formal"), samples=2)
    assert [len(call) for call in asker.calls] == [8 * 3 * 2, 8 * 2 * 2]
    keys = [(row.kind, row.sample, row.text) for row in rows]
    assert len(set(keys)) == len(keys) == 8 * 5 * 2
    assert {key[2] for key in keys} == set(TEXTS)
    for row in rows:
        steps = 2 if row.kind.count(":") == 3 else 1
        assert row.rewritten == TEXTS[row.text][-1].content + "!" * steps
        assert (row.rewriter, row.prompt, row.problems, row.error) == ("m", "1.1", (), None)


def test_replies_that_two_items_share_are_asked_once():
    shared = [
        item("a", "hi", "one reply", "another"),
        item("b", "hi", "one reply", "third"),
        item("c", "ho", "third", "x"),
    ]
    rows, asker = made(of=shared)
    assert len(rows) == len(asker.asked) == 5


def test_the_dialogue_is_context_and_its_last_reply_is_what_is_rewritten():
    _, asker = made(which=kinds("paraphrase,style:formal"))
    for ask in asker.calls[0]:
        conversation = TEXTS[ask.id.rpartition("/")[2]]
        assert turns(ask.turns[1].content) == [{"speaker": m.role, "text": m.content} for m in conversation]
    assert all(dict(ask.schema) == dict(SCHEMA) for ask in asker.asked)


def test_a_sample_is_the_same_question_with_another_seed_and_mark():
    _, asker = made(samples=3)
    by_text = {}
    for ask in asker.asked:
        by_text.setdefault(ask.id.rpartition("/")[2], []).append(ask)
    for asks in by_text.values():
        assert [ask.repeat for ask in asks] == [0, 1, 2]
        assert len({ask.turns[1].content for ask in asks}) == 3
        assert len({reply(ask.turns[1].content) for ask in asks}) == len({ask.turns[0] for ask in asks}) == 1


def test_a_second_rewrite_is_made_of_the_first_of_its_sample_and_direction():
    """Every rewrite writes down what it was asked: the chain is in the text."""

    def signed(ask):
        way = "up" if FORMAL[0].change in ask.turns[0].content else "down"
        return said(f"{reply(ask.turns[1].content)} [{way} {ask.repeat}]")

    rows, _ = made(signed, which=FORMAL, samples=2)
    for row in rows:
        ways = row.kind.split(":")[2:]
        chain = "".join(f" [{way} {row.sample}]" for way in ways)
        assert row.rewritten == TEXTS[row.text][-1].content + chain
        assert len(ways) in (1, 2)


def test_an_invalid_first_rewrite_is_rewritten_too_and_its_problems_stay():
    asker = Scripted(lambda ask: said("I'm sorry, but I can't help with that at all, no."))
    rewrites = rewrite(ITEMS, Rewriter("m", asker), FORMAL)
    own = {(m.row.kind, m.row.text): m.row.problems for m in rewrites}
    rows = {(row.kind, row.text): row for row in inherited(rewrites)}
    assert own.keys() == rows.keys()
    for text in TEXTS:
        assert own["style:formal:up:down", text] == ()
        assert rows["style:formal:up", text].problems == own["style:formal:up", text] == ("refused", "digits")
        assert rows["style:formal:up:down", text].problems == ("refused", "digits")
    assert len(asker.calls[1]) == 2 * len(TEXTS)


def test_a_second_rewrite_inherits_from_its_own_sample_and_no_other():
    def declines_once(ask):
        if ask.repeat == 1 and "more formal" in ask.turns[0].content:
            return said("I'm sorry, but I can't help with that at all, no.")
        return reworded(ask.turns[1].content)

    rewrites = rewrite(ITEMS, Rewriter("m", Scripted(declines_once)), FORMAL, 2)
    refused = {
        row.sample: "refused" in row.problems for row in inherited(rewrites) if row.kind == "style:formal:up:down"
    }
    assert refused == {0: False, 1: True}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("when", ["at once", "at the second try"])
def test_a_failed_reply_is_a_row_that_says_so(failure, when):
    def answer(ask):
        if when == "at the second try" and len(ask.turns) == 2:
            return "no rewrite"
        return Reply(ask.id, None, failure, detail="the whole text, perhaps")

    rows, _ = made(answer)
    assert [(row.rewritten, row.error, row.outcome.problems) for row in rows] == [(None, failure, (failure,))] * 8


@pytest.mark.parametrize("failure", FAILURES)
def test_what_has_no_first_rewrite_is_a_row_too_and_is_never_asked(failure):
    bad = sorted(TEXTS)[2]

    def answer(ask):
        lost = ask.id == f"style:formal:up/1/{bad}"
        return Reply(ask.id, None, failure) if lost else reworded(ask.turns[1].content)

    rows, asker = made(answer, which=FORMAL, samples=2)
    assert len(rows) == 8 * 4 * 2
    lost = {(row.kind, row.sample, row.text): row.error for row in rows if row.rewritten is None}
    assert lost == {
        ("style:formal:up", 1, bad): failure,
        ("style:formal:up:down", 1, bad): f"no_first: {failure}",
    }
    assert f"style:formal:up:down/1/{bad}" not in {ask.id for ask in asker.asked}
    assert len(inherited(rewrite(ITEMS, Rewriter("m", Scripted(answer)), FORMAL, 2))) == len(rows)


BROKEN = [
    "Just the text.",
    said("half of it")[:-4],
    '{"text": "x"}',
    '{"rewritten": "x", "note": "y"}',
    f"{said('x')} or {said('y')}",
    '{"rewritten": "\\udc00"}',
]


@pytest.mark.parametrize("broken", BROKEN)
def test_an_answer_that_is_no_rewrite_goes_back_once_and_then_into_quarantine(broken):
    first = {}

    def mended(ask):
        if len(ask.turns) > 2:
            return f"Sorry. {reworded(first[ask.id])}"
        first[ask.id] = ask.turns[1].content
        return broken

    rows, asker = made(mended)
    assert all(row.rewritten == TEXTS[row.text][-1].content + "!" for row in rows)
    assert [len(call) for call in asker.calls] == [8, 8]
    for one, other in zip(
        sorted(asker.calls[0], key=lambda a: a.id), sorted(asker.calls[1], key=lambda a: a.id), strict=True
    ):
        assert (one.id, one.turns, one.max_tokens, one.repeat) == (
            other.id,
            other.turns[:2],
            other.max_tokens,
            other.repeat,
        )
    rows, asker = made(lambda ask: broken, which=FORMAL)
    assert [len(call) for call in asker.calls] == [16, 16], "what is quarantined is not rewritten again"
    assert {(row.error or "").partition(":")[0] for row in rows} == {"quarantined", "no_first"}
    assert len(rows) == 32


def test_an_answer_may_take_more_tokens_where_the_reply_is_long_and_never_less_than_the_endpoint_allows():
    of = [item("a", "hi", "short", "word " * 2000)]
    _, asker = made(of=of, max_tokens=800)
    found = {len(reply(ask.turns[1].content)): ask.max_tokens for ask in asker.asked}
    assert found[5] == 800
    assert found[10_000] == 200 + 5000
    assert {ask.max_tokens for ask in made(of=of, max_tokens=9000)[1].asked} == {9000}


def test_shuffled_items_give_the_same_questions_and_the_same_file(tmp_path):
    contents, asked = set(), set()
    for seed in range(3):
        of = [ITEMS[i] for i in np.random.default_rng(seed).permutation(len(ITEMS))]
        rows, asker = made(of=of, which=kinds("paraphrase,style:short"), samples=2)
        write_rewrites(tmp_path / "r.jsonl", rows[::-1] if seed else rows)
        contents.add((tmp_path / "r.jsonl").read_bytes())
        asked.add(repr(asker.asked))
    assert len(contents) == len(asked) == 1


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_whatever_a_reply_says_it_comes_through_to_the_file_or_is_reported(text, tmp_path):
    """A rewriter that copies what it was asked, with JSON's escapes as it saw them."""

    def copied(ask):
        line = ask.turns[1].content.splitlines()[-2]
        return '{"rewritten": ' + line.partition('"text": ')[2]

    of = [item("a", "Hello", text, "Fine.")]
    rows, _ = made(copied, of=of)
    write_rewrites(tmp_path / "r.jsonl", rows)
    chosen = next(iter(units(of)))
    row = read_rewrites(tmp_path / "r.jsonl").of(chosen, ("paraphrase", 0))
    halves = any("\ud800" <= letter <= "\udfff" for letter in text)
    assert row.rewritten == (None if halves else text)
    assert row.outcome.problems == (("quarantined",) if halves else ("identical",))


def test_rows_join_units_by_text():
    rows, _ = made(lambda ask: said(reply(ask.turns[1].content).upper()))
    found = Rewrites({(r.kind, r.sample, r.text): r for r in rows})
    for unit in units(ITEMS):
        assert found.of(unit, ("paraphrase", 0)).rewritten == unit.conversation[-1].content.upper()


def test_progress_is_passed_on():
    told: list[Told] = []
    rewrite(ITEMS, Rewriter("m", Scripted()), FORMAL, report=told.append)
    assert [t.total for t in told] == [16, 16]


def test_nothing_is_asked_of_nothing():
    asker = Scripted(lambda ask: json.dumps({}))
    assert rewrite([], Rewriter("m", asker), FORMAL) == []
    assert asker.calls == []
