"""A tiny reward model and the checkpoint it could have been trained from, and what stored activations say of both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from harness.models.base import Resolved
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.testing.tiny import tiny_model

PRETRAINED = {"bert": AutoModelForMaskedLM, "llama": AutoModelForCausalLM}
TEMPLATES: dict[str, Any] = {"bert": {"pair": "plain"}, "llama": "tokenizer"}
ENDS = {"mlp": ("mlp.down_proj", "output.dense"), "attention": ("self_attn.o_proj", "attention.output.dense")}
"""How the modules whose inputs are looked at end, by site; BERT's two are told apart in `modules`."""
HEADS = 4


def pretrained(folder: Path, family: str, seed: int, **config: Any) -> Path:
    """A random language model of the tiny family, without tokenizer and without reward head."""
    made = tiny_model(folder.with_name(f"{folder.name}-as-reward-model"), family, seed=seed)
    settings = AutoConfig.from_pretrained(made)
    for name, value in config.items():
        setattr(settings, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        PRETRAINED[family].from_config(settings).save_pretrained(folder)
    shutil.rmtree(made)
    return folder


def reward_model(path: Path, family: str, **more: Any) -> Resolved:
    return resolve(ModelSpec(model=str(path), template=TEMPLATES[family], **more), device="cpu")


def base(path: Path, **more: Any) -> Resolved:
    return resolve(path, adapter="backbone", device="cpu", **more)


def modules(model: Any, site: str) -> list[Any]:
    wanted = [(n, m) for n, m in model.named_modules() if n.endswith(ENDS[site])]
    return [m for n, m in wanted if ("attention" in n) == (site == "attention" and "self_attn" not in n)]


def activations(path: Path, encoded: Any, site: str) -> np.ndarray:
    """(layers, tokens, width) of one text in plain transformers."""
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    kept: list[np.ndarray] = []
    for module in modules(model, site):
        module.register_forward_pre_hook(lambda _, args: kept.append(args[0][0].double().numpy()))
    types = {} if encoded.type_ids is None else {"token_type_ids": torch.from_numpy(encoded.type_ids.astype(int))[None]}
    with torch.no_grad():
        model(torch.from_numpy(encoded.ids.astype(int))[None], **types)
    return np.stack(kept)


def differences(one: Path, other: Path, texts: list[Any], site: str, skip: int) -> np.ndarray:
    """(layers, counted tokens, width): of all texts, from stored activations of both models."""
    parts = []
    for text in texts:
        start = max(skip, text.response_start)
        parts.append((activations(one, text, site) - activations(other, text, site))[:, start:])
    return np.concatenate(parts, axis=1)
