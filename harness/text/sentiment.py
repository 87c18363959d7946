"""Sentiment of a reply by the VADER lexicon (Hutto and Gilbert 2014), which ships with its package and needs no network."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness.text.feature import feature

OPENING = 1000


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@feature("spoiler", "bounded")
def sentiment(prompt: str, reply: str) -> float:
    """VADER compound score of the first 1,000 characters, -1 (negative) to 1: over more text it saturates, and its cost grows with the square of the length."""
    return float(_analyzer().polarity_scores(reply[:OPENING])["compound"])
