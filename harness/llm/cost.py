"""What questions cost: before they are sent, as an estimate; while they are, as a limit; and after, as a sum."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache as once
from typing import Protocol

from harness.errors import HarnessError, InputError
from harness.llm.ask import Ask, Failure, Reply, Usage
from harness.llm.cache import ReplyCache, question
from harness.llm.endpoint import Endpoint

CHARACTERS_A_TOKEN = 4
FRAME = 4
"""Tokens a message takes beside its text."""


@dataclass(frozen=True)
class Cost:
    """Requests, tokens and dollars of a round of questions, foreseen or spent.

    `dollars` is None where the endpoint's prices are unknown; `approximate` where tokens are counted by neither the server
    nor its tokenizer; `cached` counts questions that cost nothing since their replies are stored.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    approximate: bool
    cached: int


class Tokens(Protocol):
    """How many tokens a text has."""

    def __call__(self, text: str) -> int:
        """Tokens of `text`."""
        ...


@once
def tokenizer(model: str) -> tuple[Tokens, bool]:
    """How to count a model's tokens, and whether that is a guess: by tiktoken where it is installed and knows the model."""
    try:
        import tiktoken

        encoding = tiktoken.encoding_for_model(model)
    except (ImportError, KeyError, OSError):  # OSError: it fetches its tables, and there may be no network
        return (lambda text: -(-len(text) // CHARACTERS_A_TOKEN)), True
    return (lambda text: len(encoding.encode(text, disallowed_special=()))), False


def prompt_tokens(endpoint: Endpoint, ask: Ask) -> int:
    """Tokens of a question as far as they can be told before it is sent."""
    count, _ = tokenizer(endpoint.model)
    schema = 0 if ask.schema is None else count(json.dumps(dict(ask.schema)))
    return sum(count(turn.content) + FRAME for turn in ask.turns) + schema


def dollars(endpoint: Endpoint, prompt: int, completion: int, batch: bool = False) -> float | None:
    """Price of so many tokens in dollars; None where the endpoint does not say its prices."""
    if endpoint.price_in is None or endpoint.price_out is None:
        return None
    factor = endpoint.batch_factor if batch else 1.0
    return factor * (prompt * endpoint.price_in + completion * endpoint.price_out) / 1e6


def estimate_cost(
    endpoint: Endpoint,
    asks: Iterable[Ask],
    cache: ReplyCache,
    *,
    batch: bool = False,
    completion_tokens: int | None = None,
) -> Cost:
    """What is left to pay for these questions: sum of (t_in p_in + t_out p_out) times the batch's factor over what is
    not cached, equal questions once.

    `completion_tokens` is assumed for every reply; None: as many as the request allows, so an upper bound.
    """
    asks = list(asks)
    found = cache.find(endpoint, asks)
    distinct = {question(endpoint, ask): ask for ask in asks if ask.id not in found}.values()
    asked = sum(prompt_tokens(endpoint, ask) for ask in distinct)
    answered = sum(completion_tokens or ask.max_tokens or endpoint.max_tokens for ask in distinct)
    _, guess = tokenizer(endpoint.model)
    return Cost(len(distinct), asked, answered, dollars(endpoint, asked, answered, batch), guess, len(found))


def check_cost(endpoint: Endpoint, max_cost: float | None) -> None:
    """Raises InputError where a limit in dollars is set that cannot be kept, since the prices are unknown."""
    if max_cost is not None and dollars(endpoint, 0, 0) is None:
        raise InputError(
            f"a limit of {max_cost:g} dollars needs the prices of {endpoint.model}, and its endpoint names none: add "
            "price_in and price_out (dollars per million tokens) to the endpoint's file"
        )


UNPAID: tuple[Failure, ...] = ("unreachable", "rejected", "filtered")
"""Replies for which no completion was made, where no tokens are counted."""


class Purse:
    """What has been spent at one endpoint, at a batch's price or the full one, and the limit in dollars (None: no limit)."""

    def __init__(self, endpoint: Endpoint, max_cost: float | None, batch: bool = False) -> None:
        check_cost(endpoint, max_cost)
        self._endpoint = endpoint
        self._batch = batch
        self.limit = max_cost
        self._requests = self._prompt = self._completion = self._cached = 0
        self._guessed = False

    @property
    def spent(self) -> Cost:
        """Everything so far; `requests` counts every try."""
        price = dollars(self._endpoint, self._prompt, self._completion, self._batch)
        return Cost(self._requests, self._prompt, self._completion, price, self._guessed, self._cached)

    def sent(self) -> None:
        """One more request went out."""
        self._requests += 1

    def found(self, replies: int) -> None:
        """So many replies came from the cache."""
        self._cached += replies

    def pay(self, ask: Ask, reply: Reply) -> None:
        """Count what a reply cost: tokens as the server counted them, or a guess where it did not."""
        usage = reply.usage
        if usage == Usage() and reply.failure not in UNPAID:
            count, _ = tokenizer(self._endpoint.model)
            usage = Usage(prompt_tokens(self._endpoint, ask), count(reply.text or ""))
            self._guessed = True
        self._prompt += usage.prompt_tokens
        self._completion += usage.completion_tokens

    def allow(self, foreseen: Cost) -> None:
        """Raises HarnessError where what is foreseen would pass the limit."""
        total = (self.spent.dollars or 0.0) + (foreseen.dollars or 0.0)
        if self.limit is not None and total > self.limit:
            raise HarnessError(
                f"{foreseen.requests} questions would take the cost to about {total:.4g} dollars, above the limit of "
                f"{self.limit:g}; none of them was sent. Ask fewer, or raise --max-cost"
            )


class Guard:
    """Keeps a round of questions below the purse's limit whatever length their replies have."""

    def __init__(self, endpoint: Endpoint, purse: Purse) -> None:
        self._endpoint = endpoint
        self._purse = purse
        self._held: dict[str, float] = {}
        self._changed = asyncio.Condition()

    def _fits(self, worst: float) -> bool:
        return (self._purse.spent.dollars or 0.0) + sum(self._held.values()) + worst <= (self._purse.limit or 0.0)

    @asynccontextmanager
    async def room(self, ask: Ask) -> AsyncIterator[None]:
        """Hold the price of the longest reply to `ask` while it is out, waiting for the others' if need be.

        Raises HarnessError where it does not fit even with nothing else out.
        """
        if self._purse.limit is None:
            yield
            return
        limit = ask.max_tokens or self._endpoint.max_tokens
        worst = dollars(self._endpoint, prompt_tokens(self._endpoint, ask), limit) or 0.0
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(worst) or not self._held)
            if not self._fits(worst):
                raise HarnessError(
                    f"stopped at {self._purse.spent.dollars:.4g} dollars: one more question may pass the limit of "
                    f"{self._purse.limit:g}. Every reply so far is kept: raise --max-cost and run again"
                )
            self._held[ask.id] = worst
        try:
            yield
        finally:
            async with self._changed:
                del self._held[ask.id]
                self._changed.notify_all()
