"""A rewriting run over scripted servers: faults on the way, a killed run, what is foreseen, and what may be spent in all."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.errors import HarnessError, InputError
from harness.llm.carrier import Carrier
from harness.llm.kinds import kinds
from harness.llm.rewriter import Rewriter, first_jobs, rewrite
from harness.llm.rewriting import Plan, carry_out, foresee, plan, usual_tokens
from harness.rewrites import read_rewrites
from tests.llm import server as play
from tests.llm.asking import client
from tests.llm.rewriting import items, reply, said, turns
from tests.llm.server import answer, completion, endpoint_of, refusal, script, sending, serving, status

ITEMS = items(6)
BOTH = kinds("paraphrase,style:formal")
PAID = {"price_in": 1.0, "price_out": 2.0}


def user(seen) -> str:
    return seen.body["messages"][1]["content"]


def rewording(seen) -> str:
    """A rewrite for the rewriter, another one for each kind and sample; yes for the judge."""
    if "first reply" in user(seen):
        return '{"same": "yes"}'
    words = seen.body["messages"][0]["content"]
    mark = next(mark for said, mark in MARKS.items() if said in words)
    return said(reply(user(seen)) + mark * (1 + seen.body["seed"]))


MARKS = {"in other words": "!", "more formal": "+", "more informal": "-"}


REWRITE = answer(rewording)
PASSING = {
    "429 and when": status(429, headers={"Retry-After": "0.01"}),
    "500": status(500),
    "503": status(503),
    "truncated": play.cut_body(),
    "no JSON": play.raw(b"<html>busy</html>"),
    "dropped": play.dropped(),
    "hung up": play.hung_up(),
    "slow": play.slow(),
}
MENDED = {
    "invalid JSON": answer('{"rewritten": "half'),
    "prose alone": answer("Here is the text, in other words."),
    "another field": answer('{"text": "x"}'),
    "two": answer(f"{said('x')} {said('y')}"),
}
FINAL = {
    "refused": (refusal("Never."), "refused"),
    "no choices": (play.no_choices(), "empty"),
    "null content": (play.no_content(), "empty"),
    "length": (answer(said("half"), finish="length"), "cut"),
    "content filter": (answer(said("half"), finish="content_filter"), "filtered"),
    "400": (status(400, "the prompt is too long"), "rejected"),
}


def made(server, cache, **changes):
    changes = {"timeout_s": 0.5} | changes
    asker = client(server, cache, **changes)
    return {m.job.id: m.row for m in rewrite(ITEMS, Rewriter("m", asker), BOTH)}


def expected():
    """Ids of every row: twelve texts in five kinds."""
    texts = [job.text for job in first_jobs(ITEMS, kinds("paraphrase"), 1)]
    return {f"{kind.name}/0/{text}" for kind in BOTH for text in texts}


def once(act):
    """The act for the first request with a question, a rewrite for every later one."""
    asked = Counter()

    def choose(seen):
        messages = json.dumps(seen.body["messages"])
        asked[messages] += 1
        return act if asked[messages] == 1 else REWRITE

    return script(choose)


@pytest.mark.parametrize("name", list(PASSING))
def test_a_fault_that_passes_costs_a_try_and_nothing_else(name, cache):
    with serving(once(PASSING[name])) as server:
        rows = made(server, cache)
        assert rows.keys() == expected()
        assert all(row.rewritten for row in rows.values())
        assert (len(server.bodies), sum(server.paid.values())) == (2 * len(rows), len(rows))
        assert made(server, cache) == rows
        assert len(server.bodies) == 2 * len(rows)


@pytest.mark.parametrize("name", list(MENDED))
def test_an_answer_without_its_form_is_paid_once_and_mended_once(name, cache):
    first = script(lambda seen: REWRITE if len(seen.body["messages"]) > 2 else MENDED[name])
    with serving(first) as server:
        rows = made(server, cache)
        assert rows.keys() == expected()
        assert all(row.rewritten[-1] in "!+-" for row in rows.values())
        assert len(server.bodies) == 2 * len(rows)
        assert made(server, cache) == rows
        assert len(server.bodies) == 2 * len(rows)


@pytest.mark.parametrize("name", list(FINAL))
def test_what_has_no_text_is_a_row_and_is_asked_once(name, cache):
    act, failure = FINAL[name]
    lost = {"A bad reply of number 2, of some length.", "A good reply of number 4, of some length."}
    with serving(script(lambda seen: act if reply(user(seen)) in lost else REWRITE)) as server:
        rows = made(server, cache, structured="json_schema")
        assert rows.keys() == expected()
        errors = sorted(row.error for row in rows.values() if row.rewritten is None)
        assert errors == sorted([failure] * 6 + [f"no_first: {failure}"] * 4)
        asked = len(server.bodies)
        assert asked == len(rows) - 4
        assert made(server, cache, structured="json_schema") == rows
        assert len(server.bodies) == asked


def test_prose_around_an_answer_is_no_fault(cache):
    with serving(answer(lambda seen: f"Sure!\n```json\n{rewording(seen)}\n```")) as server:
        assert all(row.rewritten[-1] in "!+-" for row in made(server, cache).values())
        assert len(server.bodies) == len(expected())


@pytest.mark.parametrize("http", [401, 403, 404])
def test_what_nothing_can_succeed_after_ends_the_run_and_the_next_pays_for_the_rest_alone(http, cache):
    n = 0

    def choose(seen):
        nonlocal n
        n += 1
        return status(http, "no") if broken and n > 40 else REWRITE

    broken = True
    with serving(script(choose)) as server:
        with pytest.raises(HarnessError):
            made(server, cache, concurrency=3)
        assert sum(server.paid.values()) == 40
        broken = False
        assert made(server, cache, concurrency=3).keys() == expected()
        assert sum(server.paid.values()) == len(expected())
    assert http in (401, 403, 404)


RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from harness.llm.cache import ReplyCache
    from harness.llm.carrier import Carrier
    from harness.llm.endpoint import Endpoint
    from harness.llm.kinds import kinds
    from harness.llm.rewriting import Plan, carry_out
    from harness.rewrites import write_rewrites
    from tests.llm.rewriting import items
    endpoint = Endpoint(model="m", base_url=sys.argv[1], concurrency=4, max_retries=3, timeout_s=5.0, temperature=0.5)
    done = carry_out(items(6), Plan(endpoint, kinds("paraphrase,style:formal"), 2), Carrier(ReplyCache(Path(sys.argv[2]))))
    write_rewrites(Path(sys.argv[3]), done.rows)
""")
STAGES = {"first": 30, "second": 90}
"""Answers before the server keeps everyone waiting: of 72 questions of the first stage, and 48 of the second."""


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_killed_run_is_resumed_and_pays_for_nothing_twice(stage, cache, tmp_path):
    def choose(seen):
        nonlocal answered
        answered += 1
        return REWRITE if answered <= STAGES[stage] or resumed else play.slow(30.0)

    answered, resumed = 0, False
    with serving(script(choose)) as server:
        command = [sys.executable, "-c", RUN, server.url, str(cache.path), str(tmp_path / "r.jsonl")]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as job:
            deadline = time.monotonic() + 60
            while stored(cache) < STAGES[stage] and time.monotonic() < deadline:
                time.sleep(0.02)
            job.kill()
        assert not (tmp_path / "r.jsonl").exists()
        assert sum(server.paid.values()) == STAGES[stage]
        resumed = True
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
        assert sum(server.paid.values()) == 72 + 48
        assert len({json.dumps([body["messages"], body["seed"]]) for body in server.bodies}) == 72 + 48
        again = carry_out(ITEMS, Plan(endpoint_of(server, temperature=0.5), BOTH, 2), Carrier(cache, replay=True))
    rows = read_rewrites(tmp_path / "r.jsonl").rows
    assert len(rows) == 72 + 48
    assert all(row.rewritten for row in rows.values())
    assert {(row.kind, row.sample, row.text): row for row in again.rows} == rows


