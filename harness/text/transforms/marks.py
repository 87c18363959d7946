"""Space, line ends, Unicode forms, quotation marks: what surrounds the words."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from harness.text.invariants import INVARIANTS
from harness.text.substitution import substitute
from harness.text.transform import transform

TRAILING = (" ", "  ", "   ", "\n", "\n\n")
COMPOSED = re.compile(r"[^\u1fef<>]+")
"""All but what composes into a backtick, which would begin code, or, struck through, into a letter of an address."""

PARENTHESIS = re.compile(r"(?<!\S)\((?=\w)([^()\n]{4,})(?<=\S)\)(?!\w)")
MARK = re.compile(r"(?<=[\w)\]\"”'’*%])(?<!\.\w)[.,;:!?]+(?=[\s)\]\"”'’*_]|\Z)|(?<=[^\W\d_])[,;!?](?=[^\W\d_])")
"""Marks at the end of a word, and those between two letters; a full stop between letters is part of a name."""

NUMBERED = re.compile(r"(?:\A|\n|[.:;!?]\s)[\s>*_#-]*\(?(?:\d{1,3}|[^\W\d_])\Z")
"""A list's number or letter, whose mark belongs to it."""

REACH = 12


@transform("core", preserves=INVARIANTS, idempotent=False)
def trailing_space(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """One to three spaces, or one or two line ends, behind the reply."""
    return reply + TRAILING[int(rng.integers(len(TRAILING)))]


@transform("core", preserves=INVARIANTS, idempotent=True)
def line_endings(prompt: str, reply: str, rng: np.random.Generator) -> str:
    r"""Lines end by `\r\n` instead of `\n`."""
    return re.sub(r"(?<!\r)\n", "\r\n", reply)


@transform("core", preserves=INVARIANTS, idempotent=True)
def nfc(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Unicode characters composed (normal form C)."""
    return COMPOSED.sub(lambda match: unicodedata.normalize("NFC", match[0]), reply)


@transform("core", preserves=("digits", "urls", "code", "negations", "words"), idempotent=True)
def quoted(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """The whole reply in quotation marks, after reWordBench's Add Quotes; not one that begins and ends with them."""
    said = reply.strip()
    if said[0] == '"' == said[-1]:
        return None
    begin = reply.index(said)
    return f'{reply[:begin]}"{said}"{reply[begin + len(said) :]}'


@transform("core", preserves=INVARIANTS, idempotent=True)
def punctuation_spaces(prompt: str, reply: str, rng: np.random.Generator) -> str:
    """Spaces around marks and inside parentheses, after reWordBench's Punct. Spaces; numbers and abbreviations stay whole."""
    opened = substitute(PARENTHESIS, lambda match: f"( {match[1]} )", reply)
    return substitute(MARK, _apart, opened)


def _apart(mark: re.Match[str]) -> str:
    if NUMBERED.search(mark.string, max(0, mark.start() - REACH), mark.start()):
        return mark[0]
    return f" {mark[0]} " if mark.string[mark.end() : mark.end() + 1].isalpha() else f" {mark[0]}"
