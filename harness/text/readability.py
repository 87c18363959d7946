"""Sentences of a reply, and how hard it is to read by their length and that of its words."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from harness.text.feature import feature, words

# The look-behind starts a match only where a run of marks does: without it a long run costs its square.
BREAK = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]*_]*+(?=\s|\Z)|\n""")
LETTER = re.compile(r"[^\W\d_]")


@lru_cache(maxsize=8)
def sentences(text: str) -> int:
    """How many sentences a text has: stretches with a letter, up to marks (. ! ? …) at the end of a word or to a line break."""
    return sum(LETTER.search(stretch) is not None for stretch in BREAK.split(text))


@feature("control", "log")
def sentence_count(prompt: str, reply: str) -> float:
    """Natural log of one plus the number of sentences; a line break ends one, a numeral alone is none."""
    return math.log1p(sentences(reply))


@feature("spoiler", "open")
def readability(prompt: str, reply: str) -> float:
    """Automated Readability Index (Senter and Smith 1967), about the school grade a text asks for; 0 for a text without words.

    4.71 characters a word + 0.5 words a sentence - 21.43, by the characters of words alone; at least one sentence.
    """
    found = words(reply)
    if not found:
        return 0.0
    return 4.71 * sum(map(len, found)) / len(found) + 0.5 * len(found) / max(1, sentences(reply)) - 21.43
