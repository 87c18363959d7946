"""What a transform of a reply is, and the registry every transform enters itself into."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Literal

import numpy as np

from harness.registry import Registry
from harness.text.feature import suffix
from harness.text.invariants import INVARIANTS, broken, edit_ratio
from harness.text.rewritten import Rewritten

Kind = Literal["core", "noise", "stress"]
"""Keeps the meaning; damages the form a little; is bait."""

Change = Callable[[str, str, np.random.Generator], str | None]
Damage = Callable[[str, np.random.Generator, float], str | None]


@dataclass(frozen=True)
class Transform:
    """A deterministic rewrite of a reply that should leave the verdict on a pair as it is.

    `preserves` are the names of `INVARIANTS` that hold for every text, `idempotent` says whether a second application
    changes nothing more, `most` is the largest edit ratio a rewrite of its kind may have. Transforms that differ in their
    rate of damage alone share a `family`. `version` goes up whenever a rewritten text could change.
    """

    name: str
    version: str
    kind: Kind
    preserves: frozenset[str]
    idempotent: bool
    function: Change
    family: str
    rate: float | None = None
    """Share of the characters or words that noise touches."""
    most: float = 1.0

    @property
    def variant(self) -> str:
        """Name of the rewritten texts in a score table; with the version, as for `Feature.column`."""
        return f"rewrite/{self.name}{suffix(self.version)}"

    @property
    def __wrapped__(self) -> Change:
        """The function, by which the registry tells a transform that is registered again from another of its name."""
        return self.function

    def apply(self, prompt: str, reply: str, item: str, seed: int) -> Rewritten:
        """The rewritten reply and the checks it fails; no text where the transform finds nothing to change, as in a blank reply.

        What is random depends on the item, the transform and the seed alone: both replies of an item meet the same bait.
        Checks are the declared invariants, `edit_ratio` (above `most`) and `empty`.
        """
        changed = self.function(prompt, reply, self._rng(item, seed)) if reply.strip() else None
        if changed is None or changed == reply:
            return Rewritten(None)
        problems = broken(reply, changed, self.preserves)
        if edit_ratio(reply, changed) > self.most:
            problems += ("edit_ratio",)
        if not changed.strip():
            problems += ("empty",)
        return Rewritten(changed, problems)

    def _rng(self, item: str, seed: int) -> np.random.Generator:
        named = f"{seed}/{self.family}/{self.version}/{item}".encode("utf-8", "surrogatepass")
        return np.random.default_rng(int.from_bytes(hashlib.sha256(named).digest()[:8], "big"))


TRANSFORMS: Registry[Transform] = Registry("transform", "reward_harness.transforms")
"""Every transform by name: those of `harness.text.transforms`, of plugins, of entry points."""


def transform(
    kind: Kind,
    preserves: Iterable[str],
    *,
    idempotent: bool,
    most: float = 1.0,
    version: str = "1",
) -> Callable[[Change], Change]:
    """Decorator that registers a function (prompt text, reply, generator) -> rewritten reply or None under its own name.

    The function returns None, or the reply itself, where there is nothing to change. Raises ValueError for an invariant
    that does not exist, InputError where the name is taken by another function.
    """
    kept = _known(preserves)

    def enter(function: Change) -> Change:
        """Registers `function`."""
        name = function.__name__
        TRANSFORMS.register(name)(Transform(name, version, kind, kept, idempotent, function, name, None, most))
        return function

    return enter


def noise(
    preserves: Iterable[str], *, per_cent: Iterable[int] = (1, 3, 5), most: float = 0.5, version: str = "1"
) -> Callable[[Damage], Damage]:
    """Decorator that registers a function (reply, generator, rate) -> damaged reply or None as one transform a rate, `{name}_{per cent}`.

    The generator is the same at every rate, so that a function which draws before it compares with the rate damages at 5 %
    what it damages at 1 %, and more. Raises as `transform`.
    """
    kept = _known(preserves)

    def enter(function: Damage) -> Damage:
        """Registers `function` at every rate."""
        for percent in per_cent:
            name = f"{function.__name__}_{percent}"
            change = _at_rate(function, percent / 100)
            made = Transform(name, version, "noise", kept, False, change, function.__name__, percent / 100, most)
            TRANSFORMS.register(name)(made)
        return function

    return enter


def _at_rate(function: Damage, rate: float) -> Change:
    @wraps(function)
    def change(prompt: str, reply: str, rng: np.random.Generator) -> str | None:
        return function(reply, rng, rate)

    return change


def _known(names: Iterable[str]) -> frozenset[str]:
    kept = frozenset(names)
    if unknown := kept - set(INVARIANTS):
        raise ValueError(f"no invariant is called {min(unknown)!r}; they are {', '.join(INVARIANTS)}")
    return kept
