"""Process reward models with a head of their own, read at a token behind every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, Resolved
from harness.models.encoding import TextEncoder
from harness.models.heads import stack
from harness.models.loading import load_below, load_body
from harness.models.options import parse_options
from harness.models.spec import ModelSpec
from harness.models.steps import Marker, StepOptions, Steps, with_steps
from harness.models.template import bind_template, require_template
from harness.models.value_head import architecture_is, has_below

if TYPE_CHECKING:
    import torch

HEADS = ("score", "v_head.summary")


class Options(StepOptions):
    """`token` stands behind every step, where it is read; `between` parts the steps from each other."""

    token: str = Field("<extra_0>", min_length=1)
    between: str = ""


@ADAPTERS.register("step-token")
class StepToken(Steps):
    """Kind G1: P(step is right) at the token behind it, from a head with two classes (the second is right) or with one logit.

    Source: the model cards of Qwen/Qwen2.5-Math-PRM-7B (`score`: two layers, `<extra_0>`) and, for a token of the text
    itself, of TRL's PRMTrainer (`score`: token classification) and Skywork-o1-Open-PRM (`v_head`, one logit). Steps and
    tokens are tokenised in one call.
    """

    asks = "a head called score or v_head.summary; options: {token, separator, reduction}"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """Qwen's architecture; of others nothing says what stands behind a step."""
        return architecture_is(config, "Qwen2ForProcessRewardModel")

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all options and outputs; raises InputError where there is no template or no head."""
        options = parse_options(Options, spec)
        require_template(spec)
        if tensors is not None and not any(has_below(tensors, name) for name in HEADS):
            raise InputError(
                f"{spec.model}: no head: nothing below {' or '.join(HEADS)} is in the checkpoint, so its scores would be "
                "random; a language model that names the label is of the kind 'adapter: step-label'"
            )
        told = spec.model_copy(update={"options": options.model_dump(mode="json")})
        return with_steps(told, options.reduction)

    def __init__(self, resolved: Resolved) -> None:
        self.options = parse_options(Options, resolved.spec)
        super().__init__(resolved)

    def bind(self) -> TextEncoder:
        """The spec's template with the token behind every step."""
        bound = bind_template(self.spec.template or "tokenizer", self.tokenizer)
        marker = Marker(self.options.token, self.options.between)
        return TextEncoder(self.tokenizer, self.spec, marker.bind(bound, self.options.separator))

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer without its head."""
        return load_body(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head that is stored, in float32; raises InputError for one of more than two outputs."""
        head = stack(load_below(resolved, *HEADS)).to(self.layout.device)
        outputs = list(head.parameters())[-1].shape[0]
        if outputs > 2:
            raise InputError(f"{self.source}: its head has {outputs} outputs; expected two classes or one logit")
        return head

    def read(self, states: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """All reductions of the probabilities of a text's steps."""
        logits = self.head(states)
        right = logits.softmax(dim=1)[:, 1] if logits.shape[1] == 2 else logits[:, 0].sigmoid()
        return self.reduced(right, texts)
