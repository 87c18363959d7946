"""Reward models that transformers loads as sequence classifiers: decoders and encoders, one label or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models import sniff
from harness.models.base import ADAPTERS, Encoded, Resolved
from harness.models.heads import linear
from harness.models.loading import load_classifier
from harness.models.readout import Readout
from harness.models.shortcuts import close
from harness.models.spec import Heads, ModelSpec
from harness.models.template import require_template
from harness.models.tree import single

if TYPE_CHECKING:
    import torch


@ADAPTERS.register("sequence-classification")
class SequenceClassifier(Readout):
    """Any `AutoModelForSequenceClassification`: kinds A1, A2, A4 (one label) and B1 (several, weighted by the spec).

    The input of the last linear layer is taken by a hook, pooled at an explicit position where it has
    one state a token, and multiplied with the head in float32.
    """

    asks = "a classifier's head in the checkpoint (score, classifier, …); several outputs need heads: weights"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """A sequence classifier by its architecture's name, unless what is stored is another kind's head."""
        named = any(str(a).endswith("ForSequenceClassification") for a in config.get("architectures") or ())
        return named and not sniff.has_other_head(tensors or set())

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """Names of the outputs, after checking that there are a template, a head, and weights where outputs are several."""
        require_template(spec)
        if tensors is not None:
            sniff.require_head(tensors, spec.model)
        return weighted(spec, sniff.labels(config))

    def load_model(self, resolved: Resolved) -> Any:
        """The classifier, its own head included: stock code runs it, and we take what goes into it."""
        return load_classifier(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The last linear layer with one output a label."""
        import torch

        n = self.model.config.num_labels
        fitting = [m for m in self.model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == n]
        if not fitting:
            raise InputError(f"{self.source}: no linear layer with {n} outputs, so no head that can be read")
        self.own_head = fitting[-1]
        return linear(self.own_head.weight, self.own_head.bias)

    def hidden(self, tensors: dict[str, Any]) -> torch.Tensor:
        """What goes into the model's own last linear layer."""
        seen: list[torch.Tensor] = []
        hook = self.own_head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            self.model(**tensors)
        finally:
            hook.remove()
        return seen[-1]

    def require_own(self, examples: Sequence[Encoded], outputs: torch.Tensor) -> None:
        """Raise InputError where the model's own logits are not what its last linear layer gives."""
        import torch

        if self.spec.pooling != "native":
            return
        own = torch.cat([self.model(**self.layout.tensors([single(text)])).logits for text in examples])
        if not close(self, outputs, own.float().to(outputs.device)):
            raise InputError(
                f"{self.source}: its own scores of a text ({own[0].tolist()}) are not what its last linear layer "
                f"gives ({outputs[0].tolist()}); this kind of head needs an adapter of its own"
            )


def weighted(spec: ModelSpec, names: Sequence[str]) -> ModelSpec:
    """The spec with the names of its outputs; raises InputError where there are several and it does not weigh each."""
    if spec.heads is None and len(names) == 1:
        return spec
    if spec.heads is None:
        raise InputError(
            f"{spec.model} has {len(names)} outputs ({', '.join(names)}) and no weights for them; put "
            f"'heads: {{weights: [{', '.join(['…'] * len(names))}]}}' into its spec: score = sum of weight x output"
        )
    if len(spec.heads.weights) != len(names) or len(spec.heads.names) not in (0, len(names)):
        raise InputError(
            f"{spec.model}: heads has {len(spec.heads.weights)} weights and {len(spec.heads.names)} names; "
            f"the model has {len(names)} outputs ({', '.join(names)})"
        )
    heads = Heads(names=spec.heads.names or tuple(names), weights=spec.heads.weights)
    return spec.model_copy(update={"heads": heads})
