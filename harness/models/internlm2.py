"""InternLM2's transformer as transformers' Llama: the same computation under other names, with queries, keys and values in one matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.base import Resolved
from harness.models.loading import load_model, stored_tensors

if TYPE_CHECKING:
    import torch

NAMES = {
    "tok_embeddings": "embed_tokens",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
"""What InternLM2 calls a part, and what Llama does."""

FUSED = "attention.wqkv"
BODY = "model."


class AsLlama:
    """The transformer below `model` of an InternLM2 checkpoint, for `load_model`.

    Source: the modelling code of internlm/internlm2 (2403.17297, section 2.2): rows of the one matrix are grouped by key
    head, the queries that share it first, then its key, then its value.
    """

    def __init__(self, resolved: Resolved, config: Mapping[str, Any]) -> None:
        self.resolved, self.config = resolved, config

    def from_pretrained(self, _: str, **settings: Any) -> Any:
        """What LlamaModel's own method returns; raises InputError for tensors of another shape."""
        from transformers import LlamaConfig, LlamaModel

        stored = stored_tensors(self.resolved, lambda name: name.startswith(BODY))
        tensors = llama_tensors({name.removeprefix(BODY): tensor for name, tensor in stored.items()}, self.config)
        as_llama = LlamaConfig.from_dict(llama_config(self.config))
        return LlamaModel.from_pretrained(None, config=as_llama, state_dict=tensors, **settings)


def load_as_llama(resolved: Resolved, config: Mapping[str, Any]) -> Any:
    """The transformer with this config as a LlamaModel in evaluation mode and the resolved dtype; raises what `load_model` raises."""
    return load_model(resolved, AsLlama(resolved, config))


def llama_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the same model as a Llama: its numbers without what names code of its own."""
    own = {"architectures", "auto_map", "model_type", "attn_implementation", "bias", "torch_dtype", "dtype"}
    kept = {key: value for key, value in config.items() if key not in own}
    return {**kept, "architectures": ["LlamaModel"], "attention_bias": bool(config.get("bias"))}


def llama_tensors(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors by Llama's names from those by InternLM2's; raises InputError for a fused matrix of another shape."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if f".{FUSED}." in name:
            found |= _unfused(name, tensor, config)
        else:
            pattern = "|".join(map(re.escape, NAMES))
            found[re.sub(rf"({pattern})(?=\.)", lambda part: NAMES[part[1]], name)] = tensor
    return found


def _unfused(name: str, tensor: torch.Tensor, config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    heads = int(config["num_attention_heads"])
    keys = int(config.get("num_key_value_heads") or heads)
    size = int(config["hidden_size"]) // heads
    if tensor.shape[0] != (heads + 2 * keys) * size:
        raise InputError(
            f"{name} has {tensor.shape[0]} rows; expected {(heads + 2 * keys) * size} of {heads} query and {keys} key heads "
            f"of {size}"
        )
    groups = tensor.reshape(keys, heads // keys + 2, size, *tensor.shape[1:])
    parts = {"q": groups[:, :-2], "k": groups[:, -2], "v": groups[:, -1]}
    return {
        name.replace(FUSED, f"self_attn.{part}_proj"): rows.reshape(-1, *tensor.shape[1:])
        for part, rows in parts.items()
    }
