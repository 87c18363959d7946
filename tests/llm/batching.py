"""Questions, an endpoint and a client for tests against the batch server."""

from __future__ import annotations

from collections import Counter

import numpy as np

from harness.llm.ask import Ask, Turn
from harness.llm.batch import BatchClient
from harness.llm.cache import ReplyCache
from harness.llm.endpoint import Endpoint
from tests.llm.batch_server import BatchServer

KEY = "sk-secret-0123456789"
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def questions(n: int, schema=None) -> list[Ask]:
    return [Ask(f"id {i}", (Turn("system", "be brief"), Turn("user", f"question {i}")), schema) for i in range(n)]


def endpoint(server: BatchServer, **settings) -> Endpoint:
    return Endpoint(model="m", base_url=server.url, api_key_env="BATCH_KEY", **settings)


def client(server: BatchServer, cache: ReplyCache, slept: list[float] | None = None, **settings) -> BatchClient:
    given = {name: settings.pop(name) for name in ("replay", "max_cost") if name in settings}
    sleep = (slept if slept is not None else []).append
    return BatchClient(endpoint(server, **settings), cache, sleep=sleep, rng=np.random.default_rng(0), **given)


def all_answered(replies, asks) -> bool:
    assert list(replies) == [ask.id for ask in asks]
    return all(replies[ask.id].text == f"answer to {ask.turns[-1].content}" for ask in asks)


def sent(server: BatchServer) -> Counter[str]:
    return Counter(row["body"]["messages"][-1]["content"] for batch in server.batches for row in server.rows(batch))
