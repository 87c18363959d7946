"""Process reward models that are language models which name a label for every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from harness.models.base import ADAPTERS, Encoded, Resolved
from harness.models.encoding import TextEncoder
from harness.models.language_model import LanguageModel, require_tokenizer_token
from harness.models.options import parse_options
from harness.models.spec import ModelSpec
from harness.models.steps import Marker, StepOptions, Steps, split, with_steps
from harness.models.template import (
    BoundTemplate,
    Rendered,
    Unrenderable,
    bind_template,
    chat_text,
    marked_renderer,
    require_template,
)
from harness.preference import Conversation, Message

if TYPE_CHECKING:
    import torch


class Options(StepOptions):
    """`style`: how steps are written; `labels`: of a right step and of a wrong one; `marker`, `between`: for the style of that name."""

    style: Literal["turns", "marker"] = "turns"
    labels: tuple[str, str] = ("+", "-")
    marker: str = Field(" ки", min_length=1)
    between: str = "\n"


class Style(Protocol):
    """How a reply's steps are written."""

    @property
    def shift(self) -> int:
        """How many tokens before a step's mark its label is foretold."""
        ...

    def bind(self, bound: BoundTemplate, tokenizer: Any, options: Options) -> BoundTemplate:
        """The template with the steps written so."""
        ...


@dataclass(frozen=True)
class Turns:
    """Every step is a turn of the user, the first behind the question, and the label the assistant's answer to it."""

    shift: int = 1

    def bind(self, bound: BoundTemplate, tokenizer: Any, options: Options) -> BoundTemplate:
        """The tokenizer's chat template of a dialogue that has a turn a step."""
        render = partial(self.render, marked_renderer(partial(chat_text, tokenizer, answer=False)), options)
        return replace(bound, render=render, text=f"{bound.text}|{options.separator}|{options.labels[0]}")

    def render(
        self, chat: Callable[[Conversation], Rendered], options: Options, conversation: Conversation
    ) -> Rendered:
        """The conversation as that dialogue; raises Unrenderable where it has no question or the template rewrites it."""
        if len(conversation) < 2 or conversation[-2].role != "user":
            raise Unrenderable("the message before the reply must be the user's question")
        *before, asked, reply = conversation
        steps = [reply.content[a:b] for a, b in split(reply.content, options.separator)]
        users = [f"{asked.content} {steps[0]}", *steps[1:]]
        label = Message("assistant", options.labels[0])
        talk = (*before, *(m for text in users for m in (Message("user", text), label)))
        rendered = chat(talk)
        spans = rendered.contents
        if spans is None or len(spans) != len(talk):
            raise Unrenderable("the chat template rewrites its messages, so its labels cannot be found")
        labels = [start for _, start, _ in spans[len(before) + 1 :: 2]]
        first = spans[len(before)][2] - len(steps[0].strip())
        return replace(rendered, response=(first, spans[-1][2]), steps=tuple(labels))


@dataclass(frozen=True)
class Marked:
    """A marker behind every step, at which the label is foretold."""

    shift: int = 0

    def bind(self, bound: BoundTemplate, tokenizer: Any, options: Options) -> BoundTemplate:
        """The spec's template with the markers."""
        return Marker(options.marker, options.between).bind(bound, options.separator)


STYLES: dict[str, Style] = {"turns": Turns(), "marker": Marked()}


@ADAPTERS.register("step-label")
class StepLabel(Steps, LanguageModel):
    """Kinds G2 and G3: P(step is right) is the softmax over two labels' logits where the label of a step is foretold.

    A reply of one step is an outcome reward. Source: RLHFlow's PRMs (style `turns`; math-rm/prm_evaluate.py, whose
    position is found here by the label and not by counting) and Math-Shepherd (style `marker`; 2312.08935 and its card).
    """

    asks = "a causal language model; options: {style, labels, separator, reduction}"

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all options and outputs; raises InputError where there is no template."""
        options = parse_options(Options, spec)
        require_template(spec)
        told = spec.model_copy(update={"options": options.model_dump(mode="json")})
        return with_steps(told, options.reduction)

    def __init__(self, resolved: Resolved) -> None:
        self.options = parse_options(Options, resolved.spec)
        self.style = STYLES[self.options.style]
        self.shift = self.style.shift
        super().__init__(resolved)

    def bind(self) -> TextEncoder:
        """The steps in the spec's style."""
        bound = bind_template(self.spec.template or "tokenizer", self.tokenizer)
        return TextEncoder(self.tokenizer, self.spec, self.style.bind(bound, self.tokenizer, self.options))

    def tokens(self) -> Sequence[int]:
        """The labels' tokens."""
        return [require_tokenizer_token(self.tokenizer, label, self.source) for label in self.options.labels]

    def answers(self, logits: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """All reductions of the probabilities of a text's steps."""
        return self.reduced(logits.softmax(dim=1)[:, 0], texts)
