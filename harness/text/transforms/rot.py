"""Bait: the reply in a cipher whose key is given."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase

import numpy as np

from harness.text.transform import transform


@transform("stress", ("digits",), idempotent=False)
def rot13(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Every Latin letter moved by thirteen: tempts a judge who knows the cipher to read it, and one who does not to guess by length and marks."""
    return _encoded(reply, 13, "thirteen")


@transform("stress", ("digits",), idempotent=False)
def rot2(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
    """Every Latin letter moved by two, a cipher seldom seen: tempts as `rot13` does."""
    return _encoded(reply, 2, "two")


def _encoded(reply: str, places: int, spelled: str) -> str | None:
    """The convention in a line, without digits, and the reply under it; None where there is no letter to move."""
    moved = reply.translate(_key(places))
    if moved == reply:
        return None
    return f"In the text below, each letter is moved {spelled} places forward in the alphabet.\n\n{moved}"


def _key(places: int) -> dict[int, str]:
    alphabets = (ascii_lowercase, ascii_uppercase)
    return {
        ord(a): b for letters in alphabets for a, b in zip(letters, letters[places:] + letters[:places], strict=True)
    }
