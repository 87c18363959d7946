"""Capital letters and the last mark of a reply."""

from __future__ import annotations

from collections.abc import Callable
from string import whitespace

import numpy as np

from harness.text.protected import inside, outside
from harness.text.transform import transform

IN_CONTEXT = "Σσ"
"""The letter whose small form depends on what follows it."""


@transform("noise", ("digits", "urls", "code", "negations", "words"), idempotent=True)
def lower(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Small letters outside code and addresses, where the capital can be told from them."""
    return outside(reply, _each(str.lower, str.upper))


@transform("noise", ("digits", "urls", "code", "negations", "words"), idempotent=True)
def upper(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Capitals outside code and addresses, where the small letter can be told from them."""
    return outside(reply, _each(str.upper, str.lower))


@transform("noise", ("digits", "urls", "code", "quotes", "negations", "words"), idempotent=True)
def drop_final_mark(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Without the full stops, exclamation and question marks at the very end; a reply of nothing else stays."""
    kept = max(len(reply.rstrip(whitespace + ".!?")), *(end for _, end in inside(reply)), 0)
    return reply[:kept] + reply[kept:].translate(MARKS) if reply[:kept].strip() else None


MARKS = str.maketrans("", "", ".!?")


def _each(there: Callable[[str], str], back: Callable[[str], str]) -> Callable[[str], str]:
    """A change of every character that `there` makes one other which `back` makes it again."""

    def change(text: str) -> str:
        made = ((letter, there(letter)) for letter in text)
        return "".join(new if back(new) == letter and letter not in IN_CONTEXT else letter for letter, new in made)

    return change
