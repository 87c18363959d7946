"""Language models that name the better of two replies with one token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, PairwiseAdapter, Resolved, Unencodable
from harness.models.encoding import TextEncoder
from harness.models.language_model import TokenLogits, require_tokenizer_token
from harness.models.options import parse_options
from harness.models.prompt import ROLES, bind_prompt, pair
from harness.models.readout import EXAMPLES
from harness.models.spec import Frozen, ModelSpec
from harness.models.template import Unrenderable, require_template
from harness.preference import Conversation, Message, Unit

if TYPE_CHECKING:
    import torch


class Options(Frozen):
    """The question, a Jinja text (`harness.models.prompt`), and the labels of the first and the second reply.

    `answer`: whether what the chat template puts in front of an answer stands between the question and the label.
    """

    prompt: str
    labels: tuple[str, str] = ("A", "B")
    answer: bool = True


@ADAPTERS.register("token-preference")
class TokenPreference(PairwiseAdapter, TokenLogits):
    """Kinds D2 and D4: P(first preferred) is the softmax over the two labels' logits behind the question.

    Source: SLiC-style pair preference models (RLHFlow/pair-preference-model-LLaMA3-8B, as reward-bench reads it in
    `rewardbench/models/slicpairpm.py`) and generative reward models with label tokens (GRAM, 2506.14175).
    """

    capabilities = frozenset({"compares"})
    bounded = True
    asks = "a causal language model; options: {prompt, labels}"

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec, read at the last token; raises InputError where the prompt is missing or an option is none."""
        options = parse_options(Options, spec)
        if options.labels[0] == options.labels[1]:
            raise InputError(
                f"{spec.model}: options.labels are both {options.labels[0]!r}; expected one for each reply"
            )
        require_template(spec)
        return spec.model_copy(update={"options": options.model_dump(mode="json"), "pooling": "last_attended"})

    def __init__(self, resolved: Resolved) -> None:
        self.options = parse_options(Options, resolved.spec)
        super().__init__(resolved)

    def bind(self) -> TextEncoder:
        """The question, as the user's turn where the spec's template is the tokenizer's, else alone."""
        chat = self.spec.template == "tokenizer"
        bound = bind_prompt(self.options.prompt, self.tokenizer, chat=chat, answer=self.options.answer)
        return TextEncoder(self.tokenizer, self.spec, bound)

    def tokens(self) -> Sequence[int]:
        """The labels' tokens, as they stand behind a question."""
        try:
            *_, asked = self.encoder.template.render(_questions()[0]).segments
        except Unrenderable:
            asked = ""
        return [require_tokenizer_token(self.tokenizer, label, self.source, asked) for label in self.options.labels]

    def answers(self, logits: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """P(first preferred), (pairs, 1)."""
        return logits.softmax(dim=1)[:, :1]

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        """Ids of the question about every ordered pair."""
        return self.encoder.encode([pair(a, b) for a, b in pairs])

    def examples(self) -> list[Encoded]:
        """Two questions of different length."""
        return [e for e in self.encoder.encode(_questions()) if isinstance(e, Encoded)]


def _questions() -> list[Conversation]:
    return [(q, *(Message(role, reply.content) for role in ROLES)) for q, reply in EXAMPLES]
