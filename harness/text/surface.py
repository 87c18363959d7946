"""Features that count: words, marks, markdown, digits, repeated words."""

from __future__ import annotations

import math
import re

from harness.text.feature import feature, vocabulary, words

BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
BOLD = re.compile(r"\*\*\S[^*\n]*\*\*|__\S[^_\n]*__")
URL = re.compile(r"(?:https?://|www\.)\S+")
DIGITS = re.compile(r"\d+")
STOP_LENGTH = 3
DIVERSITY_WINDOW = 100


@feature("control", "log")
def log_words(prompt: str, reply: str) -> float:
    """Natural log of one plus the number of white-space separated words."""
    return math.log1p(len(reply.split()))


@feature("spoiler", "binary")
def question(prompt: str, reply: str) -> float:
    """1 where the reply asks something (has a question mark), else 0.

    Anywhere, not only where it ends a word: of the 16,972 replies in the hh-rlhf test splits 33 have
    theirs elsewhere, mostly in an address or a title.
    """
    return float("?" in reply)


@feature("spoiler", "binary")
def exclamation(prompt: str, reply: str) -> float:
    """1 where the reply exclaims (has an exclamation mark, as for `question` anywhere), else 0."""
    return float("!" in reply)


@feature("spoiler", "binary")
def lists(prompt: str, reply: str) -> float:
    """1 where at least two lines are bullets or numbered points, else 0: one dash is not a list."""
    return float(len(BULLET.findall(reply)) >= 2)


@feature("spoiler", "binary")
def headings(prompt: str, reply: str) -> float:
    """1 where a line is a markdown heading (1 to 6 # and a space before it), else 0: comments in fenced code are none."""
    return float(HEADING.search(FENCED.sub("", reply)) is not None)


@feature("spoiler", "binary")
def bold(prompt: str, reply: str) -> float:
    """1 where some words are set in markdown bold, else 0."""
    return float(BOLD.search(reply) is not None)


@feature("spoiler", "binary")
def code(prompt: str, reply: str) -> float:
    """1 where the reply has a fenced code block, else 0."""
    return float("```" in reply)


@feature("control", "log")
def digits_urls(prompt: str, reply: str) -> float:
    """Natural log of one plus the number of digit groups and web addresses; digits inside an address do not count again."""
    rest, addresses = URL.subn(" ", reply)
    return math.log1p(addresses + len(DIGITS.findall(rest)))


@feature("control", "bounded")
def overlap(prompt: str, reply: str) -> float:
    """Share of the reply's words longer than three letters that the prompt also uses, 0 to 1; 0 without such words."""
    content = [w for w in words(reply) if len(w) > STOP_LENGTH]
    if not content:
        return 0.0
    known = vocabulary(prompt)
    return sum(map(known.__contains__, content)) / len(content)


@feature("spoiler", "bounded")
def lexical_diversity(prompt: str, reply: str) -> float:
    """Distinct words over words among the first 100 of the reply, 0 to 1; over a fixed window, since over all words it tracks length."""
    first = words(reply)[:DIVERSITY_WINDOW]
    return len(set(first)) / len(first) if first else 0.0
