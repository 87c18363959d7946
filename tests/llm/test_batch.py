"""Questions as batch files: mapped by id, kept, resubmitted, resumed, never paid twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import HarnessError, InputError
from harness.llm import batch as module
from harness.llm.ask import Ask, Told, Turn
from harness.llm.batch import ROUNDS
from harness.llm.batch_file import shards
from harness.llm.client import Client
from tests.conftest import ROOT
from tests.llm.batch_server import BatchServer, Script, serving
from tests.llm.batching import KEY, SCHEMA, all_answered, client, endpoint, questions, sent


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("BATCH_KEY", KEY)


def test_replies_are_mapped_by_id_whatever_their_order(cache):
    asks = questions(7)
    with serving() as server:
        replies = client(server, cache).ask(asks)
        assert all_answered(replies, asks)
        assert (replies["id 3"].usage.prompt_tokens, replies["id 3"].fingerprint) == (7, "fp")
        (batch,) = server.batches
        assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
        assert {row["url"] for row in server.rows(batch)} == {"/v1/chat/completions"}
        assert not cache.open_batches(endpoint(server))


def test_what_is_stored_is_never_sent_and_equal_questions_are_sent_once(cache):
    asks = questions(4)
    twins = [replace(ask, id=f"twin of {ask.id}") for ask in asks]
    with serving() as server:
        one = client(server, cache)
        first = one.ask([*asks[:2], *twins[:2]])
        assert sent(server) == Counter(["question 0", "question 1"])
        assert first["id 0"].text == first["twin of id 0"].text
        again = client(server, cache).ask([*asks, *twins])
        assert all(n == 1 for n in sent(server).values())
        assert len(server.batches) == 2
        assert {name for name, reply in again.items() if reply.cached} == set(first)
        assert not any(reply.cached for reply in first.values())
        client(server, cache).ask(asks)
        assert len(server.batches) == 2
        assert Counter(server.paid) == Counter(f"question {i}" for i in range(4))


def test_the_client_that_asks_one_by_one_finds_what_a_batch_brought(cache):
    with serving() as server:
        client(server, cache).ask(questions(3))
        online = Client(endpoint(server), cache, replay=True).ask(questions(3))
        assert all_answered(online, questions(3))


def test_a_replay_sends_nothing(cache):
    with serving() as server:
        client(server, cache).ask(questions(1))
        replies = client(server, cache, replay=True).ask(questions(3))
        assert [reply.failure for reply in replies.values()] == [None, "not_asked", "not_asked"]
        assert len(server.batches) == 1


def test_two_asks_of_one_id_are_an_error(cache):
    with serving() as server, pytest.raises(InputError, match="make them unique"):
        client(server, cache).ask([*questions(2), *questions(1)])


def test_no_questions_need_no_server(cache):
    assert client(BatchServer(Script(), "http://127.0.0.1:1/v1"), cache).ask([]) == {}


@pytest.mark.parametrize("end", ["expired", "cancelled", "completed"])
@pytest.mark.parametrize("lost", ["nowhere", "expired", "busy"])
def test_what_half_a_batch_brought_is_kept_and_only_the_rest_is_sent_again(cache, end, lost):
    asks = questions(10)
    script = Script(ends=[end], where=lambda batch, row: lost if batch == 0 and row % 2 else "output")
    with serving(script) as server:
        assert all_answered(client(server, cache).ask(asks), asks)
        assert [len(server.rows(batch)) for batch in server.batches] == [10, 5]
        assert Counter(server.paid) == Counter(f"question {i}" for i in range(10))


def test_a_body_that_is_no_completion_is_asked_for_again(cache):
    with serving(Script(where=lambda batch, row: "nonsense" if (batch, row) == (0, 1) else "output")) as server:
        assert all_answered(client(server, cache).ask(questions(3)), questions(3))
        assert [len(server.rows(batch)) for batch in server.batches] == [3, 1]


def test_a_batch_that_failed_whole_is_made_again(cache):
    with serving(Script(ends=["failed"])) as server:
        assert all_answered(client(server, cache).ask(questions(3)), questions(3))
        assert len(server.batches) == 2


@pytest.mark.parametrize(
    ("end", "where", "failure", "said"),
    [
        ("expired", "expired", "expired", "could not be executed"),
        ("expired", "nowhere", "expired", "the batch is expired"),
        ("cancelled", "nowhere", "expired", "the batch is cancelled"),
        ("failed", "nowhere", "unreachable", "no such model"),
        ("completed", "nowhere", "unreachable", "the batch is completed"),
        ("completed", "busy", "unreachable", "HTTP 429"),
    ],
)
def test_the_rounds_end_and_the_failure_says_why(cache, end, where, failure, said):
    script = Script(ends=[end] * 9, where=lambda batch, row: where if row == 0 else "output")
    with serving(script) as server:
        replies = client(server, cache).ask(questions(3 if end != "failed" else 1))
        assert len(server.batches) == ROUNDS
        assert replies["id 0"].failure == failure
        assert said in replies["id 0"].detail
        assert [reply.failure for reply in list(replies.values())[1:]] == [None] * (len(replies) - 1)
        assert max(Counter(server.paid).values(), default=1) == 1
        script.ends, script.where = [], lambda batch, row: "output"
        assert client(server, cache).ask(questions(1))["id 0"].text == "answer to question 0"


def test_a_request_that_is_called_wrong_is_a_final_failure(cache):
    with serving(Script(where=lambda batch, row: "refused" if row == 1 else "output")) as server:
        replies = client(server, cache).ask(questions(3))
        assert (replies["id 1"].failure, replies["id 1"].text) == ("rejected", None)
        assert "refused by the server" in replies["id 1"].detail
        client(server, cache).ask(questions(3))
        assert len(server.batches) == 1


def test_a_wrong_model_is_not_held_against_the_question(cache):
    def where(batch: int, row: int) -> str:
        return "no model" if batch < ROUNDS else "output"

    with serving(Script(where=where)) as server:
        assert client(server, cache).ask(questions(1))["id 0"].failure == "unreachable"
        assert all_answered(client(server, cache).ask(questions(1)), questions(1))


def test_down_the_ladder_where_the_server_knows_no_schema(cache):
    asks = questions(2, SCHEMA)
    with serving(Script(where=lambda batch, row: "refused" if batch == 0 else "output")) as server:
        assert all_answered(client(server, cache).ask(asks), asks)
        formats = [[row["body"]["response_format"]["type"] for row in server.rows(batch)] for batch in server.batches]
        assert formats == [["json_schema"] * 2, ["json_object"] * 2]
        assert cache.mode(endpoint(server)) == "json_object"
        assert client(server, cache).ask(asks)["id 0"].mode == "json_object"
        assert len(server.batches) == 2


def test_one_question_that_is_called_wrong_among_others_that_are_not_stays_where_it_is(cache):
    with serving(Script(where=lambda batch, row: "refused" if row == 0 else "output")) as server:
        replies = client(server, cache).ask(questions(3, SCHEMA))
        assert [reply.failure for reply in replies.values()] == ["rejected", None, None]
        assert len(server.batches) == 1


def test_a_dead_run_s_questions_go_down_the_ladder_when_they_are_asked_again(cache):
    asks = questions(4, SCHEMA)
    with serving(Script(poll_errors=[503], where=lambda batch, row: "output" if batch else "refused")) as server:
        with pytest.raises(HarnessError):
            client(server, cache, max_retries=0).ask(asks)
        assert all_answered(client(server, cache).ask(asks[:2]), asks[:2])
        assert all_answered(client(server, cache).ask(asks), asks)
        assert [len(server.rows(batch)) for batch in server.batches] == [4, 2, 2]


def test_a_mode_learned_meanwhile_does_not_hide_a_batch_that_is_out(cache):
    asks = questions(3, SCHEMA)
    with serving(Script(poll_errors=[503])) as server:
        with pytest.raises(HarnessError):
            client(server, cache, max_retries=0).ask(asks)
        cache.remember_mode(endpoint(server), "text")
        assert all_answered(client(server, cache).ask(asks), asks)
        assert len(server.batches) == 1


def test_the_mode_that_is_asked_for_is_kept(cache):
    with serving(Script(where=lambda batch, row: "refused")) as server:
        replies = client(server, cache, structured="json_object").ask(questions(2, SCHEMA))
        assert [reply.failure for reply in replies.values()] == ["rejected"] * 2
        assert len(server.batches) == 1


def test_repeated_unknown_and_unreadable_lines_are_passed_over_and_counted(cache):
    unknown = b'{"custom_id": "who", "response": {"status_code": 200, "body": {}}, "error": null}\n'
    with serving(Script(tail=unknown + b'{"custom_id": "cut', twice=True)) as server:
        one = client(server, cache)
        assert all_answered(one.ask(questions(5)), questions(5))
        assert one.oddities == {"unknown": 1, "unreadable": 1, "repeated": 5}
        assert one.spent.completion_tokens == 5 * 3


def test_a_busy_server_is_asked_again_and_a_dropped_download_too(cache):
    slept: list[float] = []
    script = Script(poll_errors=[429, 500, 503], create_errors=[500, 429], dropped_downloads=2, polls=3)
    with serving(script) as server:
        assert all_answered(client(server, cache, slept).ask(questions(4)), questions(4))
        assert len(server.batches) == 1
        assert len(slept) == 3 + 2 + 2 + 3


def test_a_server_is_left_alone_for_as_long_as_it_asks(cache):
    slept: list[float] = []
    with serving(Script(poll_errors=[429], retry_after=17, polls=0)) as server:
        client(server, cache, slept).ask(questions(1))
        assert len(slept) == 1
        assert 17 <= slept[0] <= 22


def test_polls_grow_apart(cache):
    slept: list[float] = []
    with serving(Script(polls=12)) as server:
        client(server, cache, slept).ask(questions(1))
        waits = np.array(slept)
        assert waits[0] == 30.0
        assert (np.diff(waits) >= 0).all()
        assert waits[-1] == module.LONGEST_POLL


def test_a_batch_whose_making_was_not_heard_of_is_not_made_again(cache):
    with serving(Script()) as server:
        client(server, cache).ask(questions(2))
        server.script.lost_creates = 1
        assert all_answered(client(server, cache).ask(questions(5)), questions(5))
        assert [len(server.rows(batch)) for batch in server.batches] == [2, 3]


def test_a_server_out_of_reach_ends_the_run_and_the_next_one_goes_on(cache):
    with serving(Script(poll_errors=[503] * 3)) as server:
        with pytest.raises(HarnessError, match=r"HTTP 503, tries: 3\): check.*remembered"):
            client(server, cache, max_retries=2).ask(questions(3))
        assert len(cache.open_batches(endpoint(server))) == 1
        assert all_answered(client(server, cache).ask(questions(3)), questions(3))
        assert len(server.batches) == 1


def test_a_batch_is_remembered_before_it_is_looked_at(cache, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with serving() as server:
        with monkeypatch.context() as patched:
            patched.setattr(module._Rounds, "_wait", die)
            with pytest.raises(KeyboardInterrupt):
                client(server, cache).ask(questions(3))
        assert list(cache.open_batches(endpoint(server))) == ["batch-0"]
        assert all_answered(client(server, cache).ask(questions(3)), questions(3))
        assert len(server.batches) == 1


@pytest.mark.parametrize(("dies_at", "batches"), [("create", 0), ("save_batch", 1)])
def test_death_between_file_and_batch_is_found_out(cache, monkeypatch, dies_at, batches):
    """Before the batch is made: it is made once. After it is made and before its id is stored: it is found."""
    real = cache.save_batch

    def die(*_):
        raise KeyboardInterrupt

    def save(batch, *rest):
        (die if batch.startswith("batch-") else real)(batch, *rest)

    with serving() as server:
        client(server, cache).ask([Ask("o", (Turn("user", "another"),))])
        with monkeypatch.context() as patched:
            if dies_at == "create":
                patched.setattr(module.BatchApi, "create", die)
            else:
                patched.setattr(cache, "save_batch", save)
            with pytest.raises(KeyboardInterrupt):
                client(server, cache).ask(questions(3))
        assert len(server.batches) == 1 + batches
        server.script.poll_errors = [503]
        with pytest.raises(HarnessError):
            client(server, cache, max_retries=0).ask(questions(3))
        last = client(server, cache)
        assert all_answered(last.ask(questions(3)), questions(3))
        assert not last.oddities
        assert len(server.batches) == 2
        assert not cache.open_batches(endpoint(server))


def test_a_batch_that_is_out_is_joined_by_what_is_new_and_left_by_what_is_not_in_it(cache):
    with serving(Script(poll_errors=[503])) as server:
        with pytest.raises(HarnessError):
            client(server, cache, max_retries=0).ask(questions(4))
        other = [Ask("o", (Turn("user", "another"),))]
        assert all_answered(client(server, cache).ask(other), other)
        assert "batch-0" in cache.open_batches(endpoint(server))
        asks = questions(6)[2:]
        assert all_answered(client(server, cache).ask(asks), asks)
        assert [len(server.rows(batch)) for batch in server.batches] == [4, 1, 2]
        # What the dead run asked and this one did not was paid for too.
        assert all_answered(client(server, cache, replay=True).ask(questions(6)), questions(6))


def test_a_batch_that_the_server_forgot_is_sent_again(cache):
    with serving() as server:
        cache.save_batch("batch-77", endpoint(server), {"x": module.key(endpoint(server), questions(1)[0], "text")})
        assert all_answered(client(server, cache).ask(questions(1)), questions(1))
        assert not cache.open_batches(endpoint(server))


def test_large_rounds_are_sent_in_shards(cache, monkeypatch):
    monkeypatch.setattr(module, "shards", lambda requests: shards(requests, most=4))
    with serving() as server:
        assert all_answered(client(server, cache).ask(questions(10)), questions(10))
        assert [len(server.rows(batch)) for batch in server.batches] == [4, 4, 2]


def test_progress_goes_up_to_everything(cache):
    told: list[Told] = []
    with serving(Script(where=lambda batch, row: "refused" if row == 0 else "output")) as server:
        client(server, cache).ask(questions(1))
        client(server, cache).ask(questions(4), told.append)
    done = [t.done for t in told]
    assert (done[0], done[-1], {t.total for t in told}) == (1, 4, {4})
    assert done == sorted(done)
    assert (told[0].failed, told[-1].failed, told[-1].cached) == (1, 2, 1)


def test_cost_is_limited_before_sending_and_counted_at_the_price_of_a_batch(cache):
    prices = {"price_in": 1e6, "price_out": 1e6, "batch_factor": 0.5}
    with serving() as server:
        with pytest.raises(HarnessError, match="raise --max-cost"):
            client(server, cache, max_cost=1.0, **prices).ask(questions(2))
        assert not server.batches
        assert not server.files
        one = client(server, cache, **prices)
        one.ask(questions(2))
        assert one.spent.dollars == pytest.approx(2 * (7 + 3) * 0.5)
        assert one.spent.requests == 2


CHILD = """
import sys
from pathlib import Path
from harness.llm.batch import BatchClient
from harness.llm.cache import ReplyCache
from tests.llm.batching import endpoint, questions
from tests.llm.batch_server import BatchServer, Script
server = BatchServer(Script(), sys.argv[1])
BatchClient(endpoint(server), ReplyCache(Path(sys.argv[2])), poll_s=0.05).ask(questions(6))
"""


def test_a_killed_run_pays_once(cache):
    with serving(Script(polls=10**6)) as server:
        command = [sys.executable, "-c", CHILD, server.url, str(cache.path)]
        job = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"BATCH_KEY": KEY})
        try:
            deadline = time.monotonic() + 60
            while server.polled < 2:
                assert job.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            job.send_signal(signal.SIGKILL)
            job.wait()
        assert list(cache.open_batches(endpoint(server))) == ["batch-0"]
        server.batches[0]["polls"] = 1
        assert all_answered(client(server, cache).ask(questions(6)), questions(6))
        assert len(server.batches) == 1
        assert Counter(server.paid) == Counter(f"question {i}" for i in range(6))
