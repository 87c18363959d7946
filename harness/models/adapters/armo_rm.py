"""ArmoRM: many attributes of a reply, weighed by what the prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, Resolved, Unencodable
from harness.models.heads import linear, stack
from harness.models.loading import load_below, load_body, load_tensors
from harness.models.options import parse_options
from harness.models.readout import Readout
from harness.models.spec import Frozen, Heads, ModelSpec
from harness.models.template import require_template
from harness.models.value_head import architecture_is, require_below

if TYPE_CHECKING:
    import torch

LLAMA_3 = (128009, 128006, 78191, 128007, 271)
"""`<|eot_id|><|start_header_id|>assistant<|end_header_id|>` and a blank line in Llama 3's vocabulary."""

ATTRIBUTES = (
    "helpsteer-helpfulness", "helpsteer-correctness", "helpsteer-coherence", "helpsteer-complexity", "helpsteer-verbosity",
    "ultrafeedback-overall_score", "ultrafeedback-instruction_following", "ultrafeedback-truthfulness",
    "ultrafeedback-honesty", "ultrafeedback-helpfulness", "beavertails-is_safe", "prometheus-score",
    "argilla-overall_quality", "argilla-judge_lm", "code-complexity", "code-style", "code-explanation",
    "code-instruction-following", "code-readability",
)  # fmt: skip
"""Names of the 19 attributes, from the model card of RLHFlow/ArmoRM-Llama3-8B-v0.1."""


class Options(Frozen):
    """`gate_pattern`: the tokens at whose first one, at its last place in the text, the prompt is read."""

    gate_pattern: tuple[int, ...] = LLAMA_3


@ADAPTERS.register("armo-rm")
class ArmoRM(Readout):
    """Kind B2: score = sum over attributes of gate x adjusted reward; rewards from the last token's state, gates from the prompt's.

    Outputs are the score and the rewards as the regression gives them. Source: RLHFlow/ArmoRM (2406.12845, section 3.2)
    and its modelling code: adjusted = rewards x `reward_transform_matrix`, gate = softmax(layers / temperature) x
    `logit_scale`.
    """

    capabilities = frozenset({"scores", "neurons"})
    asks = "the architecture LlamaForRewardModelWithGating"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """The architecture's name."""
        return architecture_is(config, "LlamaForRewardModelWithGating")

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with the names of the outputs, the score first.

        Raises InputError for an option that is none, where a head is missing, or where the spec weighs other outputs.
        """
        parse_options(Options, spec)
        require_template(spec)
        for name in ("regression_layer", "gating.layers"):
            require_below(spec.model, tensors, [name])
        n = int(config.get("num_objectives", len(ATTRIBUTES)))
        names = ATTRIBUTES if n == len(ATTRIBUTES) else tuple(f"reward_{i}" for i in range(n))
        heads = spec.heads or Heads(names=("score", *names), weights=(1.0, *(0.0,) * n))
        if len(heads.weights) != n + 1:
            raise InputError(
                f"{spec.model}: heads has {len(heads.weights)} weights; expected {n + 1}, of the score and {n} rewards "
                f"({', '.join(names)}), or no heads at all for the score alone"
            )
        pooling = spec.pooling if "pooling" in spec.model_fields_set else "last_attended"
        return spec.model_copy(update={"heads": heads, "pooling": pooling})

    def __init__(self, resolved: Resolved) -> None:
        self.pattern = np.array(parse_options(Options, resolved.spec).gate_pattern)
        super().__init__(resolved)

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer without regression and gating."""
        return load_body(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """Regression and gating, in float32."""
        import torch

        names = ("regression_layer.weight", "reward_transform_matrix", "gating.logit_scale")
        stored = load_tensors(resolved, names)
        self.transform, self.scale = (stored[name].to(self.layout.device) for name in names[1:])
        self.temperature = float(self.checkpoint.get("gating_temperature", 10))
        gating = stack(load_below(resolved, "gating.layers"))
        return torch.nn.ModuleList([linear(stored[names[0]]), gating]).to(self.layout.device)

    def readable(self, text: Encoded | Unencodable) -> Encoded | Unencodable:
        """The text, or why it cannot be read: the assistant's header is not in it."""
        if isinstance(text, Encoded) and self.gate(text) is None:
            return Unencodable("no assistant's header in the text, at which the prompt is read")
        return super().readable(text)

    def gate(self, text: Encoded) -> int | None:
        """The last place at which the header begins; None where it does not occur."""
        n = len(self.pattern)
        if len(text) < n:
            return None
        found = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(text.ids, n) == self.pattern).all(axis=1))
        return int(found[-1]) if len(found) else None

    def places(self, text: Encoded) -> Sequence[int]:
        """Where the prompt is read, and where the reply is."""
        return (self.gate(text) or 0, *super().places(text))

    def read(self, states: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """The score, and the rewards of all attributes."""
        import torch

        regression, gating = self.head.children()
        prompts, replies = states[0::2], states[1::2]
        rewards = regression(replies)
        gates = torch.softmax(gating(prompts) / self.temperature, dim=1) * self.scale
        score = (gates * (rewards @ self.transform)).sum(dim=1, keepdim=True)
        return torch.cat([score, rewards], dim=1)
