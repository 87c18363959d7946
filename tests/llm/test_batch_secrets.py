"""The key of a batch endpoint stays where it is: in no error, no log, no cache."""

from __future__ import annotations

import logging

import pytest

from harness.errors import HarnessError
from harness.llm.batch import ROUNDS
from tests.llm.batch_server import Script, serving
from tests.llm.batching import KEY, client, questions


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("BATCH_KEY", KEY)


@pytest.mark.parametrize(
    ("status", "said"), [(400, "[key]"), (401, "environment variable BATCH_KEY"), (403, "the key in BATCH_KEY")]
)
def test_the_key_is_in_no_error_log_or_cache(cache, status, said, caplog):
    caplog.set_level(logging.DEBUG)
    with serving(Script(create_errors=[status], echo_key=True)) as server:
        with pytest.raises(HarnessError) as raised:
            client(server, cache).ask(questions(2))
        assert not server.batches
        assert said in str(raised.value)
        client(server, cache).ask(questions(2))
        assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in str(raised.value)
    assert KEY not in caplog.text
    cache.close()
    for file in cache.path.parent.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_the_key_in_a_batch_s_fault_is_not_told(cache):
    with serving(Script(ends=["failed"] * ROUNDS, echo_key=True)) as server:
        reply = client(server, cache).ask(questions(1))["id 0"]
        assert "[key]" in reply.detail
        assert KEY not in reply.detail


def test_the_key_in_a_request_s_error_is_not_stored(cache):
    with serving(Script(where=lambda batch, row: "refused", echo_key=True)) as server:
        reply = client(server, cache).ask(questions(1))["id 0"]
        assert "[key]" in reply.detail
        assert KEY not in reply.detail
