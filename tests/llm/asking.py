"""Questions, and clients on a server of `tests.llm.server` whose sleeps take no time."""

from __future__ import annotations

import asyncio

from harness.llm.ask import Ask, Turn
from harness.llm.client import Client
from tests.llm.server import endpoint_of, serving

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def question(i: object, **more) -> Ask:
    return Ask(f"id{i}", (Turn("system", "Answer."), Turn("user", f"q{i}")), **more)


PRICES = {"price_in": 0.0, "price_out": 1e6, "max_tokens": 100}  # a dollar a token of reply: five for each


class Naps(list):
    """A sleep that notes for how long it was asked, and takes no time."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def in_late(act, after=0.2):
    """The act, after the others have come in."""

    def late(connection, seen):
        connection.server.told.closing.wait(after)
        act(connection, seen)

    return late


def client(server, cache, naps=None, **changes) -> Client:
    own = {name: changes.pop(name) for name in ("replay", "max_cost", "completion_tokens", "clock") if name in changes}
    return Client(endpoint_of(server, **changes), cache, sleep=Naps() if naps is None else naps, **own)


def ask_one(act, cache, **changes):
    with serving(act) as server:
        replies = client(server, cache, **changes).ask([question(0)])
    return replies["id0"], server
