from __future__ import annotations

import json

import pytest

from harness.llm.ask import Ask, Turn, Usage
from harness.llm.endpoint import Endpoint
from harness.llm.wire import MalformedError, read_completion, request_body
from tests.llm.server import completion

LOCAL = Endpoint(model="m", base_url="http://localhost:1/v1", temperature=0.5, seed=7, max_tokens=30)
ASK = Ask("a", (Turn("system", "s"), Turn("user", "u")), schema={"type": "object"}, schema_name="label", repeat=2)


def test_a_body_says_all_that_decides_a_reply_and_no_more():
    assert request_body(LOCAL, ASK, "json_schema") == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0.5,
        "max_tokens": 30,
        "seed": 9,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "label", "strict": True, "schema": {"type": "object"}},
        },
    }
    assert request_body(LOCAL, ASK, "json_object")["response_format"] == {"type": "json_object"}
    assert "response_format" not in request_body(LOCAL, ASK, "text")


def test_the_limit_and_the_seed_follow_the_endpoint_and_the_ask():
    hosted = request_body(Endpoint(model="m", seed=None), Ask("a", ASK.turns, max_tokens=5), "text")
    assert hosted["max_completion_tokens"] == 5
    assert "max_tokens" not in hosted
    assert "seed" not in hosted


def test_half_a_character_can_be_sent_and_stored():
    body = request_body(LOCAL, Ask("a", (Turn("user", "x\ud83dy"),)), "text")
    assert body["messages"][0]["content"] == "x?y"
    assert read_completion(json.loads('{"choices": [{"message": {"content": "x\\ud83d"}}]}')).text == "x?"


def test_a_completion_is_read():
    reply = read_completion(completion("  {} "))
    assert (reply.text, reply.failure, reply.usage, reply.fingerprint) == ("  {} ", None, Usage(10, 5), "fp")
    bare = read_completion({"choices": [{"message": {"content": "x"}}], "usage": None})
    assert (bare.text, bare.usage, bare.fingerprint) == ("x", Usage(), None)


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ({"choices": []}, "empty"),
        ({"choices": None}, "empty"),
        (completion(None), "empty"),
        (completion(" \n"), "empty"),
        (completion("half", "length"), "cut"),
        (completion(None, "length"), "cut"),
        (completion("half", "content_filter"), "filtered"),
        (completion(None, refusal="no"), "refused"),
        (completion(None, "length", refusal="no"), "refused"),
    ],
)
def test_what_has_no_whole_text_is_a_failure_with_its_reason(body, failure):
    reply = read_completion(body)
    assert (reply.text, reply.failure) == (None, failure)
    assert reply.detail


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"error": {"message": "overloaded"}},
        {"choices": ["x"]},
        {"choices": 3},
        {"choices": {"message": 1}},
        {"choices": [{"message": {"content": [1]}}]},
        {"choices": [{"message": {"content": "x"}}], "usage": [1]},
        {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}},
    ],
)
def test_what_is_no_completion_is_said_to_be_none(body):
    with pytest.raises(MalformedError):
        read_completion(body)
