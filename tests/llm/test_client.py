from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import time
import traceback

import pytest

from harness.errors import HarnessError, InputError
from harness.llm.ask import Ask, Told, Turn
from harness.llm.cache import key
from harness.llm.client import Client, _Crew
from harness.llm.endpoint import Endpoint
from tests.llm import server as play
from tests.llm.asking import PRICES, SCHEMA, Naps, client, question
from tests.llm.server import answer, endpoint_of, in_turn, script, serving, status


def test_every_question_has_its_own_reply_in_order_and_equal_ones_are_sent_once(cache):
    asks = [question(i) for i in range(60)]
    copies = [Ask(f"copy{i}", asks[i].turns) for i in range(60)]
    repeats = [question(i, repeat=1) for i in range(3)]
    repeats = [Ask(f"again{i}", ask.turns, repeat=1) for i, ask in enumerate(repeats)]
    with serving(answer(lambda seen: f"reply to {seen.question}")) as server:
        replies = client(server, cache).ask([*asks, *copies, *repeats])
        assert list(replies) == [ask.id for ask in (*asks, *copies, *repeats)]
        assert all(
            reply.id == name and reply.text == f"reply to q{name.lstrip('idcopyagn')}"
            for name, reply in replies.items()
        )
        assert server.paid == {f"q{i}": 2 if i < 3 else 1 for i in range(60)}
        seeds = {(body["messages"][-1]["content"], body["seed"]) for body in server.bodies}
        assert {("q0", 0), ("q0", 1)} <= seeds
        second = client(server, cache)
        assert {i: r.text for i, r in second.ask(copies).items()} == {c.id: replies[c.id].text for c in copies}
        assert (second.spent.requests, second.spent.cached) == (0, 60)
    assert sum(server.asked.values()) == 63


def test_ids_must_be_unique(cache):
    with pytest.raises(InputError, match="'id1'"):
        Client(Endpoint(model="m"), cache).ask([question(1), question(2), question(1)])


def test_no_more_are_out_at_once_than_allowed(cache):
    with serving(answer(after=0.03)) as server:
        client(server, cache, concurrency=5).ask([question(i) for i in range(60)])
    assert server.most_out == 5


def test_limits_on_requests_and_tokens_reach_the_wire(cache):
    asks = [question(i) for i in range(10)]
    naps = Naps()
    with serving(answer()) as server:
        client(server, cache, naps, concurrency=1, requests_per_minute=60.0, clock=lambda: 0.0).ask(asks)
        assert naps == pytest.approx([1.0 * i for i in range(1, 10)])
        naps.clear()
        limited = {"tokens_per_minute": 60.0, "requests_per_minute": None, "temperature": 0.5, "max_tokens": 100}
        client(server, cache, naps, concurrency=1, clock=lambda: 0.0, **limited).ask(asks)
        # Each reply is counted by the server as 15 tokens: what was held for it is given back.
        assert naps == pytest.approx([15.0 * i for i in range(1, 10)])


def test_many_questions_do_not_become_many_tasks():
    most, answered = 0, 0

    async def reply(equal):
        nonlocal most, answered
        most = max(most, len(asyncio.all_tasks()))
        answered += len(equal)
        await asyncio.sleep(0)

    asyncio.run(_Crew(8, asyncio.sleep).work(reply, iter([[question(0)]] * 20_000)))
    assert (answered, most) == (20_000, 9)


def test_progress_counts_everything_once(cache):
    told: list[Told] = []
    acts = play.by_question({"q1": play.refusal(), "q2": status(400)})
    with serving(acts) as server:
        client(server, cache).ask([question(i) for i in range(3)])
        client(server, cache).ask([question(i) for i in range(6)], told.append)
    assert told == [Told(done, 6, 2, 3) for done in (3, 4, 5, 6)]


