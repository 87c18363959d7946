"""What a forward pass of a model costs and how large a batch should be, read off its modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from harness.models.base import Cost
from harness.models.last_layer import ATTENTION, INDEXED, is_linear

ATTENTION_PENALTY = 2.0
"""Attention runs at about half the rate of a matrix product."""

CACHED = 4 * 2**20
"""Numbers of one layer's feed-forward part that a CPU keeps close: a larger batch waits for memory, a smaller one for its weights."""

FREE_SHARE = 0.5
"""Part of a GPU's free memory that a batch may fill by our estimate, which knows nothing of fragments and workspaces."""

PAIR: dict[str, Callable[[int, int], int]] = {
    "sdpa": lambda size, heads: size + 1,
    "eager": lambda size, heads: size + 1 + heads * (2 * size + 4),
}
"""Bytes of one query-key pair of a row, from the bytes of a number and the heads, by attention implementation.

Where texts share a row, its mask and the flags that it is made from; where attention is written out, also the
scores of every head, before and after their softmax in float32. Other implementations hold nothing a pair.
"""


def measure(model: Any, backend: str) -> Cost:
    """Cost of a loaded transformers model on `cpu` or `cuda`; the unit is one token through its linear layers.

    Starting a batch costs a CPU, which must fetch all weights, about 64 tokens, a GPU, which must launch every kernel, about 2,048. The
    budget is 512 to 2,048 tokens on a CPU and at most 65,536 on a GPU, less where its free memory is small.
    """
    linear = [(name, module) for name, module in model.named_modules() if is_linear(module)]
    config = model.config.get_text_config()
    depth, width = config.num_hidden_layers, config.hidden_size
    weights = sum(module.weight.numel() for _, module in linear)
    held = feed_forward_width(linear)
    attention = 4 * depth * width * ATTENTION_PENALTY / (2 * max(1, weights))
    fixed, budget = BACKENDS[backend](model, width, held)
    return Cost(attention, fixed, budget)


def feed_forward_width(linear: list[tuple[str, Any]]) -> int:
    """Numbers a token has in the feed-forward part of one layer: the widest layer's sum of output widths outside attention."""
    layers: dict[str, int] = {}
    for name, module in linear:
        found = INDEXED.match(name)
        if found and not ATTENTION.search(found[2]):
            layers[found[1]] = layers.get(found[1], 0) + module.weight.numel() // module.weight.shape[_inputs(module)]
    return max(layers.values(), default=1)


def _inputs(module: Any) -> int:
    """Which axis of a linear layer's weight is its input: transformers' Conv1D stores it transposed."""
    return 0 if hasattr(module, "nf") else 1


def _cpu(model: Any, width: int, held: int) -> tuple[float, int]:
    return 64.0, max(512, min(2048, CACHED // held))


def _cuda(model: Any, width: int, held: int) -> tuple[float, int]:
    import torch

    # The fullest GPU of those the model lies on bounds them all.
    free = min(torch.cuda.mem_get_info(device)[0] for device in {p.device for p in model.parameters()})
    config, size = model.config, model.dtype.itemsize
    a_token = size * (6 * width + 2 * held)
    a_pair = PAIR.get(config._attn_implementation, lambda *_: 0)(size, config.get_text_config().num_attention_heads)
    return 2048.0, max(512, min(65536, row_length(FREE_SHARE * free, a_token, a_pair)))


def row_length(room: float, a_token: int, a_pair: int) -> int:
    """Tokens of the longest row that fits into `room` bytes: n with n x a_token + n^2 x a_pair = room.

    Of all batches with so many tokens a single row needs most, so that each of them fits.
    """
    return int(2 * room / (a_token + math.sqrt(a_token**2 + 4 * a_pair * room)))


BACKENDS: dict[str, Callable[[Any, int, int], tuple[float, int]]] = {"cpu": _cpu, "cuda": _cuda}
