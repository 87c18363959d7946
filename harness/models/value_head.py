"""Reward models that are a transformer and a small head on the state of one token, whose tensors have a name of their own."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import InputError
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
        names = cls.heads_of(config)
        if tensors is not None and not any(has_below(tensors, name) for name in names):
            raise InputError(
                f"{spec.model}: no head: nothing below {' or '.join(names)} is in the checkpoint, so its scores would be "
                "random. Use the checkpoint that was saved with its reward head; if that lies in a pickled file such as "
                "value_head.bin, add --allow-pickle"
            )
        return spec

    def bind(self) -> TextEncoder:
        """The spec's template, with `ending` behind it."""
        bound, end = bind_template(self.spec.template or "tokenizer", self.tokenizer), self.ending()
        return TextEncoder(self.tokenizer, self.spec, followed_by(bound, end) if end else bound)

    def ending(self) -> str:
        """A token that follows the template's text; raises InputError where the tokenizer lacks it."""
        return ""

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer without a head."""
        return load_body(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head that is stored, in float32, on the device of the last layer's states."""
        return stack(load_below(resolved, *self.heads_of(self.checkpoint))).to(self.layout.device)


def has_below(tensors: Set[str], name: str) -> bool:
    """Whether a tensor lies below this name."""
    return any(tensor.startswith(f"{name}.") for tensor in tensors)


def architecture_is(config: Mapping[str, Any], *names: str) -> bool:
    """Whether the config names one of these architectures."""
    return any(str(a) in names for a in config.get("architectures") or ())
