"""UltraRM: a Llama with a regression head."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from harness.models.base import ADAPTERS
from harness.models.spec import Template
from harness.models.value_head import ValueHead, has_below

TURN = "{{ 'Human: ' if m.role == 'user' else 'Assistant: ' if m.role == 'assistant' else '' }}{{ m.content }}"
TEMPLATE = r"{% for m in messages %}{{ '' if loop.first else '\n\n' }}" + TURN + "{% endfor %}"


@ADAPTERS.register("ultra-rm")
class UltraRM(ValueHead):
    """Kind C3: `regression_head`, without bias, on the last token's state; turns are `Human: …` and `Assistant: …`, a blank line between.

    Source: the code of UltraFeedback that trains it, reward-bench (`rewardbench/models/openbmb.py`), and the template on the
    model card, whose examples have one line feed instead.
    """

    head_names = ("regression_head",)
    own_template: ClassVar[Template] = {"jinja": TEMPLATE}
    asks = "regression_head in the checkpoint"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """A checkpoint that holds the head."""
        return tensors is not None and has_below(tensors, "regression_head")
