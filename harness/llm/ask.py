"""A question to a language model, its reply, and what carries one to the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.errors import InputError

Mode = Literal["json_schema", "json_object", "text"]
"""How an endpoint is asked for JSON, best first: a strict schema, any JSON object, or words alone."""

MODES: tuple[Mode, ...] = ("json_schema", "json_object", "text")

Failure = Literal["refused", "empty", "cut", "filtered", "unreachable", "rejected", "expired", "not_asked"]
"""Why there is no text: the model declined; no choice or no content came; the length limit cut it; a content filter; the
server could not be reached or kept failing; it called the request wrong; a batch ran out of time; replay without a stored reply."""


@dataclass(frozen=True)
class Turn:
    """One message of a question: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Ask:
    """One question. `id` is the caller's own and unique within a call; everything else decides what the reply is.

    `schema` is the JSON schema the answer must fit, None for free text. `repeat` tells equal questions apart that are
    asked more than once on purpose, and `seed` (where an endpoint takes one) goes with it.
    """

    id: str
    turns: tuple[Turn, ...]
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    repeat: int = 0
    max_tokens: int | None = None
    """Of the reply; None: the endpoint's own."""


def unique(asks: Iterable[Ask]) -> list[Ask]:
    """The questions as a list. Raises InputError where two share an id."""
    asks = list(asks)
    twice = [name for name, n in Counter(ask.id for ask in asks).items() if n > 1]
    if twice:
        raise InputError(f"{len(twice)} ids of questions occur more than once, such as {twice[0]!r}: make them unique")
    return asks


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """What came back for an `Ask`: text as the model wrote it, or a failure with its detail; never both, never validated here."""

    id: str
    text: str | None
    failure: Failure | None = None
    detail: str | None = None
    usage: Usage = Usage()
    seconds: float = 0.0
    fingerprint: str | None = None
    mode: Mode = "text"
    cached: bool = False
    """Came from the cache: nothing was sent or paid for it now."""


@dataclass(frozen=True)
class Told:
    """How far a round of questions is: for progress on a terminal."""

    done: int
    total: int
    failed: int
    cached: int


class Asker(Protocol):
    """Carries questions to a language model: one by one (`harness.llm.client`), or as a batch file (`harness.llm.batch`)."""

    def ask(self, asks: Iterable[Ask], report: Callable[[Told], None] = lambda told: None) -> dict[str, Reply]:
        """A reply for every ask, by its id: failures are replies too. Raises HarnessError where no request can succeed
        (wrong key, no such model, cost above the limit): what was paid for by then is in the cache.
        """
        ...
