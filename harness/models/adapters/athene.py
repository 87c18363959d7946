"""Athene: a Llama read at a token that is put behind the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.errors import InputError
from harness.models.base import ADAPTERS
from harness.models.value_head import ValueHead, architecture_is, has_below

ARCHITECTURES = ("AtheneForSequenceClassification", "CustomAutoModelForSequenceClassification")
"""What the card's code calls the model, and what the config of the published checkpoints says."""


@ADAPTERS.register("athene")
class Athene(ValueHead):
    """Kind C5: `v_head`, without bias, on the state of the tokenizer's CLS token, which follows the chat template's text.

    Source: Nexusflow/Athene-RM-70B as reward-bench reads it (`rewardbench/models/athene.py`), where the text is tokenised
    with a second BOS in front; nothing says which its training had, and a spec may say 'bos: double'.
    """

    head_names = ("v_head",)
    asks = f"an architecture {' or '.join(ARCHITECTURES)}, v_head.weight, and a tokenizer with a CLS token"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """An architecture's name, with its head where names of tensors are known; without them, the name that is its own."""
        known = ARCHITECTURES if tensors is not None else ARCHITECTURES[:1]
        return architecture_is(config, *known) and (tensors is None or has_below(tensors, "v_head"))

    def ending(self) -> str:
        """The CLS token."""
        token = self.tokenizer.cls_token
        if token is None:
            raise InputError(
                f"{self.source}: its tokenizer names no CLS token, at which this kind is read; put cls_token into "
                "tokenizer_config.json"
            )
        return str(token)