def stored(cache) -> int:
    return cache._execute("SELECT COUNT(*) FROM replies", ())[0][0]


# --- what is foreseen and spent -------------------------------------------------------------------------------------


def test_what_is_foreseen_is_what_is_sent_stage_by_stage(cache):
    with serving(REWRITE) as server:
        of = Plan(endpoint_of(server, temperature=0.3, **PAID), BOTH, 2, endpoint_of(server, model="j", **PAID))
        before = foresee(ITEMS, of, Carrier(cache))
        assert [(stage.stage, stage.model) for stage in before] == [
            ("first stage", "m"), ("second stage", "m"), ("judge", "j"),
        ]  # fmt: skip
        assert [stage.cost.requests for stage in before] == [72, 48, 240]
        assert not server.bodies
        done = carry_out(ITEMS, of, Carrier(cache))
        assert len(server.bodies) == 72 + 48 + 240
        assert {name.split()[0]: cost.requests for name, cost in done.spent.items()} == {"m": 120, "j": 240}
        after = foresee(ITEMS, of, Carrier(cache))
    assert [(stage.cost.requests, stage.cost.cached, stage.cost.dollars) for stage in after] == [
        (0, 72, 0.0), (0, 48, 0.0), (0, 240, 0.0),
    ]  # fmt: skip
    for stage in before:
        assert 0 < stage.cost.dollars < stage.most
    assert (done.failed, done.unjudged) == ({}, 0)
    assert {row.judged for row in done.rows} == {"yes"}


