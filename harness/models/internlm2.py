"""InternLM2's transformer as transformers' Llama: the same computation under other names, with queries, keys and values in one matrix."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.base import Resolved
from harness.models.files import checkpoint_config
from harness.models.loading import load_body, stored_tensors

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


def load_as_llama(resolved: Resolved) -> Any:
    """The transformer below `model` of an InternLM2 checkpoint, as a LlamaModel in evaluation mode and the resolved dtype.

    Source: the modelling code of internlm/internlm2 (2403.17297, section 2.2): rows of the one matrix are grouped by key
    head, the queries that share it first, then its key, then its value. Raises InputError where tensors are missing.
    """
    import torch
    from safetensors.torch import save_file

    assert resolved.path is not None, "a checkpoint lies in a folder"
    config = checkpoint_config(resolved.path)
    stored = stored_tensors(resolved, lambda name: name.startswith(BODY))
    tensors = llama_tensors({name.removeprefix(BODY): tensor for name, tensor in stored.items()}, config)
    dtype = getattr(torch, resolved.spec.dtype)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "config.json").write_text(json.dumps(llama_config(config, resolved.spec.dtype)), encoding="utf-8")
        whole = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
        save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
        return load_body(replace(resolved, path=folder, trust_remote_code=False))


def llama_config(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The config of the same model as a Llama: its numbers without what names code of its own."""
    own = {"architectures", "auto_map", "model_type", "attn_implementation", "bias", "torch_dtype"}
    kept = {key: value for key, value in config.items() if key not in own}
    biased = bool(config.get("bias"))
    return {**kept, "model_type": "llama", "architectures": ["LlamaModel"], "attention_bias": biased, "dtype": dtype}


def llama_tensors(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors by Llama's names from those by InternLM2's; raises InputError for a fused matrix of another shape."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if f".{FUSED}." in name:
            found |= _unfused(name, tensor, config)
        else:
            pattern = "|".join(map(re.escape, NAMES))
            found[re.sub(rf"(?<![\w])({pattern})(?=\.)", lambda part: NAMES[part[1]], name)] = tensor
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
