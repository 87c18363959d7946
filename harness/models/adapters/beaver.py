"""PKU's Beaver reward and cost models."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import InputError
from harness.models.base import ADAPTERS, Resolved
from harness.models.heads import normalised
from harness.models.loading import stored_tensors
from harness.models.spec import ModelSpec, Template
from harness.models.value_head import ValueHead, architecture_is, has_below

if TYPE_CHECKING:
    import torch

TEMPLATE = (
    "BEGINNING OF CONVERSATION: {% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}</s>"
    "{% else %}USER: {{ m.content }} ASSISTANT:{% endif %}{% endfor %}"
)
EPSILON = 1e-8
CENTRED = {"reward": 1.0, "cost": 0.0}
"""How much of the mean is taken off, by the config's `score_type`; scores of other types are left as they are."""


@ADAPTERS.register("beaver")
class Beaver(ValueHead):
    """Kind C7: `score_head` on the last token's state; of a cost model lower is better, which is set unless the spec says otherwise.

    Where the config says `do_normalize`, a reward is (x - mean) / std and a cost x / std, as `normalizer.mean` and
    `normalizer.var` in the checkpoint have them, or else `mean` and `var` in the config. Source: safe-rlhf,
    `ScoreModelMixin`, `Normalizer`, `format_prompt`, as reward-bench has them (`rewardbench/models/beaver.py`).
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
        """The spec with the direction that the config's `score_type` means, or the model's name where that is absent."""
        kind = config.get("score_type", "cost" if "cost" in spec.model.rpartition("/")[2] else "reward")
        if kind == "cost" and "direction" not in spec.model_fields_set:
            spec = spec.model_copy(update={"direction": "lower_is_better"})
        return super().prepare(spec, config, tensors)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head, with the normalisation that the config asks for."""
        head, kind = super().load_head(resolved), self.checkpoint.get("score_type", "reward")
        if not self.checkpoint.get("do_normalize") or kind not in CENTRED:
            return head
        mean, variance = (self._moment(resolved, name) for name in ("mean", "var"))
        return normalised(head, CENTRED[kind] * mean, variance.sqrt() + EPSILON).to(self.layout.device)

    def _moment(self, resolved: Resolved, name: str) -> torch.Tensor:
        """The mean or the variance that scores had in training, (1,)."""
        import torch

        stored = stored_tensors(resolved, f"normalizer.{name}".__eq__)
        for found in (*stored.values(), self.checkpoint.get(name)):
            if found is not None:
                return torch.as_tensor(found, dtype=torch.float32).reshape(1)
        raise InputError(
            f"{self.source}: its config says do_normalize, but neither normalizer.{name} in its checkpoint nor {name} in its "
            "config says by what; use the whole checkpoint, or set do_normalize to false, which shifts and scales scores"
        )
