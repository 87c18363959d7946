"""Whether a rewrite is one: what it says beside what it was made from. A rewrite that fails is kept and named, never dropped.

`length` has the range of its kind, `similarity` the floor of reWordBench (arXiv 2503.11751), 0.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from harness.llm.kinds import Kind
from harness.text.invariants import URL, broken
from harness.text.phrases import refusal

FLOOR = 0.7
"""Least cosine of a rewrite with what it was made from."""

LEFT_ESCAPED = re.compile(r"\\(?:u[0-9a-fA-F]{4}|n(?![a-z]))")
"""JSON's escapes as text: what is left where a rewriter escapes twice. A command such as `\\nu` is none."""

Fails = Callable[[Kind, str, str], bool]
"""Whether a check fails: kind, text before, text after."""


def _length(kind: Kind, before: str, after: str) -> bool:
    low, high = kind.length
    return not low * len(before.strip()) <= len(after.strip()) <= high * len(before.strip())


def _addresses(text: str) -> list[str]:
    """Addresses in order, without the marks behind them: those of the sentence may change with its words."""
    return [address.rstrip(".,;:!?)]}*_") for address in URL.findall(text)]


CHECKS: Mapping[str, Fails] = {
    "identical": lambda kind, before, after: kind.rewords and before.split() == after.split(),
    "length": _length,
    "urls": lambda kind, before, after: _addresses(before) != _addresses(after),
    "escapes": lambda kind, before, after: len(LEFT_ESCAPED.findall(after)) > len(LEFT_ESCAPED.findall(before)),
    "refused": lambda kind, before, after: refusal("", after) > refusal("", before),
}
"""Nothing changed but white space where words had to; too short or too long; other addresses; escapes in place of characters; the rewriter
declined."""


def problems(kind: Kind, before: str, after: str) -> tuple[str, ...]:
    """Names of the checks that a rewrite fails: those of `CHECKS` and of the invariants its kind keeps; `empty` alone
    where there is nothing to check.
    """
    if not after.strip():
        return ("empty",)
    return (*(name for name, fails in CHECKS.items() if fails(kind, before, after)), *broken(before, after, kind.keeps))


def dissimilar(similarity: float | None) -> tuple[str, ...]:
    """`similarity` where the cosine is known and below the floor."""
    return ("similarity",) if similarity is not None and similarity < FLOOR else ()


def misjudged(judged: str | None) -> tuple[str, ...]:
    """`meaning` where a judge answered, and not yes."""
    return ("meaning",) if judged not in (None, "yes") else ()


def joined(*found: Iterable[str]) -> tuple[str, ...]:
    """Names of problems, each once, in the order they come."""
    return tuple(dict.fromkeys(name for names in found for name in names))
