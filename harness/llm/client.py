"""Questions sent one by one, many at a time: from the cache where it knows the reply, else over the wire."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.llm.ask import Ask, Mode, Reply, Told, unique
from harness.llm.cache import ReplyCache, key, place, question
from harness.llm.cost import Cost, Guard, Purse, estimate_cost
from harness.llm.endpoint import Endpoint
from harness.llm.ladder import Ladder
from harness.llm.limits import Sleep
from harness.llm.send import Pace, Sender, connection
from harness.llm.wire import CHAT, Wire

GIVEN_UP = 64
"""So many questions in a row without any answer are the server's end, not theirs."""

Answer = Callable[[list[Ask]], Awaitable[None]]
"""Answers one group of equal questions."""


class Client:
    """Carries questions to one endpoint (`harness.llm.ask.Asker`): nothing is asked twice, every fault is a reply.

    With `replay` nothing is ever sent: what is not stored is `not_asked`. `max_cost` limits what this client may spend,
    in dollars; `completion_tokens` is what its estimate assumes a reply to take (None: all that a request allows).
    `wire` is what is asked of the server, `rng` draws the jitter of retries, which no result depends on; `clock` and
    `sleep` are in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cache: ReplyCache,
        *,
        replay: bool = False,
        max_cost: float | None = None,
        completion_tokens: int | None = None,
        wire: Wire = CHAT,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.cache = cache
        self._replay = replay
        self._completion_tokens = completion_tokens
        self._wire = wire
        self._purse = Purse(endpoint, max_cost)
        # Seeded apart by process: two runs against one server should not come back together.
        self._rng = np.random.default_rng(os.getpid()) if rng is None else rng
        self._clock = clock
        self._sleep = sleep

    @property
    def spent(self) -> Cost:
        """What this client has sent and paid for; `requests` counts every try, `cached` what cost nothing."""
        return self._purse.spent

    def ask(self, asks: Iterable[Ask], report: Callable[[Told], None] = lambda told: None) -> dict[str, Reply]:
        """A reply for every ask, by its id; equal questions are sent once.

        Raises InputError where two asks share an id or a key is missing, HarnessError where no request can succeed or the
        cost would pass its limit: what was paid for by then is in the cache.
        """
        asks = unique(asks)
        replies = self.cache.find(self.endpoint, asks)
        self._purse.found(len(replies))
        told = _Telling(len(asks), replies, report)
        missing: dict[str, list[Ask]] = {}
        for ask in asks:
            if ask.id not in replies:
                missing.setdefault(question(self.endpoint, ask), []).append(ask)
        if self._replay:
            for ask in (ask for equal in missing.values() for ask in equal):
                told.add(Reply(ask.id, None, "not_asked", "no stored reply, and nothing is sent in a replay"))
        elif missing:
            self._allow([equal[0] for equal in missing.values()])
            _run(self._carry(list(missing.values()), told))
        return {ask.id: replies[ask.id] for ask in asks}

    def _allow(self, asks: list[Ask]) -> None:
        if self._purse.limit is not None:
            foreseen = estimate_cost(self.endpoint, asks, self.cache, completion_tokens=self._completion_tokens)
            self._purse.allow(foreseen)

    async def _carry(self, missing: list[list[Ask]], told: _Telling) -> None:
        from openai import AsyncOpenAI

        async with AsyncOpenAI(**connection(self.endpoint)) as http:
            crew = _Crew(min(self.endpoint.concurrency, len(missing)), self._sleep)
            pace = Pace(self.endpoint, self._clock, crew.rest)
            sender = Sender(self.endpoint, http, pace, crew.rest, self._rng, self._purse.sent, self._wire)
            await _Round(self.endpoint, self.cache, self._purse, sender, crew, told).all(missing)


class _Telling:
    """Gathers replies and reports how far they are."""

    def __init__(self, total: int, replies: dict[str, Reply], report: Callable[[Told], None]) -> None:
        self._replies = replies
        self._total = total
        self._report = report
        self._cached = len(replies)
        self._failed = sum(reply.failure is not None for reply in replies.values())
        self._tell()

    def _tell(self) -> None:
        self._report(Told(len(self._replies), self._total, self._failed, self._cached))

    def add(self, reply: Reply) -> None:
        """One more reply is there."""
        self._replies[reply.id] = reply
        self._failed += reply.failure is not None
        self._tell()


class _Crew:
    """As many workers as may be out at once, on one list of questions. The first that fails ends the work of all."""

    def __init__(self, size: int, sleep: Sleep) -> None:
        self._size = size
        self._sleep = sleep
        self._resting: set[asyncio.Task[Any]] = set()
        self._failed: BaseException | None = None

    def check(self) -> None:
        """Raises what ended the work, if it has ended. Called before anything is sent."""
        if self._failed is not None:
            raise self._failed

    async def rest(self, seconds: float) -> None:
        """Sleep, unless the work ends before or meanwhile."""
        self.check()
        me = asyncio.current_task()
        assert me is not None
        self._resting.add(me)
        try:
            await self._sleep(seconds)
        finally:
            self._resting.discard(me)

    async def work(self, answer: Answer, questions: Iterator[list[Ask]]) -> None:
        """Answer every question; raises the first error of any, after what is out has come in and is stored."""
        crew = (self._one(answer, questions) for _ in range(self._size))
        await asyncio.gather(*crew, return_exceptions=True)
        self.check()

    async def _one(self, answer: Answer, questions: Iterator[list[Ask]]) -> None:
        try:
            for equal in questions:
                await answer(equal)
        except BaseException as error:
            self._failed = self._failed or error
            # What is out comes in and is kept, it may be paid for; who waits for a next try need not.
            for task in self._resting:
                task.cancel()
            raise


class _Round:
    """What is done for each question of a call: asked down the ladder, stored, paid, told."""

    def __init__(
        self, endpoint: Endpoint, cache: ReplyCache, purse: Purse, sender: Sender, crew: _Crew, told: _Telling
    ) -> None:
        self._endpoint = endpoint
        self._cache = cache
        self._purse = purse
        self._sender = sender
        self._crew = crew
        self._told = told
        self._guard = Guard(endpoint, purse)
        self._ladder = Ladder(endpoint, cache.mode(endpoint), lambda mode: cache.remember_mode(endpoint, mode))
        self._unreachable_in_a_row = 0

    async def all(self, questions: list[list[Ask]]) -> None:
        """Answer every group of equal questions. Raises HarnessError where no further one can succeed."""
        if not self._ladder.known:
            # One question finds out how the server takes them, so that not every worker has to.
            probe = [equal for equal in questions if equal[0].schema is not None][:1]
            await self._crew.work(self._answer, iter(probe))
            questions = [equal for equal in questions if equal not in probe]
        await self._crew.work(self._answer, iter(questions))

    async def _answer(self, equal: list[Ask]) -> None:
        first = equal[0]
        async with self._guard.room(first):
            self._crew.check()
            reply = await self._down_the_ladder(first)
            self._cache.put(key(self._endpoint, first, reply.mode), reply)
            self._purse.pay(first, reply)
        for ask in equal:
            self._told.add(replace(reply, id=ask.id))
        self._unreachable_in_a_row = self._unreachable_in_a_row + 1 if reply.failure == "unreachable" else 0
        if self._unreachable_in_a_row >= GIVEN_UP:
            raise HarnessError(
                f"{place(self._endpoint)} gave no answer to {GIVEN_UP} questions in a row ({reply.detail}): check that it "
                "is up and run again; every reply so far is kept"
            )

    async def _down_the_ladder(self, ask: Ask) -> Reply:
        mode: Mode | None = self._ladder.start(ask)
        while mode is not None:
            reply = await self._sender.send(ask, mode)
            if reply.text is not None:
                self._ladder.landed(ask, mode)
            if reply.failure != "rejected":
                return reply
            mode = self._ladder.below(ask, mode, reply.detail or "")
        return reply


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, beside a loop that runs already (a notebook's) in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
