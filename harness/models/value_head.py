"""Reward models that are a transformer and a small head on the state of one token, whose tensors have a name of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import InputError
from harness.models import sniff
from harness.models.base import Resolved
from harness.models.encoding import TextEncoder
from harness.models.heads import stack
from harness.models.loading import load_below, load_body
from harness.models.readout import Readout
from harness.models.spec import ModelSpec, Template
from harness.models.template import bind_template, followed_by, require_template

if TYPE_CHECKING:
    import torch


class ValueHead(Readout):
    """A kind says below which names its head's tensors lie (`head_names`), and may have a template and a pooling of its own."""

    head_names: ClassVar[tuple[str, ...]] = ()
    own_template: ClassVar[Template | None] = None
    own_pooling: ClassVar[str] = "last_attended"
    gives_way: ClassVar[str] = ""
    """Characters at the end of a template's own text that are left out for the `ending`."""

    @classmethod
    def heads_of(cls, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Names below which the head's tensors may lie, the likeliest first."""
        return cls.head_names

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with the kind's template and pooling where it names none; raises InputError where no head is stored."""
        changes: dict[str, Any] = {}
        if spec.template is None and cls.own_template is not None:
            changes["template"] = cls.own_template
        if "pooling" not in spec.model_fields_set:
            changes["pooling"] = cls.own_pooling
        spec = spec.model_copy(update=changes)
        require_template(spec)
        require_below(spec.model, tensors, cls.heads_of(config))
        return spec

    def bind(self) -> TextEncoder:
        """The spec's template, with `ending` behind it."""
        bound, end = bind_template(self.spec.template or "tokenizer", self.tokenizer), self.ending()
        return TextEncoder(self.tokenizer, self.spec, followed_by(bound, end, self.gives_way) if end else bound)

    def ending(self) -> str:
        """A token that follows the template's text; raises InputError where the tokenizer lacks it."""
        return ""

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer without a head."""
        return load_body(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head that is stored, in float32, on the device of the last layer's states.

        Raises InputError where it has several outputs, which no spec of these kinds weighs.
        """
        head = stack(load_below(resolved, *self.heads_of(self.checkpoint)))
        outputs = head[-1].out_features
        if outputs != 1:
            raise InputError(
                f"{self.source}: its head has {outputs} outputs; expected one score. Save the checkpoint as a classifier with "
                f"{outputs} labels and weigh them by 'heads' in its spec"
            )
        return head.to(self.layout.device)


def require_below(source: str, tensors: Set[str] | None, names: Sequence[str]) -> None:
    """Raise InputError, saying which heads there are, unless a tensor lies below one of the names; None: nobody knows yet."""
    if tensors is None or any(has_below(tensors, name) for name in names):
        return
    parts = {part for name in tensors for part in name.split(".")}
    others = [f"{name} ({what})" for name, what in sniff.OTHER_HEADS.items() if name in parts]
    others += [
        f"{name} (a classifier's, which 'adapter: sequence-classification' reads)"
        for name in sorted(sniff.HEADS & parts)
    ]
    raise InputError(
        f"{source}: no head: nothing below {' or '.join(names)} is in the checkpoint, so its scores would be random; "
        f"it has {', '.join(others) or 'no other head'}. Use the checkpoint that was saved with its reward head; if that lies "
        "in a pickled file such as value_head.bin, add --allow-pickle"
    )


def has_below(tensors: Set[str], name: str) -> bool:
    """Whether a tensor lies below this name."""
    return any(tensor.startswith(f"{name}.") for tensor in tensors)


def architecture_is(config: Mapping[str, Any], *names: str) -> bool:
    """Whether the config names one of these architectures."""
    return any(str(a) in names for a in config.get("architectures") or ())
