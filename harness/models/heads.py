"""The last layers before a score, in float32 whatever the model beneath them computes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.nn.Linear:
    """(…, width) to (…, outputs): states x weight' + bias, with copies of weight (outputs, width) and bias (outputs,)."""
    import torch

    outputs, width = weight.shape
    head = torch.nn.Linear(width, outputs, bias=bias is not None, device=weight.device, dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)
    return head.requires_grad_(False)


def rows(layer: torch.nn.Linear, tokens: Sequence[int]) -> torch.nn.Linear:
    """The part of a language model's last layer that gives the logits of some tokens, in their order."""
    return linear(layer.weight[list(tokens)], None if layer.bias is None else layer.bias[list(tokens)])
