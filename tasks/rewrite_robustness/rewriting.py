"""One way of rewriting in one arm, and the name it has as a variant of the score table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import InputError
from harness.llm.kinds import STYLE
from harness.registry import UnknownNameError
from harness.text.transform import Transform
from harness.text.transforms import TRANSFORMS

ARMS = ("both", "chosen_only", "rejected_only")
"""Which replies of a pair are exchanged for their rewrites."""

DIRECTIONS_OF_TWICE = 4
"""Parts of `style:formal:up:down`, whose text is a rewrite of a rewrite."""


@dataclass(frozen=True)
class Rewriting:
    """One way of rewriting in one arm. `kind` is `core`, `noise`, `stress`, `lm`, `style`, `natural` or `identity`.

    `name` is that of the transform, or the kind of a language model's rewrite (`paraphrase`, `style:formal:up`), or two
    styles (`concise>markdown`), or `identity`. Noise has a `family` and its rate as `3%`.
    """

    kind: str
    name: str
    arm: str
    family: str = ""
    rate: str = ""

    @property
    def dims(self) -> Mapping[str, str]:
        """What tells the rows of a result apart: `set`, `transform`, `arm`, and of noise `family` and `rate`."""
        named = {"set": self.kind, "transform": self.name, "arm": self.arm, "family": self.family, "rate": self.rate}
        return {key: value for key, value in named.items() if value}

    @property
    def twice(self) -> bool:
        """Whether what was rewritten is itself a rewrite, so that the original is nothing to compare it with."""
        return self.kind == "style" and len(self.name.split(":")) == DIRECTIONS_OF_TWICE


def rewriting_of(variant: str) -> tuple[Rewriting, str]:
    """The way of rewriting behind `rewrite/NAME` or `lm/KIND/SAMPLE`, in no arm, and its sample (empty for a transform).

    Raises InputError on a transform that nothing loaded has registered, and on any other name.
    """
    source, _, name = variant.partition("/")
    if source not in READERS:
        raise InputError(f"texts rewritten as {variant!r}; expected rewrite/NAME or lm/KIND/SAMPLE as the variant")
    return READERS[source](name)


def _transformed(name: str) -> tuple[Rewriting, str]:
    variant = f"rewrite/{name}"
    found = next((one for one in _candidates(name.partition("@")[0]) if one.variant == variant), None)
    if found is None:
        raise InputError(
            f"the texts {variant!r} come from a transform that is not registered; give the plugin that made it "
            "(--plugin FILE), or the version of the harness that has it"
        )
    return _named(found), ""


def _candidates(name: str) -> Iterable[Transform]:
    """The transform of this name; where there is none, all: those of other distributions go by longer names."""
    try:
        return [TRANSFORMS.get(name)]
    except UnknownNameError:
        return map(TRANSFORMS.get, TRANSFORMS.names())


def _named(transform: Transform) -> Rewriting:
    if transform.rate is None:
        return Rewriting(transform.kind, transform.name, "")
    return Rewriting(transform.kind, transform.name, "", transform.family, f"{100 * transform.rate:g}%")


def _by_language_model(name: str) -> tuple[Rewriting, str]:
    kind, _, sample = name.rpartition("/")
    return Rewriting("style" if kind.startswith(STYLE) else "lm", kind, ""), sample


READERS = {"rewrite": _transformed, "lm": _by_language_model}