def test_what_can_no_longer_be_asked_is_not_foreseen_and_what_may_pass_is(cache):
    lost = "A bad reply of number 2, of some length."
    for act, left in ((refusal(), [0, 0, 0]), (status(500), [3, 2, 10])):
        with serving(script(lambda seen, act=act: act if reply(user(seen)) == lost else REWRITE)) as server:
            of = Plan(endpoint_of(server, max_retries=0), BOTH, 1, endpoint_of(server, model="j"))
            carry_out(ITEMS, of, Carrier(cache))
            assert [stage.cost.requests for stage in foresee(ITEMS, of, Carrier(cache))] == left


def test_the_usual_answer_is_as_long_as_the_replies(cache):
    of = items(3)
    with serving(REWRITE) as server:
        endpoint = endpoint_of(server)
    assert usual_tokens(of, endpoint) == pytest.approx(12 + len("A good reply of number 1, of some length.") / 4, abs=1)
    assert usual_tokens([], endpoint) == 12
    (stage,) = foresee(of, Plan(endpoint, kinds("paraphrase")), Carrier(cache))
    assert stage.cost.completion_tokens == 6 * usual_tokens(of, endpoint)


def test_the_whole_is_refused_above_the_limit_and_the_judge_spends_what_the_rewriter_left(cache):
    with serving(REWRITE) as server:
        of = Plan(endpoint_of(server, **PAID), BOTH, 1, endpoint_of(server, model="j", **PAID))
        foreseen = sum(stage.cost.dollars for stage in foresee(ITEMS, of, Carrier(cache)))
        with pytest.raises(HarnessError, match="none of them was sent"):
            carry_out(ITEMS, of, Carrier(cache, max_cost=0.99 * foreseen))
        assert not server.bodies
        # The rewriter's answers turn out dear: what the judge would take does not fit any more.
        costly = {"usage": {"prompt_tokens": 900, "completion_tokens": 0, "total_tokens": 900}}
        server.script = script(lambda seen: sending(completion(rewording(seen)) | costly))
        with pytest.raises(HarnessError, match="limit"):
            carry_out(ITEMS, of, Carrier(cache, max_cost=1.05 * foreseen))
        paid = sum(body["model"] == "m" for body in server.bodies) * 900e-6
        assert {body["model"] for body in server.bodies} == {"m"}
        assert paid <= 1.05 * foreseen


