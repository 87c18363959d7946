"""Items, and a rewriter that answers from a script: what tests of rewrites share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from harness.llm.ask import Ask, Reply, Told
from harness.preference import Message, PreferenceItem

TURN = re.compile(r'^\{"speaker".*\}$', re.MULTILINE)


def item(name: str, prompt: str, chosen: str, rejected: str) -> PreferenceItem:
    return PreferenceItem(name, (Message("user", prompt),), (chosen,), (rejected,), "d", "s", "other", name)


def items(n: int) -> list[PreferenceItem]:
    return [
        item(f"i{k}", f"question {k}?", f"A good reply of number {k}, of some length.", f"A bad reply of number {k}, of some length.")
        for k in range(n)
    ]  # fmt: skip


def said(text: str) -> str:
    return json.dumps({"rewritten": text})


def turns(user: str) -> list[dict[str, str]]:
    """The turns in a question's block of data."""
    return [json.loads(line) for line in TURN.findall(user)]


def reply(user: str) -> str:
    """The text that a question asks to rewrite."""
    return turns(user)[-1]["text"]


def reworded(user: str) -> str:
    """A valid rewrite of any text: one letter more."""
    return said(reply(user) + "!")


class Scripted:
    """Answers every question by a function of it; keeps what it was asked, call by call."""

    def __init__(self, answer: Callable[[Ask], str | Reply] = lambda ask: reworded(ask.turns[1].content)):
        self.answer = answer
        self.calls: list[list[Ask]] = []

    @property
    def asked(self) -> list[Ask]:
        return [ask for call in self.calls for ask in call]

    def ask(self, asks, report=lambda told: None):
        asks = list(asks)
        self.calls.append(asks)
        assert len({a.id for a in asks}) == len(asks)
        given = [(ask.id, self.answer(ask)) for ask in asks]
        report(Told(len(asks), len(asks), 0, 0))
        return {id: a if isinstance(a, Reply) else Reply(id, a) for id, a in reversed(given)}
