"""How the questions of a run travel, what they will cost before any is sent, and what failed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.llm.ask import Ask, Asker, Reply, Told
from harness.llm.batch import BatchClient
from harness.llm.cache import ReplyCache
from harness.llm.client import Client
from harness.llm.cost import Cost, check_cost, estimate_cost
from harness.llm.endpoint import Endpoint


@dataclass(frozen=True)
class Foreseen:
    """What one stage of a run would send: `cost` with answers of the usual length, `most` dollars with the longest that
    the questions allow.
    """

    stage: str
    model: str
    cost: Cost
    most: float | None


@dataclass(frozen=True)
class Carrier:
    """How questions travel: with which stored replies, as a batch or one by one, or not at all, for how many dollars in all."""

    cache: ReplyCache
    batch: bool = False
    replay: bool = False
    max_cost: float | None = None

    def client(self, endpoint: Endpoint, spent: float, completion_tokens: int) -> Client | BatchClient:
        """What asks this endpoint and spends at most what is left of the limit after `spent` dollars.

        `completion_tokens` is what an answer usually takes.
        """
        left = None if self.max_cost is None else max(0.0, self.max_cost - spent)
        if self.batch:
            return BatchClient(endpoint, self.cache, replay=self.replay, max_cost=left)
        return Client(endpoint, self.cache, replay=self.replay, max_cost=left, completion_tokens=completion_tokens)

    def foresee(self, stage: str, endpoint: Endpoint, asks: Sequence[Ask], completion_tokens: int) -> Foreseen:
        """What is left to send and pay for these questions; stored replies cost nothing."""
        cost = estimate_cost(endpoint, asks, self.cache, batch=self.batch, completion_tokens=completion_tokens)
        most = estimate_cost(endpoint, asks, self.cache, batch=self.batch).dollars
        return Foreseen(stage, endpoint.model, cost, most)

    def check(self, endpoints: Iterable[Endpoint], foresee: Callable[[], Sequence[Foreseen]]) -> None:
        """Raises InputError where a limit is set and a price unknown, HarnessError where what is foreseen would pass it."""
        if self.max_cost is None or self.replay:
            return
        for endpoint in endpoints:
            check_cost(endpoint, self.max_cost)
        stages = foresee()
        total = sum(stage.cost.dollars or 0.0 for stage in stages)
        if total > self.max_cost:
            raise HarnessError(
                f"{sum(stage.cost.requests for stage in stages)} questions would cost about {total:.4g} dollars, above the "
                f"limit of {self.max_cost:g}; none of them was sent. Take fewer with --max-pairs, or raise --max-cost"
            )


class Overheard:
    """An asker that keeps the first detail of each failure in `words`."""

    def __init__(self, asker: Asker, words: dict[str, str]) -> None:
        self._asker = asker
        self._words = words

    def ask(self, asks: Iterable[Ask], report: Callable[[Told], None] = lambda told: None) -> dict[str, Reply]:
        """The asker's own replies."""
        replies = self._asker.ask(asks, report)
        for _, reply in sorted(replies.items()):
            if reply.failure and reply.detail:
                self._words.setdefault(reply.failure, reply.detail)
        return replies


def by_reason(errors: Iterable[str]) -> dict[str, int]:
    """How many errors there are of each reason (what stands before a colon), the most frequent first."""
    reasons = Counter(error.partition(":")[0] for error in errors)
    return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
