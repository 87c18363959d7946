"""A transformer without a reward head: what a reward model is compared with, neuron by neuron, at the same tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from harness.errors import InputError
from harness.models.base import ADAPTERS, Adapter, Encoded, Forwarded, Resolved, Unencodable
from harness.models.loading import load_backbone
from harness.models.sites import Sites
from harness.models.spec import ModelSpec
from harness.preference import Unit


@ADAPTERS.register("backbone")
class Backbone(Adapter):
    """The model a reward model was trained from, pre-trained or itself a reward model, whose head is then not used.

    It reads no text: it is given the tensors the reward model is given (`harness.models.change.beside`), so it
    needs no tokenizer and no template.
    """

    capabilities = frozenset({"neurons"})

    def __init__(self, resolved: Resolved) -> None:
        self.spec, self.source = resolved.spec, resolved.name
        self.model = load_backbone(resolved)
        # Stock classifiers refuse batches without a pad id; what it says is not read.
        config = self.model.config.get_text_config()
        config.pad_token_id = config.pad_token_id if config.pad_token_id is not None else 0
        self.sites = Sites(self.model)

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec without what only scoring needs, so that one base is the same model whatever reward model it stands beside."""
        kept = {
            "model",
            "revision",
            "adapter",
            "dtype",
            "attn_implementation",
            "license",
            "training_datasets",
            "requires",
        }
        return ModelSpec(**spec.model_dump(include=kept))

    @classmethod
    def load(cls, resolved: Resolved) -> Backbone:
        """The model in memory; raises InputError where its layers are not whole in the checkpoint."""
        return cls(resolved)

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Every unit is refused: the ids are the reward model's."""
        return [Unencodable("this model has no head and reads no text of its own") for _ in units]

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Raises InputError: there is no head that could score."""
        raise InputError(
            f"{self.source} was loaded without a head and gives no scores; --role base=PATH is its only use"
        )

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        return {
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attn_implementation": self.model.config._attn_implementation,
            "n_parameters": sum(p.numel() for p in self.model.parameters()),
        }
