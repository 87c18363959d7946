"""Kinds of rewrites: what each asks to change, from which text, and what must be as it was.

Of a style there are four: both directions of the reply, and each of those rewritten once more in the other direction. The
difference in reward of the twice rewritten ones is free of what the rewriter does to every text it writes
(RATE, arXiv 2410.11348).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import InputError
from harness.llm.styles import LENGTH, STYLES, Range

PARAPHRASE = "paraphrase"
STYLE = "style:"
KEPT = ("digits", "code")
"""Names of `harness.text.invariants` that every rewrite keeps, beside addresses (`harness.llm.checks`). A paraphrase keeps the number of negations too; a change of
style may turn `not bad` into `good`."""


@dataclass(frozen=True)
class Kind:
    """One way of rewriting. `change` says it in words, `length` is the range of the ratio of characters, `keeps` are names
    of invariants, and `of` is the kind whose rewrite is rewritten (None: the reply itself). `rewords` says that the same
    words again are no answer; a reply that has a style already is right to come back as it was, and without such texts the
    price of a style would be that of the replies which lack it.
    """

    name: str
    change: str
    version: str
    length: Range
    keeps: tuple[str, ...]
    of: str | None = None
    rewords: bool = False


PARAPHRASED = Kind(
    PARAPHRASE,
    "Rewrite the last reply in other words. Change its wording and its grammar, in every sentence where that can be done, "
    "and change nothing else: the meaning of every sentence stays, its intent, and the strength of what it claims, wants "
    "or feels.",
    "1",
    LENGTH,
    (*KEPT, "negations"),
    rewords=True,
)


def kinds(names: str) -> tuple[Kind, ...]:
    """The kinds of `paraphrase` and `style:NAME`, separated by commas: what is made of replies first, then what is made of
    those. Raises InputError for any other name.
    """
    asked = dict.fromkeys(name.strip() for name in names.split(","))
    found = [kind for name in asked for kind in _kinds(name)]
    return tuple(sorted(found, key=lambda kind: kind.of is not None))


def _kinds(name: str) -> tuple[Kind, ...]:
    if name == PARAPHRASE:
        return (PARAPHRASED,)
    if not name.startswith(STYLE):
        known = ", ".join([PARAPHRASE, *(STYLE + style for style in STYLES.names())])
        raise InputError(f"no kind of rewrite is called {name!r}; expected some of {known}")
    style = STYLES.get(name.removeprefix(STYLE))
    up = _towards(f"{name}:up", style.up, style.version, style.length_up)
    down = _towards(f"{name}:down", style.down, style.version, style.length_down)
    return up, down, _back(up, down, "down"), _back(down, up, "up")


def _towards(name: str, words: str, version: str, length: Range) -> Kind:
    change = (
        f"Rewrite the last reply so that it {words}. Change nothing else about it: what it says stays, fact by fact and "
        "advice by advice, and so does whether it helps or declines."
    )
    return Kind(name, change, version, length, KEPT)


def _back(first: Kind, second: Kind, direction: str) -> Kind:
    """Rewrites of the first kind, rewritten as the second kind is."""
    return Kind(f"{first.name}:{direction}", second.change, second.version, second.length, second.keeps, of=first.name)