def test_a_limit_needs_the_prices_of_rewriter_and_judge(cache):
    with serving(REWRITE) as server:
        dear, free = endpoint_of(server, **PAID), endpoint_of(server, model="j")
        for of in (Plan(dear, BOTH, 1, free), Plan(free, BOTH), Plan(free, BOTH, 1, dear)):
            with pytest.raises(InputError, match="prices of j"):
                carry_out(ITEMS, of, Carrier(cache, max_cost=5.0))
        assert not server.bodies


def test_a_replay_sends_nothing_and_gives_what_is_stored(cache):
    with serving(REWRITE) as server:
        of = Plan(endpoint_of(server, **PAID), BOTH)
        empty = carry_out(ITEMS, of, Carrier(cache, replay=True))
        assert empty.failed == {"not_asked": 36, "no_first": 24}
        assert not server.bodies
        first = carry_out(ITEMS, of, Carrier(cache)).rows
        assert carry_out(ITEMS, of, Carrier(cache, replay=True, max_cost=0.0)).rows == first


def test_failures_of_rewriter_and_judge_are_told_apart_and_their_words_kept(cache):
    def choose(seen):
        if "first reply" in user(seen):
            return refusal("I judge nobody.") if "number 1" in turns(user(seen))[-1]["text"] else REWRITE
        return status(400, "too long") if "number 3" in reply(user(seen)) else REWRITE

    with serving(script(choose)) as server:
        of = Plan(endpoint_of(server, structured="text"), kinds("paraphrase"), 1, endpoint_of(server, model="j"))
        done = carry_out(ITEMS, of, Carrier(cache))
    assert (done.failed, done.unjudged) == ({"rejected": 2}, 2)
    assert "I judge nobody." in done.words["refused"]
    assert "too long" in done.words["rejected"]
    assert {row.judged for row in done.rows if row.rewritten and "number 1" in row.rewritten} == {None}
    assert not any(row.problems for row in done.rows)


def test_an_encoder_is_asked_once_about_everything_and_its_floor_counts_for_second_rewrites_too(cache):
    calls = []

    def similar(pairs):
        calls.append(len(pairs))
        return [0.5 if "good" in before and before.endswith(".") else 0.9 for before, _ in pairs]

    with serving(REWRITE) as server:
        done = carry_out(ITEMS, Plan(endpoint_of(server), kinds("style:formal"), 1, None, similar), Carrier(cache))
    assert calls == [48]
    for row in done.rows:
        assert row.problems == (("similarity",) if "good" in row.rewritten else ()), row
        assert row.similarity == (0.5 if row.problems and row.kind.count(":") == 2 else 0.9)


# --- plans ----------------------------------------------------------------------------------------------------------


def write(folder, name, **more):
    path = Path(folder, name)
    path.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"} | more))
    return path


def test_two_samples_where_they_can_differ_and_one_where_not(tmp_path):
    cold, warm = write(tmp_path, "cold.yaml"), write(tmp_path, "warm.yaml", temperature=0.7)
    assert [plan(path, BOTH).samples for path in (cold, warm)] == [1, 2]
    assert [plan(warm, BOTH, n).samples for n in (1, 3)] == [1, 3]
    assert plan(cold, BOTH, 1).samples == 1
    with pytest.raises(InputError, match="2 samples at temperature 0 are one text 2 times"):
        plan(cold, BOTH, 2)


def test_a_rewriter_does_not_judge_itself(tmp_path):
    own, same, other = (
        write(tmp_path, "a.yaml"),
        write(tmp_path, "b.yaml", temperature=1),
        write(tmp_path, "c.yaml", model="n"),
    )
    with pytest.raises(InputError, match="--judge"):
        plan(own, BOTH, judge=same)
    found = plan(own, BOTH, judge=other)
    assert [endpoint.model for endpoint in found.endpoints] == ["m", "n"]
    assert len(plan(own, BOTH).endpoints) == 1
