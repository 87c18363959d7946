"""Reward models that are language models trained so that one token's logit is the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import Field

from harness.errors import InputError
from harness.models import sniff
from harness.models.base import ADAPTERS, Resolved
from harness.models.encoding import TextEncoder
from harness.models.language_model import TokenLogits
from harness.models.options import parse_options
from harness.models.spec import Frozen, ModelSpec
from harness.models.template import bind_chat, require_template


class Options(Frozen):
    """`token_id`: the token whose logit is the score."""

    token_id: int = Field(0, ge=0)


@ADAPTERS.register("causal-logit")
class CausalLogit(TokenLogits):
    """Kind D1: the logit of one token at the first place behind what the chat template puts in front of an answer.

    It looks like any language model, so that a spec must name it. Source: the model card of
    nvidia/Llama-3.1-Nemotron-70B-Reward-HF: `scores[0][0][0]` of one generated token.
    """

    asks = "a causal language model with a chat template; options: {token_id}, 0 unless given"

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec, read at the last token; raises InputError for an option that is none and where there is no template."""
        options = parse_options(Options, spec)
        require_template(spec)
        size = sniff.text_config(config).get("vocab_size")
        if isinstance(size, int) and options.token_id >= size:
            raise InputError(
                f"{spec.model}: options.token_id is {options.token_id}; expected one of its {size} tokens, from 0"
            )
        return spec.model_copy(update={"options": options.model_dump(), "pooling": "last_attended"})

    def __init__(self, resolved: Resolved) -> None:
        self.options = parse_options(Options, resolved.spec)
        super().__init__(resolved)

    def bind(self) -> TextEncoder:
        """The chat template with what an answer begins with; another template as it is."""
        chat = bind_chat(self.tokenizer, answer=True) if self.spec.template == "tokenizer" else None
        return TextEncoder(self.tokenizer, self.spec, chat)

    def tokens(self) -> Sequence[int]:
        """The one token."""
        return [self.options.token_id]
