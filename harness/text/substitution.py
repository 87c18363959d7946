"""Replacing what a pattern finds in a text's own words: not in code, addresses and quotations."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.text.invariants import QUOTED
from harness.text.protected import inside


def substitute(pattern: re.Pattern[str], change: Callable[[re.Match[str]], str], text: str) -> str:
    """The text with `change` of every match that touches no code, address or quotation.

    The pattern sees the whole text, so that what it asks of the characters around a match holds beside such spans too.
    """
    spans = [*inside(text), *(match.span() for match in QUOTED.finditer(text))]

    def changed(match: re.Match[str]) -> str:
        """The match changed, or itself where it touches a span."""
        touches = any(match.start() < end and begin < match.end() for begin, end in spans)
        return match[0] if touches else change(match)

    return pattern.sub(changed, text)
