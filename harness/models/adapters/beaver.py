"""PKU's Beaver reward and cost models."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

from harness.models.base import ADAPTERS, Resolved
from harness.models.loading import load_tensors
from harness.models.spec import ModelSpec, Template
from harness.models.value_head import ValueHead, architecture_is, has_below

if TYPE_CHECKING:
    import torch

TEMPLATE = (
    "BEGINNING OF CONVERSATION: {% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}</s>"
    "{% else %}USER: {{ m.content }} ASSISTANT:{% endif %}{% endfor %}"
)
EPSILON = 1e-8


@ADAPTERS.register("beaver")
class Beaver(ValueHead):
    """Kind C7: `score_head` on the last token's state; of a cost model lower is better, which is set unless the spec says otherwise.

    Where the config says `do_normalize`, a reward is (x - mean) / std and a cost x / std, as its tensors
    `normalizer.mean` and `normalizer.var` have them. Source: safe-rlhf, `ScoreModelMixin`, `Normalizer`, `format_prompt`.
    """

    head_names = ("score_head",)
    own_template: ClassVar[Template] = {"jinja": TEMPLATE}
    asks = "score_head in the checkpoint"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """The architecture's name, or the head's."""
        named = architecture_is(config, "LlamaForScore", "LlamaModelForScore")
        return named or (tensors is not None and has_below(tensors, "score_head"))

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with the direction that the config's `score_type` means."""
        if config.get("score_type") == "cost" and "direction" not in spec.model_fields_set:
            spec = spec.model_copy(update={"direction": "lower_is_better"})
        return super().prepare(spec, config, tensors)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head, with the normalisation that the config asks for folded into its weight and bias."""
        import torch

        head = super().load_head(resolved)
        if not self.checkpoint.get("do_normalize"):
            return head
        stored = load_tensors(resolved, ["normalizer.mean", "normalizer.var"])
        deviation = stored["normalizer.var"].sqrt() + EPSILON
        shift = stored["normalizer.mean"] if self.checkpoint.get("score_type", "reward") == "reward" else 0.0
        scaled = torch.nn.Linear(len(deviation), len(deviation), device=self.layout.device).requires_grad_(False)
        scaled.weight.copy_(torch.diag(1 / deviation))
        scaled.bias.copy_(-shift / deviation if isinstance(shift, torch.Tensor) else torch.zeros_like(deviation))
        return torch.nn.Sequential(head, scaled)
