"""Transforms of replies by what they touch; importing this package registers them all.

A new transform is a decorated function of (prompt text, reply, generator) in a module imported here, or in a plugin:

    @transform("core", preserves=("digits", "negations", "words"), idempotent=True)
    def ellipsis(prompt: str, reply: str, rng: np.random.Generator) -> str:
        "Three full stops become one character."
        return reply.replace("...", "…")

Another distribution can offer a `Transform` as an entry point of the group `reward_harness.transforms`.
"""

from __future__ import annotations

from harness.text.transform import TRANSFORMS, Transform, noise, transform
from harness.text.transforms import (  # noqa: F401  (importing them registers their transforms)
    answers,
    bait,
    casing,
    code,
    code_bait,
    damage,
    markdown,
    marks,
    rot,
    spelling,
    wording,
)

__all__ = ["SETS", "TRANSFORMS", "Transform", "noise", "spelled", "transform"]

CORE = (
    "trailing_space", "line_endings", "nfc", "quoted", "punctuation_spaces", "expand_contractions", "contract",
    "digits_to_words", "words_to_digits", "american", "british", "strip_markdown", "unbold", "unhead",
    "bullets_to_sentences", "sentences_to_bullets", "boxed_to_heading", "heading_to_boxed", "strip_comments", "minify",
)  # fmt: skip
FAMILIES = ("swap", "substitute", "insert", "delete", "homoglyphs", "typos", "drop_words")
PLAIN_NOISE = ("lower", "upper", "drop_final_mark")
NOISE = (*(f"{family}_{percent}" for family in FAMILIES for percent in (1, 3, 5)), *PLAIN_NOISE)
NOISE_3 = (*(f"{family}_3" for family in FAMILIES), *PLAIN_NOISE)
STRESS = (
    "handle", "url", "tautology", "ignore_above", "ignore_below", "rot13", "rot2", "other_code", "comment_good",
    "comment_bad", "confident", "polite", "pad",
)  # fmt: skip

SETS = {"core": CORE, "noise": NOISE, "noise_3": NOISE_3, "stress": STRESS, "standard": (*CORE, *NOISE_3, *STRESS)}
"""Fixed lists, so that what a mean is over does not depend on what else is installed."""


def spelled(names: str) -> tuple[str, ...]:
    """Names separated by commas, the name of a set standing for its list; each once, in order."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(dict.fromkeys(n for name in listed for n in SETS.get(name, (name,))))
