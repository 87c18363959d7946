"""InternLM2's reward models, read as the Llama they are, without code of their own."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.errors import InputError
from harness.models.base import ADAPTERS, Resolved
from harness.models.internlm2 import load_as_llama
from harness.models.value_head import ValueHead, architecture_is

REWARD_TOKEN = "reward_token_id"


@ADAPTERS.register("internlm2-reward")
class InternLM2Reward(ValueHead):
    """Kind C6: `v_head`, without bias, on the state of the reward token, which follows the text unless it ends in it.

    Source: the modelling code of internlm/internlm2-*-reward, and reward-bench (`rewardbench/models/internlm.py`).
    """

    head_names = ("v_head",)
    asks = f"the architecture InternLM2ForRewardModel and {REWARD_TOKEN} in the config"

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """The architecture's name."""
        return architecture_is(config, "InternLM2ForRewardModel")

    def ending(self) -> str:
        """The token that the config calls the reward token."""
        number = self.checkpoint.get(REWARD_TOKEN)
        token = None if number is None else self.tokenizer.convert_ids_to_tokens(int(number))
        if token is None:
            raise InputError(
                f"{self.source}: {REWARD_TOKEN} in its config is {number}, which its tokenizer does not have; take both "
                "from the same repository"
            )
        return str(token)

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer as transformers' Llama."""
        return load_as_llama(resolved, self.checkpoint)
