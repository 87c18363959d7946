"""What most rewrites leave alone in a text: code and addresses."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.text.invariants import CODE, URL

PROTECTED = re.compile(rf"```.*?(?:```|\Z)|{CODE.pattern}|{URL.pattern}", re.DOTALL | re.IGNORECASE)
"""A fenced block (to the end of the text where nothing closes it), a code span, an address."""


def outside(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` applied to each part between addresses, code spans and blocks, empty parts left out.

    A change that adds or removes backticks or line ends, or writes what begins an address, can still alter which spans
    are code or addresses in the whole text.
    """
    done: list[str] = []
    end = 0
    for match in PROTECTED.finditer(text):
        done += [change(text[end : match.start()]) if match.start() > end else "", match.group()]
        end = match.end()
    return "".join([*done, change(text[end:]) if end < len(text) else ""])


def inside(text: str) -> list[tuple[int, int]]:
    """Begin and end of every address, code span and block, in order."""
    return [match.span() for match in PROTECTED.finditer(text)]