@pytest.mark.parametrize(
    ("formats", "mode", "tries"),
    [
        (("json_schema", "json_object", "text"), "json_schema", 1),
        (("json_object", "text"), "json_object", 2),
        (("json_schema", "text"), "json_schema", 1),
        (("text",), "text", 3),
    ],
)
def test_the_form_is_found_out_once_and_remembered(formats, mode, tries, cache):
    shaped = [question(i, schema=SCHEMA) for i in range(40)]
    with serving(play.taking_only(*formats)) as server:
        replies = client(server, cache).ask([question("free"), *shaped])
        assert {replies[ask.id].mode for ask in shaped} == {mode}
        assert replies["idfree"].mode == "text"
        assert sum(server.asked.values()) == 41 + tries - 1
        assert cache.mode(endpoint_of(server)) == mode
        later = client(server, cache).ask([question("new", schema=SCHEMA)])
        assert (later["idnew"].mode, server.asked["qnew"]) == (mode, 1)
        assert cache.get([key(endpoint_of(server), shaped[0], mode)])


def test_a_form_that_is_taken_and_ignored_is_the_labelers_business(cache):
    with serving(answer("Sure, here you go: a is 1.")) as server:
        reply = client(server, cache).ask([question(0, schema=SCHEMA)])["id0"]
    assert (reply.text, reply.mode, reply.failure) == ("Sure, here you go: a is 1.", "json_schema", None)
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_a_question_at_fault_says_nothing_about_the_form(cache):
    """The first question fails in every form, the second one in the first."""
    with serving(play.by_question({"q0": status(400, "too long")}, answer("{}"))) as server:
        replies = client(server, cache).ask([question(i, schema=SCHEMA) for i in range(3)])
        assert [replies[f"id{i}"].failure for i in range(3)] == ["rejected", None, None]
        assert server.asked == {"q0": 3, "q1": 1, "q2": 1}
        assert cache.mode(endpoint_of(server)) == "json_schema"
        assert client(server, cache).ask([question(0, schema=SCHEMA)])["id0"].cached


@pytest.mark.parametrize("act", [status(500), play.refusal(), status(400)], ids=["unreachable", "refused", "rejected"])
def test_only_a_text_settles_the_form(act, cache):
    with serving(act) as server:
        client(server, cache, max_retries=0).ask([question(i, schema=SCHEMA) for i in range(3)])
        assert cache.mode(endpoint_of(server)) is None


def test_a_fixed_form_that_the_server_does_not_take_is_an_error(cache):
    with serving(play.taking_only("text")) as server, pytest.raises(HarnessError, match="structured: auto"):
        client(server, cache, structured="json_schema").ask([question(i, schema=SCHEMA) for i in range(5)])
    assert cache.find(endpoint_of(server), [question(i, schema=SCHEMA) for i in range(5)]) == {}


def test_a_replay_sends_nothing_and_needs_no_key(cache, monkeypatch):
    with serving(answer()) as server:
        client(server, cache).ask([question(0)])
        endpoint = endpoint_of(server)
    monkeypatch.setattr("openai.AsyncOpenAI", None)
    replies = Client(endpoint, cache, replay=True).ask([question(0), question(1)])
    assert (replies["id0"].text, replies["id0"].cached) == ("fine", True)
    assert (replies["id1"].failure, replies["id1"].text) == ("not_asked", None)
    hosted = Client(Endpoint(model="m"), cache, replay=True).ask([question(0)])
    assert hosted["id0"].failure == "not_asked"


def test_a_missing_key_is_named_before_anything_is_sent(cache):
    with pytest.raises(InputError, match="MY_KEY"):
        Client(Endpoint(model="m", api_key_env="MY_KEY"), cache).ask([question(0)])


def test_what_was_spent_is_what_the_server_counted(cache):
    with serving(in_turn(status(500), answer())) as server:
        asker = client(server, cache, price_in=1.0, price_out=10.0)
        asker.ask([question(0), question(1)])
        asker.ask([question(0)])
    spent = asker.spent
    assert (spent.requests, spent.cached, spent.prompt_tokens, spent.completion_tokens) == (4, 1, 20, 10)
    assert spent.dollars == pytest.approx((20 * 1 + 10 * 10) / 1e6)


def test_a_round_above_the_limit_is_not_begun(cache):
    with serving(answer()) as server:
        with pytest.raises(HarnessError, match="--max-cost"):
            client(server, cache, max_cost=999.0, **PRICES).ask([question(i) for i in range(10)])
        assert server.asked == {}
        assert len(client(server, cache, max_cost=1000.0, **PRICES).ask([question(i) for i in range(10)])) == 10


