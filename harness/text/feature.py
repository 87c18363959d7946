"""What a text feature is, and the registry every feature enters itself into."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from harness.registry import Registry

Kind = Literal["target", "spoiler", "control"]
Form = Literal["binary", "log", "bounded", "open"]
Measure = Callable[[str, str], float]

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'"})


@dataclass(frozen=True)
class Feature:
    """A deterministic number of a reply in the light of its prompt.

    `kind` says what a reward model owes it: a `target` is meant to be rewarded, a `spoiler` is style that
    should not matter, a `control` is neither. `form` says what its values are: `binary` 0 or 1, which nobody
    scales; `log` the natural log of one plus a count or a capped rate; `bounded` a continuous number between
    fixed ends; `open` one without, whose tails a task cuts at the 1st and 99th percentile of its sample.
    `desired_sign` is the sign people want its price to have, 0 where it depends on the prompt or nobody asked.
    `version` goes up whenever a value could change.
    """

    name: str
    version: str
    kind: Kind
    form: Form
    desired_sign: int
    function: Measure

    @property
    def column(self) -> str:
        """Name of the feature's column in a score table; from version 2 on with the version, so that stored values of
        another one are never taken for it.
        """
        return f"x_{self.name}{suffix(self.version)}"

    @property
    def __wrapped__(self) -> Measure:
        """The function, by which the registry tells a feature that is registered again from another of its name."""
        return self.function


def suffix(version: str) -> str:
    """What a version adds to the name that values are stored under: nothing for the first."""
    return "" if version == "1" else f"@{version}"


FEATURES: Registry[Feature] = Registry("feature", "reward_harness.features")
"""Every feature by name: those of modules that `harness.text.features` imports, of plugins, of entry points."""


def feature(kind: Kind, form: Form, desired_sign: int = 0, version: str = "1") -> Callable[[Measure], Measure]:
    """Decorator that registers a function (prompt text, reply) -> float as the feature of its own name.

    Raises InputError where the name is taken by another function.
    """

    def enter(function: Measure) -> Measure:
        name = function.__name__
        FEATURES.register(name)(Feature(name, version, kind, form, desired_sign, function))
        return function

    return enter


@lru_cache(maxsize=8)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words of a text, curly apostrophes made straight; digits count as words."""
    return tuple(WORD.findall(text.translate(APOSTROPHES).lower()))


@lru_cache(maxsize=8)
def vocabulary(text: str) -> frozenset[str]:
    """The distinct words of a text."""
    return frozenset(words(text))


def lexicon(listed: str) -> frozenset[str]:
    """The words of a white-space separated list."""
    return frozenset(listed.split())
