"""OpenRLHF's reward models: a linear head that the config names."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

from harness.models.base import ADAPTERS, Resolved
from harness.models.heads import normalised
from harness.models.value_head import ValueHead, has_below

if TYPE_CHECKING:
    import torch

PREFIX = "value_head_prefix"


@ADAPTERS.register("linear-head")
class LinearHead(ValueHead):
    """Kind C1: the head that the config's `value_head_prefix` names, on the state of the end token, with which every text ends.

    Where the config says `normalize_reward`, its `mean` is taken off and the rest divided by its `std`. Source: OpenRLHF,
    `get_llm_for_sequence_regression` and `RewardDataset`; that puts a blank before an end token that the chat template
    does not write, `serve_rm` and generation do not, nor does this.
    """

    head_names = ("value_head", "score")
    gives_way = "\n"
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

    def ending(self) -> str:
        """The tokenizer's end token, where it has one."""
        return str(self.tokenizer.eos_token or "")

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The head, normalised if the config says so and by what."""
        import torch

        head, config = super().load_head(resolved), self.checkpoint
        if not (config.get("normalize_reward") and "mean" in config and "std" in config):
            return head
        mean, deviation = (torch.tensor([float(config[key])]) for key in ("mean", "std"))
        return normalised(head, mean, deviation).to(self.layout.device)
