"""Answers that must have a form: read here whatever the server promised, sent back once where they have not got it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from harness.llm.ask import Ask, Asker, Reply, Told, Turn

T = TypeVar("T")

QUARANTINED = "quarantined"
"""The error of a question whose answer had no form twice begins with this; others are a `Failure` of the reply."""

Report = Callable[[Told], None]
Mend = Callable[[Sequence[Turn], str, str], tuple[Turn, ...]]
"""The question once more, from its turns, the answer and what is wrong with it."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a question came to: a value, or the reason why there is none."""

    value: T | None
    error: str | None = None


def answers(
    asks: Iterable[Ask], asker: Asker, read: Callable[[str], T], mend: Mend, report: Report = lambda told: None
) -> dict[str, Answer[T]]:
    """An answer for every question by its id. `read` raises ValueError where a text has not got the form: it goes back
    once, with what is wrong with it; the second wrong one is quarantined. Raises what `Asker.ask` raises.
    """
    todo = {ask.id: ask for ask in asks}
    found, wrong = _read(asker.ask(todo.values(), report), read)
    if wrong:
        again = [replace(todo[id], turns=mend(todo[id].turns, text, said)) for id, (text, said) in wrong.items()]
        mended, still = _read(asker.ask(again, report), read)
        found |= mended | {id: Answer(None, f"{QUARANTINED}: {said}") for id, (_, said) in still.items()}
    return found


def _read(
    replies: Mapping[str, Reply], read: Callable[[str], T]
) -> tuple[dict[str, Answer[T]], dict[str, tuple[str, str]]]:
    """Answers of the replies that have the form or failed; of the others what was said and what is wrong with it."""
    found: dict[str, Answer[T]] = {}
    wrong: dict[str, tuple[str, str]] = {}
    for id, reply in replies.items():
        if reply.text is None:
            found[id] = Answer(None, reply.failure)
            continue
        try:
            found[id] = Answer(read(reply.text))
        except ValueError as error:
            wrong[id] = reply.text, str(error)
    return found, wrong
