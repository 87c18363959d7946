from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.llm.client import GIVEN_UP, Client
from harness.llm.endpoint import Endpoint
from tests.llm import server as play
from tests.llm.asking import PRICES, Naps, ask_one, client, in_late, question
from tests.llm.server import answer, endpoint_of, in_turn, script, serving, status

PASSING = {
    "429": status(429),
    "429 and when": status(429, headers={"Retry-After": "7"}),
    "408": status(408),
    "409": status(409),
    "500": status(500),
    "503": status(503),
    "truncated": play.cut_body(),
    "no JSON": play.raw(b"<html>busy</html>"),
    "an error as a success": play.raw(b'{"error": {"message": "overloaded"}}'),
    "dropped": play.dropped(),
    "hung up": play.hung_up(),
}


@pytest.mark.parametrize("name", list(PASSING))
def test_a_fault_that_passes_costs_a_try_and_nothing_else(name, cache):
    reply, server = ask_one(in_turn(PASSING[name], PASSING[name], answer("fine")), cache)
    assert (reply.text, reply.failure, reply.cached) == ("fine", None, False)
    assert server.asked == {"q0": 3}
    assert server.paid == {"q0": 1}


@pytest.mark.parametrize("name", list(PASSING))
def test_a_fault_that_stays_is_a_reply_that_is_not_stored(name, cache):
    reply, server = ask_one(PASSING[name], cache)
    assert (reply.text, reply.failure) == (None, "unreachable")
    assert "tries: 4" in reply.detail
    assert server.asked == {"q0": 4}
    with serving(answer("fine")) as again:
        endpoint = endpoint_of(server)
        again_there = Endpoint(**{**endpoint.model_dump(), "base_url": again.url})
        assert cache.find(endpoint, [question(0)]) == {}
        assert Client(again_there, cache).ask([question(0)])["id0"].text == "fine"


def test_a_server_that_is_too_slow_is_given_up_and_tried_again(cache):
    reply, server = ask_one(in_turn(play.slow(), answer("fine")), cache, timeout_s=0.3)
    assert (reply.text, server.asked["q0"]) == ("fine", 2)
    reply, server = ask_one(play.slow(), cache, timeout_s=0.3, max_retries=0, seed=1)
    assert (reply.failure, reply.detail) == ("unreachable", "no answer within 0.3 s, tries: 1")


def test_a_server_that_is_not_there_is_unreachable(cache):
    endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", max_retries=1)
    reply = Client(endpoint, cache, sleep=Naps()).ask([question(0)])["id0"]
    assert (reply.failure, reply.text) == ("unreachable", None)
    assert "connection failed" in reply.detail


FINAL = {
    "refusal": (play.refusal("Never."), "refused", "Never."),
    "no choices": (play.no_choices(), "empty", "choice"),
    "null content": (play.no_content(), "empty", "content"),
    "empty content": (answer(""), "empty", "content"),
    "length": (answer("half", finish="length"), "cut", "limit"),
    "content filter": (answer("half", finish="content_filter"), "filtered", "filter"),
    "a filtered question": (status(400, "no such talk", code="content_filter"), "filtered", "no such talk"),
    "400": (status(400, "the prompt is too long"), "rejected", "too long"),
    "413": (status(413, "too large"), "rejected", "too large"),
    "422": (status(422, "no such field"), "rejected", "no such field"),
}


@pytest.mark.parametrize("name", list(FINAL))
def test_a_reply_without_text_is_a_failure_asked_for_once(name, cache):
    act, failure, detail = FINAL[name]
    with serving(act) as server:
        first, second = (client(server, cache).ask([question(0)])["id0"] for _ in range(2))
    assert (first.failure, first.text, first.cached) == (failure, None, False)
    assert detail in first.detail
    assert (second.failure, second.detail, second.cached) == (failure, first.detail, True)
    assert server.asked == {"q0": 1}


def test_retry_after_is_waited_for_and_backoff_else(cache):
    naps = Naps()
    with serving(in_turn(status(429, headers={"Retry-After": "40"}), status(500), status(500), answer())) as server:
        client(server, cache, naps, clock=lambda: 0.0).ask([question(0)])
    assert 40.0 <= naps[0] <= 41.0
    assert naps[1] == naps[0]  # its turn: the clock stands still
    assert naps[2] <= 2.0
    assert naps[4] <= 4.0


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (status(401, "Incorrect API key provided"), "OPENAI_API_KEY"),
        (status(403), "OPENAI_API_KEY"),
        (status(404, "no such model"), "base_url"),
        (status(429, code="insufficient_quota"), "quota"),
    ],
)
def test_what_nothing_can_succeed_after_ends_the_call_and_keeps_what_was_paid(act, says, cache):
    """The eleventh question on is answered by the act; ten replies before it and any on their way are stored."""
    with serving(script(lambda seen: answer() if int(seen.question[1:]) < 10 else act)) as server:
        asked = [question(i) for i in range(200)]
        with pytest.raises(HarnessError, match=says) as caught:
            client(server, cache, concurrency=4).ask(asked)
        assert caught.value.__cause__ is None
        assert server.paid == {f"q{i}": 1 for i in range(10)}
        assert sum(server.asked.values()) <= 10 + 4
        assert len(cache.find(endpoint_of(server), asked)) == 10


def test_what_is_on_its_way_when_a_call_ends_is_kept_and_who_waits_to_try_again_is_let_go(cache):
    """The third question ends the call: the second waits for its next try by then, the fourth is about to."""
    busy = status(503, headers={"Retry-After": "200"})
    acts = {"q0": answer("late", after=0.5), "q1": busy, "q2": in_late(status(401)), "q3": in_late(busy, 0.5)}
    asked = [question(i) for i in range(4)]
    with serving(play.by_question(acts)) as server:
        with pytest.raises(HarnessError, match="OPENAI_API_KEY"):
            Client(endpoint_of(server), cache).ask(asked)  # a real sleep
        assert {i: r.text for i, r in cache.find(endpoint_of(server), asked).items()} == {"id0": "late"}
        assert server.asked == {"q0": 1, "q1": 1, "q2": 1, "q3": 1}


def test_who_waits_for_room_when_a_call_ends_sends_nothing(cache):
    with serving(in_late(status(401))) as server:
        with pytest.raises(HarnessError, match="OPENAI_API_KEY"):
            client(server, cache, max_cost=250.0, completion_tokens=1, **PRICES).ask([question(i) for i in range(9)])
        assert sum(server.asked.values()) == 2


def test_a_server_that_went_away_ends_the_call(cache):
    with serving(status(500)) as server, pytest.raises(HarnessError, match="in a row"):
        client(server, cache, max_retries=0, concurrency=2).ask([question(i) for i in range(500)])
    assert GIVEN_UP <= sum(server.asked.values()) <= GIVEN_UP + 2


def test_a_bad_patch_does_not_end_the_call(cache):
    broken = script(lambda seen: answer() if int(seen.question[1:]) % 50 == 0 else status(500))
    with serving(broken) as server:
        replies = client(server, cache, max_retries=0, concurrency=1).ask([question(i) for i in range(200)])
    assert sum(reply.failure == "unreachable" for reply in replies.values()) == 196
