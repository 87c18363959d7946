"""OpenRLHF's reward models: a linear head that the config names."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.models.base import ADAPTERS
from harness.models.value_head import ValueHead, has_below

PREFIX = "value_head_prefix"


@ADAPTERS.register("linear-head")
class LinearHead(ValueHead):
    """Kind C1: the head that the config's `value_head_prefix` names, on the last token's state.

    Source: OpenRLHF, `get_llm_for_sequence_regression`. Its training may also keep a mean and a standard deviation of
    rewards; dividing by them changes no verdict and is left out.
    """

    head_names = ("value_head", "score")
    asks = f"{PREFIX} in the config, or a head called value_head"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """A config that names the head, unless it is a classifier's, which transformers reads itself."""
        classifier = any(str(a).endswith("ForSequenceClassification") for a in config.get("architectures") or ())
        named = PREFIX in config and not (classifier and config[PREFIX] == "score")
        return named or (tensors is not None and has_below(tensors, "value_head"))

    @classmethod
    def heads_of(cls, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The name in the config, or the usual ones."""
        return (str(config[PREFIX]),) if PREFIX in config else cls.head_names
