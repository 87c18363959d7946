"""Noise: letters and words swapped, lost, doubled or mistaken.

A rate is the expected share of the letters (of the words, for `drop_words`) outside code and addresses; a short reply is
often left whole. All that is random is drawn for every place before the rate is looked at, so that the damage at 1 % is
part of the damage at 5 %. Words that touch a digit, or what may become an address, are never damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from string import ascii_lowercase

import numpy as np

from harness.text.protected import PROTECTED
from harness.text.transform import noise

KEPT = ("digits", "urls", "code")
ADDRESS = r"[^\s<>\"'`]"
LETTERS = r"[^\W\d_]++"
ONE = rf"{LETTERS}(?:['’-]{LETTERS})*+"
WORDS = re.compile(
    rf"{PROTECTED.pattern}|{ONE}(?=://|\.{ADDRESS})(?:{ADDRESS})*+|(?<=\d){LETTERS}|{ONE}(?=\d)|({ONE})",
    re.DOTALL | re.IGNORECASE,
)
"""Group 1 is a word that may be damaged; letters in front of `://`, or of a full stop and more, may be half an address."""

HOMOGLYPHS = str.maketrans("aceijopsxyhvABCEHIJKMNOPSTXYZ", "асеіјорѕхуһνАВСЕНІЈКМΝОРЅТХΥΖ")
"""Latin letters and those of the Cyrillic or Greek alphabet that are drawn alike."""

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Letters of an American keyboard; a key lies between the one above it and the next one to the right of that."""


@noise(KEPT)
def swap(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """Two neighbouring letters of a word change places; the rate is the share of letters displaced."""
    letters = _letters(reply)
    late = rng.integers(2, size=len(reply) + 1)
    pairs: list[int] = []
    for word in _words(reply):
        first = word.start(1) + int(late[word.start(1)] if word.end(1) - word.start(1) > 2 else 0)
        pairs += [i for i in range(first, word.end(1) - 1, 2) if _unlike(reply[i], reply[i + 1])]
    written = list(reply)
    for i, _ in _hits(rng, pairs, rate * len(letters) / 2):
        written[i], written[i + 1] = written[i + 1], written[i]
    return "".join(written)


@noise(KEPT)
def substitute(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A letter becomes another of the Latin alphabet, in its case."""
    return _replaced(reply, rng, rate, _other)


@noise(KEPT)
def insert(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A letter of the Latin alphabet gets in behind a letter, in its case."""
    return _replaced(reply, rng, rate, lambda letter, draw: letter + _like(letter, _pick(ascii_lowercase, draw)))


@noise(KEPT)
def delete(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A letter is lost."""
    return _replaced(reply, rng, rate, lambda letter, draw: "")


@noise(KEPT)
def homoglyphs(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A Latin letter becomes the Cyrillic or Greek one that is drawn like it."""
    return _replaced(reply, rng, rate, lambda letter, draw: letter.translate(HOMOGLYPHS))


@noise(KEPT)
def typos(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A letter becomes one of the keys beside it on an American keyboard, in its case."""
    return _replaced(reply, rng, rate, _slipped)


@noise(KEPT)
def drop_words(reply: str, rng: np.random.Generator, rate: float) -> str | None:
    """A word is lost, and the space in front of it where that leaves the text in order."""
    words = [word.span(1) for word in _words(reply)]
    written = list(reply)
    for i, _ in _hits(rng, list(range(len(words))), rate * len(words)):
        begin, end = _with_space(reply, *words[i])
        written[begin:end] = [""] * (end - begin)
    return "".join(written)


# --- places ---------------------------------------------------------------------------------------


def _words(reply: str) -> list[re.Match[str]]:
    return [match for match in WORDS.finditer(reply) if match[1]]


def _letters(reply: str) -> list[int]:
    return [i for word in _words(reply) for i in range(*word.span(1)) if reply[i].isalpha()]


def _hits(rng: np.random.Generator, places: list[int], expected: float) -> list[tuple[int, float]]:
    """Those of the places that are hit, `expected` of them on average or all, each with a draw from [0, 1) of its own."""
    chance, draws = rng.random((2, len(places)))
    hit = np.flatnonzero(chance * len(places) < expected)
    return [(places[i], float(draws[i])) for i in hit]


def _replaced(reply: str, rng: np.random.Generator, rate: float, new: Callable[[str, float], str]) -> str:
    """The reply with a share of its letters made `new`; letters that this leaves as they are count in the share, and are no place."""
    letters = _letters(reply)
    places = [i for i in letters if new(reply[i], 0.0) != reply[i]]
    written = list(reply)
    for i, draw in _hits(rng, places, rate * len(letters)):
        written[i] = new(reply[i], draw)
    return "".join(written)


def _with_space(reply: str, begin: int, end: int) -> tuple[int, int]:
    before, after = reply[max(begin - 2, 0) : begin], reply[end : end + 1]
    if before[-1:] == " " and (not after.strip() or (before[:1].isalnum() and after in ".,;:!?)")):
        return begin - 1, end
    return begin, end + (before[-1:] in ("", "\n") and after == " ")


# --- letters --------------------------------------------------------------------------------------


def _unlike(one: str, other: str) -> bool:
    return one.isalpha() and other.isalpha() and one != other


def _pick(letters: str, draw: float) -> str:
    return letters[int(draw * len(letters))]


def _like(letter: str, new: str) -> str:
    return new.upper() if letter.isupper() else new


def _other(letter: str, draw: float) -> str:
    return _like(letter, _pick(ascii_lowercase.replace(letter.lower(), ""), draw))


def _neighbours() -> dict[str, str]:
    near: dict[str, str] = dict.fromkeys("".join(ROWS), "")
    beside = [pair for row in ROWS for pair in pairwise(row)]
    over = [
        pair
        for upper, lower in pairwise(ROWS)
        for keys in (upper, upper[1:])
        for pair in zip(keys, lower, strict=False)
    ]
    for one, other in beside + over:
        near[one] += other
        near[other] += one
    return near


NEAR = _neighbours()


def _slipped(letter: str, draw: float) -> str:
    near = NEAR.get(letter.lower())
    return _like(letter, _pick(near, draw)) if near else letter
