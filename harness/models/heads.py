"""The last layers before a score, in float32 whatever the model beneath them computes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import InputError

if TYPE_CHECKING:
    import torch


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.nn.Linear:
    """(…, width) to (…, outputs): states x weight' + bias, with copies of weight (outputs, width) and bias (outputs,).

    Raises InputError for a quantised weight.
    """
    import torch

    if not weight.is_floating_point():
        raise InputError(
            f"the head is quantised ({str(weight.dtype).removeprefix('torch.')}), so its numbers are not its own; keep it out, "
            "such as by 'quantization: {…, llm_int8_skip_modules: [score]}' in the spec"
        )
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


def normalised(head: torch.nn.Module, mean: torch.Tensor, deviation: torch.Tensor) -> torch.nn.Sequential:
    """The head with its outputs less `mean`, divided by `deviation`, both (outputs,)."""
    import torch

    return torch.nn.Sequential(head, linear(torch.diag(1 / deviation), -mean / deviation))


def stack(tensors: Mapping[str, torch.Tensor]) -> torch.nn.Sequential:
    """(…, width) to (…, outputs): one linear layer (`weight`, `bias`), or several (`0.weight`, `2.weight`, …) with ReLU between.

    The numbers are the layers' places, in whose order they come; what has no weight (dropout, the ReLU) is passed over.
    """
    import torch

    layers = sorted({name.rpartition(".")[0] for name in tensors}, key=lambda name: int(name or 0))
    found = [linear(tensors[f"{n}.weight".lstrip(".")], tensors.get(f"{n}.bias".lstrip("."))) for n in layers]
    between = [part for layer in found[:-1] for part in (layer, torch.nn.ReLU())]
    return torch.nn.Sequential(*between, found[-1])
