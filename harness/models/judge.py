"""Language models that judge in words: what is asked of them, who answers, and what becomes of an answer without a verdict."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from jinja2 import Template
from pydantic import Field

from harness.errors import InputError
from harness.llm.ask import Reply
from harness.models.base import PARSED, Cost, Encoded, Forwarded, PairwiseAdapter, Resolved, Unencodable
from harness.models.chat import Chat
from harness.models.generation import Generator
from harness.models.options import parse_options
from harness.models.prompt import bind_prompt, compile_prompt, pair, question
from harness.models.remote import Served, own_endpoint
from harness.models.spec import Frozen, Heads, ModelSpec
from harness.models.template import BoundTemplate
from harness.preference import Conversation, Unit

AT_THE_END = r"(?:</\w+>|[\W_])*\Z"
"""What may follow a verdict: closing tags, and what is no word."""


class JudgeOptions(Frozen):
    """What every judge can be told: where it answers, and how many tokens an answer may have, its reasoning included."""

    endpoint: dict[str, Any] | None = None
    max_new_tokens: int = Field(2048, ge=1)


class Question(Protocol):
    """How a conversation becomes a question."""

    def messages(self, conversation: Conversation) -> list[dict[str, str]]:
        """The messages that a server is sent; raises Unrenderable where the conversation does not fit."""
        ...

    def bind(self, tokenizer: Any, *, chat: bool) -> BoundTemplate:
        """The same for a tokenizer, by its chat template or as plain text; raises InputError where that cannot be."""
        ...


class Voice(Protocol):
    """Who answers."""

    cost: Cost

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """The question about every conversation, in order."""
        ...

    def answers(self, batch: Sequence[Encoded], replicate: int) -> list[Reply]:
        """The answer to every question, in order: its text, or why there is none."""
        ...

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        ...


@dataclass(frozen=True)
class Prompted:
    """A question that is one message of the user: a Jinja text that sees the conversation and some names besides."""

    text: str
    pairs: bool
    names: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def compiled(self) -> Template:
        """The text, compiled; raises InputError where it does not compile."""
        return compile_prompt(self.text, self.names)

    def messages(self, conversation: Conversation) -> list[dict[str, str]]:
        """One message of the user."""
        return [{"role": "user", "content": question(self.compiled, conversation)}]

    def bind(self, tokenizer: Any, *, chat: bool) -> BoundTemplate:
        """The text as the user's turn of the tokenizer's chat template, or as it is."""
        return bind_prompt(self.text, tokenizer, chat=chat, pairs=self.pairs, names=self.names)


def last(pattern: str, text: str) -> str | None:
    """What the pattern's group holds where the pattern ends a text; None where the text ends in other words.

    So the last of several verdicts counts, and a verdict that reasoning goes on behind does not.
    """
    found = re.search(f"(?:{pattern}){AT_THE_END}", text)
    return found[1] if found else None


def one_group(pattern: str) -> str:
    """The pattern; raises ValueError unless it compiles and has one group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(rf"has {groups} groups, expected one, as in \[\[(A|B|C)\]\]")
    return pattern


class Judge(Served):
    """A language model that is asked about replies, greedily: one in a folder through transformers, or one behind an address.

    A kind of judge says what it can be told (`options_model`), what it asks (`question`), and which `outputs` it makes of an
    answer, the score first.
    """

    asks = "a causal language model with a chat template, or options.endpoint with the address of one"
    options_model: ClassVar[type[JudgeOptions]]
    outputs: ClassVar[tuple[str, ...]]

    def __init__(self, resolved: Resolved) -> None:
        self.spec = resolved.spec
        self.options = parse_options(self.options_model, self.spec)
        endpoint, tokens = own_endpoint(resolved), self.options.max_new_tokens
        self.remote = endpoint is not None
        self.voice: Voice = (
            Chat(endpoint, self.question(), tokens) if endpoint else Generator(resolved, self.question(), tokens)
        )
        self.cost = self.voice.cost

    @abstractmethod
    def question(self) -> Question:
        """What is asked about a conversation."""

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all options, the names of the outputs, and room for an answer behind the longest question.

        Raises InputError where an option is wrong, where the model has no chat template or no such room, and where a
        model that lies in a folder has an endpoint too.
        """
        options = parse_options(cls.options_model, spec)
        if options.endpoint is None:
            spec = _with_room(spec, cls.longest(config, {}), options.max_new_tokens)
        elif config:
            raise InputError(
                f"{spec.model} has files and an endpoint; expected one of them: give the file of this spec as "
                "--model endpoint:FILE, or remove the endpoint from its options"
            )
        weights = (1.0, *[0.0] * (len(cls.outputs) - 1))
        heads = Heads(names=cls.outputs, weights=weights) if len(weights) > 1 else None
        told = options.model_dump(mode="json", exclude_none=True)
        return spec.model_copy(update={"options": told, "heads": heads})

    @classmethod
    def load(cls, resolved: Resolved) -> Judge:
        """The judge, ready to be asked; raises InputError where the model in the folder cannot be."""
        return cls(resolved)

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        return self.voice.describe()


class PairwiseJudge(Judge, PairwiseAdapter):
    """A judge of two replies. An answer without a verdict counts as a tie, and is counted: its output `parsed` is 0.

    It is never asked again until it has one: that would favour whatever it says at random. A question that the server
    refuses to take is a failed row.
    """

    capabilities = frozenset({"compares", "generates"})
    bounded = True
    outputs: ClassVar[tuple[str, ...]] = ("preferred", PARSED)

    @abstractmethod
    def read(self, text: str) -> Sequence[float] | None:
        """Outputs of an answer, P(first preferred to second) and 1 the first two; None where it holds no verdict."""

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        """The question about every ordered pair."""
        return self.voice.encode([pair(a, b) for a, b in pairs])

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Outputs of every answer, in order."""
        replies = self.voice.answers(batch, self.replicate)
        unparsed = (0.5, *[0.0] * (len(self.outputs) - 1))
        rows = [(reply.text is not None and self.read(reply.text)) or unparsed for reply in replies]
        errors = {i: str(reply.detail) for i, reply in enumerate(replies) if reply.failure == "rejected"}
        return Forwarded(np.array(rows, np.float32).reshape(len(batch), len(unparsed)), errors=errors)


def _with_room(spec: ModelSpec, longest: int | None, answer: int) -> ModelSpec:
    """The spec of a model in a folder whose questions leave room for an answer."""
    if spec.template is None:
        raise InputError(
            f"{spec.model}: its tokenizer has no chat template, so nothing says how it is asked; if it answers plain "
            "text, put 'template: raw' into its spec"
        )
    if longest is None:
        return spec
    if longest <= answer:
        raise InputError(
            f"{spec.model}: an answer of {answer} tokens leaves no room for a question, as the model reads {longest} "
            f"tokens in all; put a smaller 'max_new_tokens' into its options"
        )
    room = longest - answer
    return spec.model_copy(update={"max_length": min(room, spec.max_length or room)})