def test_sending_stops_before_the_limit_is_passed_and_goes_on_from_there(cache):
    asks = [question(i) for i in range(40)]
    with serving(answer(after=0.01)) as server:
        first = client(server, cache, max_cost=170.0, completion_tokens=1, concurrency=8, **PRICES)
        with pytest.raises(HarnessError, match="run again"):
            first.ask(asks)
        done = sum(server.paid.values())
        assert 5 * done == first.spent.dollars <= 170.0
        assert 5 * done > 170.0 - 100.0
        client(server, cache, **PRICES).ask(asks)
    assert set(server.paid.values()) == {1}
    assert sum(server.asked.values()) == 40


def test_it_works_beside_a_loop_that_runs_already(cache):
    async def notebook(asker):
        return asker.ask([question(0)])

    with serving(answer()) as server:
        assert asyncio.run(notebook(client(server, cache)))["id0"].text == "fine"


def test_an_error_in_the_report_ends_the_call_and_keeps_what_was_paid(cache):
    def report(told):
        if told.done == 5:
            raise ZeroDivisionError

    with serving(answer()) as server:
        with pytest.raises(ZeroDivisionError):
            client(server, cache, concurrency=2).ask([question(i) for i in range(100)], report)
        assert sum(server.asked.values()) <= 7
        assert len(cache.find(endpoint_of(server), [question(i) for i in range(100)])) == sum(server.paid.values())


RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from harness.llm.ask import Ask, Turn
    from harness.llm.cache import ReplyCache
    from harness.llm.client import Client
    from harness.llm.endpoint import Endpoint
    endpoint = Endpoint(model="m", base_url=sys.argv[1], concurrency=4)
    asks = [Ask(f"id{i}", (Turn("user", f"q{i}"),)) for i in range(40)]
    replies = Client(endpoint, ReplyCache(Path(sys.argv[2]))).ask(asks)
    print(sorted(replies[f"id{i}"].text for i in range(40)))
""")


def test_a_killed_run_is_resumed_and_pays_for_nothing_twice(cache):
    """The server answers fifteen questions and then keeps everyone waiting, until the run is killed with SIGKILL."""
    answered = 0

    def choose(seen):
        nonlocal answered
        answered += 1
        return answer(seen.question) if answered <= 15 or resumed else play.slow(30.0)

    resumed = False
    with serving(script(choose)) as server:
        command = [sys.executable, "-c", RUN, server.url, str(cache.path)]
        asks = [Ask(f"id{i}", (Turn("user", f"q{i}"),)) for i in range(40)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as job:
            deadline = time.monotonic() + 25
            while len(cache.find(endpoint_of(server), asks)) < 15 and time.monotonic() < deadline:
                time.sleep(0.02)
            job.kill()
        paid = set(server.paid)
        assert len(paid) == 15
        resumed, before = True, server.asked.copy()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert eval(done.stdout) == sorted(f"q{i}" for i in range(40))  # noqa: S307 (our own list)
        assert set(server.asked - before) == {f"q{i}" for i in range(40)} - paid
        assert set(server.paid.values()) == {1}


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_the_key_is_nowhere_but_in_the_header(cache, monkeypatch, caplog):
    secret, asked = "sk-proj-0123456789SECRET", "THE-QUESTION"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "openai._base_client", "httpx", "httpx2", "httpcore", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    leaks = [
        status(400, f"your key {secret} is odd"),
        status(500, f"key {secret}"),
        status(401, f"Incorrect API key provided: {secret}"),
        status(404, f"no {asked} for {secret}"),
        play.raw(secret.encode()),
        answer(),
    ]
    said = []
    for i, act in enumerate(leaks):
        with serving(act) as server:
            asker = client(server, cache, max_retries=1)
            asks = [Ask(str(i), (Turn("user", asked),), schema=SCHEMA if i % 2 else None)]
            try:
                said.append(repr(asker.ask(asks)))
            except HarnessError as error:
                said.append(everything_said(error))
            said += [repr(asker), repr(asker.spent), repr(cache)]
            assert all(headers["authorization"] == f"Bearer {secret}" for headers in server.headers)
    cache.close()
    stored = b"".join(path.read_bytes() for path in cache.path.parent.iterdir())
    logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert caplog.records
    for where in ("\n".join(said), logged, stored.decode("latin-1")):
        assert secret not in where
        assert asked not in where
