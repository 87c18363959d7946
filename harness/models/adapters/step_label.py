"""Process reward models that are language models which name a label for every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import Field

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, Resolved, Unencodable
from harness.models.encoding import TextEncoder
from harness.models.language_model import TokenLogits, require_tokenizer_token
from harness.models.options import parse_options
from harness.models.readout import EXAMPLES
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

    def tokens(
        self, labels: tuple[str, str], alone: Callable[[str], int], written: Callable[[str], Encoded | Unencodable]
    ) -> Sequence[int]:
        """The labels' tokens, from what a label is alone and from a text in which it is written behind every step."""
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
        steps = [reply.content[a:b].strip() for a, b in split(reply.content, options.separator)]
        users = [f"{asked.content} {steps[0]}", *steps[1:]]
        label = Message("assistant", options.labels[0])
        talk = (*before, *(m for text in users for m in (Message("user", text), label)))
        rendered = chat(talk)
        spans = rendered.contents
        if spans is None or len(spans) != len(talk):
            raise Unrenderable("the chat template rewrites its messages, so its labels cannot be found")
        labels = [start for _, start, _ in spans[len(before) + 1 :: 2]]
        first = spans[len(before)][2] - len(steps[0])
        return replace(rendered, response=(first, spans[-1][2]), steps=tuple(labels))

    def tokens(
        self, labels: tuple[str, str], alone: Callable[[str], int], written: Callable[[str], Encoded | Unencodable]
    ) -> Sequence[int]:
        """The tokens in the label's place; raises InputError unless two texts of different label differ in that one token."""
        right, wrong = (written(label) for label in labels)
        if isinstance(right, Unencodable) or isinstance(wrong, Unencodable):
            return [alone(label) for label in labels]
        at = right.step_ends[0]
        if len(right) != len(wrong) or list(np.flatnonzero(right.ids != wrong.ids)) != [at]:
            raise InputError(
                f"the labels {labels[0]!r} and {labels[1]!r} are not one token each where the chat template writes them; "
                "put such labels into 'options: {labels: […]}' of the spec, as the model was trained with"
            )
        return [int(text.ids[at]) for text in (right, wrong)]


@dataclass(frozen=True)
class Marked:
    """A marker behind every step, at which the label is foretold."""

    shift: int = 0

    def bind(self, bound: BoundTemplate, tokenizer: Any, options: Options) -> BoundTemplate:
        """The spec's template with the markers."""
        return Marker(options.marker, options.between).bind(bound, options.separator)

    def tokens(
        self, labels: tuple[str, str], alone: Callable[[str], int], written: Callable[[str], Encoded | Unencodable]
    ) -> Sequence[int]:
        """What the labels are alone: no text has them."""
        return [alone(label) for label in labels]


STYLES: dict[str, Style] = {"turns": Turns(), "marker": Marked()}


@ADAPTERS.register("step-label")
class StepLabel(Steps, TokenLogits):
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
        return self._encoder(self.spec, self.options)

    def tokens(self) -> Sequence[int]:
        """The labels' tokens where they stand; raises InputError where one is not one token."""
        return self.style.tokens(
            self.options.labels,
            lambda label: require_tokenizer_token(self.tokenizer, label, self.source),
            self._written,
        )

    def answers(self, logits: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """All reductions of the probabilities of a text's steps."""
        return self.reduced(logits.softmax(dim=1)[:, 0], texts)

    def _encoder(self, spec: ModelSpec, options: Options) -> TextEncoder:
        bound = bind_template(spec.template or "tokenizer", self.tokenizer)
        return TextEncoder(self.tokenizer, spec, self.style.bind(bound, self.tokenizer, options))

    def _written(self, label: str) -> Encoded | Unencodable:
        """An example of one step with this label; not cut."""
        options = self.options.model_copy(update={"labels": (label, label)})
        (text,) = self._encoder(self.spec.model_copy(update={"max_length": None}), options).encode(EXAMPLES[:1])
        return text
