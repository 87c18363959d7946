"""Questions sent as batch files: cheaper by half, answered within a day, and never sent twice however often a run dies."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.llm.ask import Ask, Failure, Reply, Told, unique
from harness.llm.batch_api import BatchApi
from harness.llm.batch_file import Line, mode_of, read_lines, shards
from harness.llm.cache import ReplyCache, key, question
from harness.llm.cost import Cost, Purse, estimate_cost
from harness.llm.endpoint import Endpoint
from harness.llm.ladder import Ladder, rungs
from harness.llm.send import HOPELESS, PASSING_STATUS, SHOWN
from harness.llm.wire import MalformedError, read_completion, request_body

if TYPE_CHECKING:
    from openai.types import Batch

ROUNDS = 4
"""How often what is missing is sent again: down the ladder of modes, and once more."""

ENDED: Mapping[str, Failure] = {
    "completed": "unreachable",
    "expired": "expired",
    "cancelled": "expired",
    "failed": "unreachable",
}
"""States that a batch stays in, and what a request is that has no result then."""

EXPIRED = "batch_expired"
NOT_ASKED = Reply("", None, "not_asked", "no stored reply, and nothing is sent in a replay")
Keys = Mapping[str, str]
"""Cache keys by `custom_id`: what a batch asks."""

UPLOADED = "uploaded:"
"""Before the id of a file, in place of a batch's id: a batch that may or may not have been made of it."""

SLOWER = 1.5
LONGEST_POLL = 600.0
"""Polls grow apart by this factor, up to these seconds."""


class BatchClient:
    """Carries questions to one endpoint's Batch API (`harness.llm.ask.Asker`): nothing is asked twice, every fault is a reply.

    With `replay` nothing is sent: what is not stored is `not_asked`. `max_cost` limits what this client may spend, in
    dollars, taking every reply to be as long as allowed. `poll_s` are the seconds before the second look at a batch,
    `sleep` waits for seconds, `rng` draws the jitter of retries, which no result depends on. `oddities` counts lines of
    result files that were passed over: `unknown` (no such question in the batch), `repeated`, and `unreadable`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cache: ReplyCache,
        *,
        replay: bool = False,
        max_cost: float | None = None,
        poll_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.cache = cache
        self.oddities: Counter[str] = Counter()
        self.poll_s = poll_s
        self.sleep = sleep
        self.purse = Purse(endpoint, max_cost, batch=True)
        self._replay = replay
        self.rng = np.random.default_rng(os.getpid()) if rng is None else rng

    @property
    def spent(self) -> Cost:
        """What this client has sent and paid for; replies of an earlier run's batch count as paid when they come."""
        return self.purse.spent

    def ask(self, asks: Iterable[Ask], report: Callable[[Told], None] = lambda told: None) -> dict[str, Reply]:
        """A reply for every ask, by its id; equal questions are sent once. Waits until every batch has ended.

        Raises InputError where two asks share an id or a key is missing, HarnessError where the server takes no batch,
        stays out of reach, or the cost would pass its limit: what came by then is in the cache, what is on its way is
        remembered, and the same call goes on from there.
        """
        asks = unique(asks)
        stored = self.cache.find(self.endpoint, asks)
        self.purse.found(len(stored))
        todo = [ask for ask in asks if ask.id not in stored]
        failed = sum(reply.failure is not None for reply in stored.values())

        def tell(done: int) -> None:
            report(Told(min(len(stored) + done, len(asks)), len(asks), failed, len(stored)))

        tell(0)
        last = _Rounds(self, todo, tell).run() if todo and not self._replay else {}
        come = {name: replace(reply, cached=False) for name, reply in self.cache.find(self.endpoint, todo).items()}
        none = {ask.id: replace(last.get(question(self.endpoint, ask), NOT_ASKED), id=ask.id) for ask in todo}
        replies = stored | none | come
        failed = sum(reply.failure is not None for reply in replies.values())
        tell(len(todo))
        return {ask.id: replies[ask.id] for ask in asks}

    def allow(self, asks: Sequence[Ask]) -> None:
        """Raises HarnessError where sending these questions would pass the limit in dollars."""
        if self.purse.limit is not None:
            self.purse.allow(estimate_cost(self.endpoint, asks, self.cache, batch=True))


