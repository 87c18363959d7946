"""Process rewards: a reply as steps, each with a place at which it is read, and one score from the steps' probabilities."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.errors import InputError
from harness.models.base import Encoded, Unencodable
from harness.models.readout import Readout
from harness.models.spec import Frozen, Heads, ModelSpec
from harness.models.template import BoundTemplate, Rendered
from harness.preference import Conversation

if TYPE_CHECKING:
    import torch

REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "last": lambda p: p[-1],
    "min": lambda p: p.min(),
    "prod": lambda p: p.prod(),
    "mean": lambda p: p.mean(),
}
"""One number from the probabilities (steps,) that each step is right."""

Reduction = Literal["last", "min", "prod", "mean"]


class StepOptions(Frozen):
    """`separator` parts the steps of a reply; `reduction` makes the score of them."""

    separator: str = Field("\n\n", min_length=1)
    reduction: Reduction = "min"


def split(reply: str, separator: str) -> list[tuple[int, int]]:
    """Spans of a reply's steps in characters: what lies between separators and is not blank; the whole of a reply without any."""
    ends = [*(m.span() for m in re.finditer(re.escape(separator), reply)), (len(reply), len(reply))]
    starts = [0, *(end for _, end in ends)]
    found = [(start, stop) for start, (stop, _) in zip(starts, ends, strict=False) if reply[start:stop].strip()]
    return found or [(0, len(reply))]


@dataclass(frozen=True)
class Marker:
    """A text of the template's own behind every step, at whose last character the step is read, and one between steps."""

    text: str
    between: str = ""

    def bind(self, bound: BoundTemplate, separator: str) -> BoundTemplate:
        """The template with the reply's steps marked; what parted them is gone."""

        def render(conversation: Conversation) -> Rendered:
            return self.marked(bound.render(conversation), separator)

        return replace(bound, render=render, text=f"{bound.text}|{separator}|{self.text}|{self.between}")

    def marked(self, rendered: Rendered, separator: str) -> Rendered:
        """A rendered conversation with its reply's steps marked."""
        *before, last = rendered.segments
        first, end = rendered.response
        segment, reply, text = len(before), last[first:end], last[:first]
        spans, ends = [], []
        for i, (start, stop) in enumerate(split(reply, separator)):
            text += self.between if i else ""
            spans.append((segment, len(text), len(text) + stop - start))
            text += reply[start:stop] + self.text
            ends.append(len(text) - 1)
        others = [c for c in rendered.contents or () if c != (segment, first, end)]
        contents = None if rendered.contents is None else (*others, *spans)
        return Rendered((*before, text + last[end:]), (first, len(text)), contents, tuple(ends))


def with_steps(spec: ModelSpec, reduction: Reduction) -> ModelSpec:
    """The spec with all reductions as its outputs, of which one is the score, unless its own heads say otherwise.

    Raises InputError for `truncation: left`: a step is judged by all that stands before it, so a reply's first steps must stay.
    """
    if spec.truncation == "left":
        raise InputError(
            f"{spec.model}: 'truncation: left' cuts a reply's first steps, by which the others are judged; "
            "use 'prompt_left', which cuts the prompt and then the reply's end, or 'right'"
        )
    heads = spec.heads or Heads(names=tuple(REDUCTIONS), weights=tuple(float(n == reduction) for n in REDUCTIONS))
    return spec.model_copy(update={"heads": heads, "pooling": "last_attended"})


class Steps(Readout):
    """Outputs are all of `REDUCTIONS`, so that a stored result shows each; a kind says where a step is read and how sure it is."""

    capabilities = frozenset({"scores", "steps", "neurons"})
    bounded = True
    shift: int = 0
    """How many tokens before the one that holds a step's mark it is read."""

    def places(self, text: Encoded) -> Sequence[int]:
        """Where each step is read."""
        return [at - self.shift for at in text.step_ends]

    def readable(self, text: Encoded | Unencodable) -> Encoded | Unencodable:
        """The text, or why it cannot be read: it is cut before its first step ends."""
        if isinstance(text, Encoded) and not text.step_ends:
            return Unencodable(f"no step of the reply ends within max_length {self.spec.max_length}")
        return text

    def reduced(self, probabilities: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """Outputs (texts, reductions) from the probabilities (places,) of all texts' steps."""
        import torch

        parts = probabilities.split([len(text.step_ends) for text in texts])
        return torch.stack([torch.stack([reduce(part) for reduce in REDUCTIONS.values()]) for part in parts])
