"""Sentiment of a reply by the VADER lexicon (Hutto and Gilbert 2014), which ships with its package and needs no network."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness.text.feature import feature

OPENING = 1000
BEFORE, AFTER = 3, 2
"""How many words before and after a word decide, by VADER's rules, what the word counts."""


@feature("spoiler", "bounded")
def sentiment(prompt: str, reply: str) -> float:
    """VADER compound score of the first 1,000 characters, -1 (negative) to 1: over more text it saturates."""
    analyzer = _analyzer()
    text = _spelled_out(reply[:OPENING], analyzer.emojis)
    return float(analyzer.score_valence(_valences(analyzer, text), text)["compound"])


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _spelled_out(text: str, emojis: dict[str, str]) -> str:
    """The text with every emoji replaced by its description, as words of their own."""
    if emojis.keys().isdisjoint(text):
        return text
    return "".join(f" {emojis[character]}" if character in emojis else character for character in text)


def _valences(analyzer: Any, text: str) -> list[float]:
    """What every word counts, exactly as `polarity_scores` has it, whose cost grows with the square of the length.

    Words outside the lexicon, which has no intensifiers, and the kind of `kind of` count nothing; the others are judged
    inside the few words around them.
    """
    from vaderSentiment.vaderSentiment import SentiText

    whole = SentiText(text)
    words = whole.words_and_emoticons
    lowered = [word.lower() for word in words]
    valences: list[float] = [0] * len(words)
    for i, word in enumerate(lowered):
        if word not in analyzer.lexicon or lowered[i : i + 2] == ["kind", "of"]:
            continue
        start = max(0, i - BEFORE)
        whole.words_and_emoticons = words[start : i + 1 + AFTER]
        valences[i] = analyzer.sentiment_valence(0, whole, words[i], i - start, [])[0]
    return analyzer._but_check(words, valences)