class _Rounds:
    """The questions of one call on their way: sent, waited for, and sent again where no result came."""

    def __init__(self, client: BatchClient, todo: Iterable[Ask], tell: Callable[[int], None]) -> None:
        self._client, self._endpoint, self._cache, self._tell = client, client.endpoint, client.cache, tell
        self._api = BatchApi(client.endpoint, client.sleep, client.rng)
        known = self._cache.mode(self._endpoint)
        self._ladder = Ladder(self._endpoint, known, lambda mode: self._cache.remember_mode(self._endpoint, mode))
        self._asks = {question(self._endpoint, ask): ask for ask in todo}
        self._modes = {name: self._ladder.start(ask) for name, ask in self._asks.items()}
        self._questions = {
            key(self._endpoint, ask, mode): name
            for name, ask in self._asks.items()
            for mode in rungs(self._endpoint, ask, known)
        }
        self._last: dict[str, Reply] = {}

    def run(self) -> dict[str, Reply]:
        """Go on until every question has its reply in the cache or the rounds are over; the last said of each, by question."""
        for _ in range(ROUNDS):
            missing = self._missing()
            if not missing:
                break
            batches = dict(self._on_their_way(missing))
            coming = {self._questions.get(of) for keys in batches.values() for of in keys.values()}
            batches |= self._send([name for name in missing if name not in coming])
            self._wait(batches, len(self._asks) - len(missing))
        return self._last

    def _missing(self) -> list[str]:
        stored = self._cache.find(self._endpoint, self._asks.values())
        return [name for name, ask in self._asks.items() if ask.id not in stored]

    def _on_their_way(self, missing: Iterable[str]) -> Iterator[tuple[str, Keys]]:
        """Batches of an earlier round or run that hold any of these questions."""
        wanted = set(missing)
        for batch, keys in self._cache.open_batches(self._endpoint).items():
            if wanted.isdisjoint(self._questions.get(of) for of in keys.values()):
                continue
            made = self._made(batch, keys) if batch.startswith(UPLOADED) else batch
            if made is not None:
                yield made, keys

    def _made(self, uploaded: str, keys: Keys) -> str | None:
        made = self._api.made_of(uploaded.removeprefix(UPLOADED))
        if made is not None:
            self._cache.save_batch(made, self._endpoint, keys)
        self._cache.close_batch(uploaded)
        return made

    def _send(self, names: Sequence[str]) -> dict[str, Keys]:
        """New batches for these questions. The file's name is stored before a batch is made of it, the batch's right after:
        whenever the run dies, the next one finds it."""
        asks = [self._asks[name] for name in names]
        self._client.allow(asks)
        modes = [self._modes[name] for name in names]
        requests = (
            (key(self._endpoint, ask, mode), mode, request_body(self._endpoint, ask, mode))
            for ask, mode in zip(asks, modes, strict=True)
        )
        batches: dict[str, Keys] = {}
        for shard in shards(requests):
            file = self._api.upload(shard.content)
            self._cache.save_batch(UPLOADED + file, self._endpoint, shard.keys)
            batch = self._api.create(file)
            self._cache.save_batch(batch, self._endpoint, shard.keys)
            self._cache.close_batch(UPLOADED + file)
            for _ in shard.keys:
                self._client.purse.sent()
            batches[batch] = shard.keys
        return batches

    def _wait(self, batches: Mapping[str, Keys], settled: int) -> None:
        """Look at the batches until all have ended, and take what each has brought."""
        waiting, pause = dict(batches), self._client.poll_s
        answered: dict[str, int] = {}
        while waiting:
            for name in list(waiting):
                batch = self._api.state(name)
                counts = batch and batch.request_counts
                answered[name] = counts.completed + counts.failed if counts else 0
                if batch is None or batch.status in ENDED:
                    self._take(batch, waiting.pop(name))
                    self._cache.close_batch(name)
            self._tell(settled + sum(answered.values()))
            if waiting:
                self._client.sleep(pause)
                pause = min(pause * SLOWER, LONGEST_POLL)

    def _take(self, batch: Batch | None, keys: Keys) -> None:
        """Store every result of a batch that has ended; what has none is not lost, but missing."""
        read: set[str] = set()
        files = (batch.output_file_id, batch.error_file_id) if batch else ()
        for line in (line for file in files if file for line in read_lines(self._api.content(file))):
            odd = _odd(line, keys, read)
            if line is None or odd:
                self._client.oddities[odd or "unreadable"] += 1
                continue
            read.add(line.custom_id)
            self._settle(keys[line.custom_id], line)
        end = _end(batch, self._api.hide)
        self._last |= {
            self._questions[of]: end for name, of in keys.items() if name not in read and of in self._questions
        }

    def _settle(self, of: str, line: Line) -> None:
        """Store a result, or go down the ladder where the server calls the question wrong for its form."""
        mode = mode_of(line.custom_id)
        reply = replace(_reply(line, self._api.hide), mode=mode)
        name = self._questions.get(of)
        if name is None:  # of a larger call that died: it was paid for too, and may yet go down the ladder
            if reply.failure != "rejected":
                self._cache.put(of, reply)
            return
        ask = self._asks[name]
        self._last[name] = reply
        lower = self._ladder.below(ask, mode, reply.detail or "") if reply.failure == "rejected" else None
        if lower is not None:
            self._modes[name] = lower
            return
        if line.body is not None:
            self._ladder.landed(ask, mode)
            self._client.purse.pay(ask, reply)
        self._cache.put(of, reply)


def _odd(line: Line | None, keys: Keys, read: Collection[str]) -> str | None:
    """Why a line is passed over, or None."""
    if line is None:
        return "unreadable"
    if line.custom_id not in keys:
        return "unknown"
    return "repeated" if line.custom_id in read else None


def _reply(line: Line, hide: Callable[[str], str]) -> Reply:
    """What one line says. Only what another try would meet again is `rejected`."""
    if line.body is not None:
        try:
            return read_completion(line.body)
        except MalformedError as error:
            return Reply("", None, "unreachable", str(error))
    said = f"HTTP {line.status}: {hide(line.said)[:SHOWN]}"
    if line.status is None:
        return Reply("", None, "expired" if line.code == EXPIRED else "unreachable", hide(line.said)[:SHOWN])
    final = 400 <= line.status < 500 and line.status not in {*PASSING_STATUS, *HOPELESS}
    return Reply("", None, "rejected" if final else "unreachable", said)


def _end(batch: Batch | None, hide: Callable[[str], str]) -> Reply:
    """Why a request of a batch has no result."""
    if batch is None:
        return Reply("", None, "unreachable", "the server does not know the batch any more")
    faults = (batch.errors.data if batch.errors else None) or []
    said = "; ".join(hide(str(fault.message)) for fault in faults[:3])
    return Reply("", None, ENDED[batch.status], f"the batch is {batch.status}" + (f": {said}"[:SHOWN] if said else ""))
