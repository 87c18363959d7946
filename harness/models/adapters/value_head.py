"""TRL's value head, as LLaMA-Factory and the GRM models have it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.models.base import ADAPTERS
from harness.models.value_head import ValueHead, has_below


@ADAPTERS.register("value-head")
class SummaryHead(ValueHead):
    """Kind C2: `v_head.summary`, linear or with hidden layers and ReLU between, on the last token's state.

    It lies among the shards or in value_head.safetensors. Source: TRL, `ValueHead`; for the hidden layers
    Ray2333/GRM-*-sftreg as reward-bench reads them (`rewardbench/models/grm.py`).
    """

    head_names = ("v_head.summary",)
    asks = "v_head.summary in the checkpoint or in value_head.safetensors"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """A checkpoint that holds the head."""
        return tensors is not None and has_below(tensors, "v_head.summary")
