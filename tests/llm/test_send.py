from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from harness.errors import InputError
from harness.llm.endpoint import Endpoint
from harness.llm.send import NO_KEY, OPENAI, Pace, complaint, connection, hopeless

LOCAL = Endpoint(model="m", base_url="http://localhost:8000/v1", api_key_env="MY_KEY", timeout_s=7.0)


def error(status: int, body: object) -> openai.APIStatusError:
    response: Any = SimpleNamespace(status_code=status, request=None, headers={})
    return openai.APIStatusError("", response=response, body=body)


def test_a_connection_has_the_key_of_its_variable_and_no_retries(monkeypatch):
    monkeypatch.setenv("MY_KEY", " sk-1\n")
    assert connection(LOCAL) == {"base_url": LOCAL.base_url, "api_key": "sk-1", "timeout": 7.0, "max_retries": 0}
    hosted = LOCAL.model_copy(update={"base_url": None})
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert connection(hosted)["base_url"] == OPENAI


def test_a_server_of_ones_own_needs_no_key_and_the_hosted_one_does(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    assert connection(LOCAL)["api_key"] == NO_KEY
    with pytest.raises(InputError, match="MY_KEY"):
        connection(LOCAL.model_copy(update={"base_url": None}))


@pytest.mark.parametrize("secret", ["sk-1\u2026", "sk-1\nsk-2"])
def test_what_cannot_be_a_key_is_refused_without_quoting_it(secret, monkeypatch):
    monkeypatch.setenv("MY_KEY", secret)
    with pytest.raises(InputError, match="MY_KEY") as caught:
        connection(LOCAL)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["localhost:8000/v1", "http://me:sk-1@host/v1", "http://host/v1?key=sk-1", "ftp://h"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_quoting_it(address):
    with pytest.raises(InputError, match="base_url") as caught:
        connection(LOCAL.model_copy(update={"base_url": address}))
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, None, "MY_KEY"),
        (401, "invalid_api_key", "MY_KEY"),
        (402, None, "MY_KEY"),
        (403, None, "MY_KEY"),
        (404, None, "base_url"),
        (404, "model_not_found", "the model m"),
        (400, "model_not_found", "the model m"),
        (429, "insufficient_quota", "quota"),
    ],
)
def test_what_no_question_can_succeed_after(status, code, says):
    ends = hopeless(LOCAL, error(status, {"message": "Incorrect API key sk-1", "code": code}))
    assert says in str(ends)
    assert "sk-1" not in str(ends)


@pytest.mark.parametrize("status", [400, 408, 409, 413, 422, 429, 500, 503])
def test_what_another_question_may_succeed_after(status):
    assert hopeless(LOCAL, error(status, {"message": "no"})) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "too long"}, "HTTP 400: too long"),
        ({"message": "bad", "param": "response_format"}, "HTTP 400: bad (response_format)"),
        ({"detail": "no such field"}, "HTTP 400: no such field"),
        (
            {"detail": [{"loc": ["body", "seed"], "msg": "not a number", "input": {"messages": "the question"}}]},
            "HTTP 400: ['body', 'seed']: not a number",
        ),
        ({"message": "key SECRET-KEY is odd"}, "HTTP 400: key [key] is odd"),
        ("<html>", "HTTP 400: "),
        (None, "HTTP 400: "),
        ({"message": "x" * 1000}, "HTTP 400: " + "x" * 300),
    ],
)
def test_a_complaint_is_quoted_without_question_and_key(body, said):
    assert complaint(error(400, body), "SECRET-KEY") == said


def test_both_limits_hold_and_a_pause_holds_for_all():
    slept = []

    async def sleep(seconds):
        slept.append(round(seconds, 6))

    limited = LOCAL.model_copy(update={"requests_per_minute": 60.0, "tokens_per_minute": 600.0})
    pace = Pace(limited, lambda: 0.0, sleep)

    async def go():
        await pace.take(100)
        await pace.take(10)
        pace.correct(30)
        await pace.take(10)
        pace.hold(50.0)
        await pace.take(1)

    asyncio.run(go())
    assert slept == [1.0, 10.0, 2.0, 8.0, 50.0, 9.0]
