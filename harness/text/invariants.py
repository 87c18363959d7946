"""What a rewrite may be asked to leave alone, each as a view of a text that must come out equal before and after.

Two spellings of one text are equal to every view: a character composed or decomposed (Unicode NFC), a line ended by
`\\r\\n` or `\\n`, an apostrophe curly or straight.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping

from rapidfuzz.distance import Levenshtein

from harness.text.feature import APOSTROPHES, WORD

View = Callable[[str], Hashable]

DIGITS = re.compile(r"\d+")
URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+", re.IGNORECASE)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
QUOTED = re.compile(r'"[^"\n]+"|“[^”\n]+”')
NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|cannot)\b|n't\b", re.IGNORECASE
)


def digits(text: str) -> Hashable:
    """Runs of digits, in order."""
    return tuple(DIGITS.findall(text))


def urls(text: str) -> Hashable:
    """Addresses, in order."""
    return _spans(URL, text)


def code(text: str) -> Hashable:
    """Fenced blocks and code spans with their marks, in order."""
    return _spans(CODE, text)


def quotes(text: str) -> Hashable:
    """Quoted spans with their marks, in order."""
    return _spans(QUOTED, text)


def negations(text: str) -> Hashable:
    """How many words of negation there are; `don't` has one, as `do not` has."""
    return len(NEGATION.findall(_plain(text).translate(APOSTROPHES)))


def words(text: str) -> Hashable:
    """Words in order, capitals or not; digits count as words."""
    folded = _plain(text).translate(APOSTROPHES).casefold()
    return tuple(WORD.findall(unicodedata.normalize("NFC", folded)))


INVARIANTS: Mapping[str, View] = {
    "digits": digits,
    "urls": urls,
    "code": code,
    "quotes": quotes,
    "negations": negations,
    "words": words,
}


def broken(before: str, after: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the named invariants that differ between two texts, in the order of `INVARIANTS`."""
    asked = frozenset(names)
    return tuple(name for name, view in INVARIANTS.items() if name in asked and view(before) != view(after))


def edit_ratio(before: str, after: str) -> float:
    """Levenshtein distance in characters over the length of the longer text, 0 (equal) to 1."""
    return float(Levenshtein.normalized_distance(before, after))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n"))


def _spans(pattern: re.Pattern[str], text: str) -> Hashable:
    # Found first, composed after: some characters turn into a backtick or out of an angle bracket when composed,
    # and would move the ends of spans that a rewrite saw and left alone.
    return tuple(_plain(found) for found in pattern.findall(text))
