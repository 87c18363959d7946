"""Tiny language models that answer: one with random weights, and one that says the token that was planted behind the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.testing.tiny import COMMON, GROUPED, _bytes

LENGTH = 1024


def random_speaker(folder: Path, ends: int = 40, **recommended: Any) -> Path:
    """A random Llama with so many end tokens that most answers end soon; `recommended` goes into its generation config."""
    tokenizer = _bytes(bos=True)
    tokenizer.model_max_length = LENGTH
    tokenizer.add_tokens(["Ġ3"])  # as tokenizers write a grade behind a space
    model = _llama(tokenizer, num_hidden_layers=2, **GROUPED)
    generator = torch.Generator().manual_seed(7)
    chosen = torch.randperm(len(tokenizer) - 5, generator=generator)[:ends] + 5
    model.generation_config.update(eos_token_id=[tokenizer.eos_token_id, *chosen.tolist()], **recommended)
    return _save(folder, model, tokenizer)


def planted_speaker(folder: Path, says: Mapping[str, Sequence[str]], **tokenizer_settings: Any) -> Path:
    """A Llama whose next token hangs on the last one alone: behind the token of a key come the pieces of its value, then the end.

    Pieces become tokens of their own; two answers must not share one. Any other token is followed by the end.
    """
    tokenizer = _bytes(bos=True, **tokenizer_settings)
    tokenizer.model_max_length = LENGTH
    tokenizer.add_tokens(sorted({piece for pieces in says.values() for piece in pieces}))
    n = len(tokenizer)
    model = _llama(tokenizer, num_hidden_layers=1, hidden_size=n + -n % 8, num_key_value_heads=4)
    follows = torch.full((n,), tokenizer.eos_token_id)
    for last, pieces in says.items():
        chain = [tokenizer.convert_tokens_to_ids(token) for token in (last, *pieces)]
        assert None not in chain, f"{last!r} is no token"
        for token, after in pairwise(chain):
            follows[token] = after
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weight.zero_()  # nothing but the token itself reaches the end
        model.model.embed_tokens.weight.copy_(torch.eye(n, model.config.hidden_size))
        model.lm_head.weight.zero_()
        model.lm_head.weight[follows, torch.arange(n)] = 1.0
    return _save(folder, model, tokenizer)


def _llama(tokenizer: Any, **settings: Any) -> Any:
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    whole = {**COMMON, "max_position_embeddings": LENGTH, "vocab_size": len(tokenizer), **ids, **settings}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **whole))


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def greedy(model: Any, ids: Sequence[int], ends: set[int], most: int) -> tuple[list[int], bool]:
    """The most likely tokens behind `ids`, one by one and without a cache, and whether one of `ends` came."""
    new: list[int] = []
    for _ in range(most):
        token = int(model(input_ids=torch.tensor([[*ids, *new]])).logits[0, -1].argmax())
        if token in ends:
            return new, True
        new.append(token)
    return new, False
