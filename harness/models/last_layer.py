"""The last layer computed only where its output is read: at the pooled token of each text.

Behind its attention a layer treats each token by itself, and nothing reads the last layer's other tokens. In a
model of few layers that is a tenth of the work. Whether it holds for a model is checked when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
INDEXED = re.compile(r"^(.*?\.\d+)\.(.+)$")


@dataclass(frozen=True)
class Pooled:
    """Where a batch of shape (rows, tokens) is read: one (row, token) pair a text."""

    rows: torch.Tensor
    tokens: torch.Tensor
    shape: tuple[int, int]

    def fits(self, value: Any) -> bool:
        """Whether a value is a tensor (rows, tokens, width)."""
        import torch

        return isinstance(value, torch.Tensor) and value.dim() == 3 and value.shape[:2] == self.shape

    def on(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The pairs as an index into a tensor, on its device: a model may lie on several."""
        return self.rows.to(value.device), self.tokens.to(value.device)

    def narrow(self, value: Any) -> Any:
        """(rows, tokens, width) to (1, texts, width); anything else as it is."""
        return value[self.on(value)][None] if self.fits(value) else value

    def widen(self, value: torch.Tensor) -> torch.Tensor:
        """(1, texts, width) back to (rows, tokens, width), zero at every token that is not read."""
        whole = value.new_zeros(*self.shape, value.shape[-1])
        whole[self.on(value)] = value[0]
        return whole


def behind_attention(model: Any) -> list[Any]:
    """The last layer's modules that treat each token by itself: its feed-forward part and its attention's output projection.

    Found by structure: among the modules of the last entry of a list of layers, those that hold linear
    layers and are not attention, and the last linear layer of those that are. Empty where there are none.
    """
    named = dict(model.named_modules())
    layers = [place[1] for name, module in named.items() if is_linear(module) and (place := INDEXED.match(name))]
    if not layers:
        return []
    found: list[Any] = []
    for name, child in named[layers[-1]].named_children():
        linear = [m for m in child.modules() if is_linear(m)]
        if linear:
            found.append(linear[-1] if ATTENTION.search(name) else child)
    return found


def is_causal(model: Any) -> bool:
    """Whether every attention module that says which way it looks says backwards only."""
    said = {bool(module.is_causal) for module in model.modules() if hasattr(module, "is_causal")}
    return said == {True}


def is_linear(module: Any) -> bool:
    """Whether a module is a matrix product: a Linear, or the transposed form GPT-2 has."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)


@contextmanager
def only_at(modules: Sequence[Any], pooled: Pooled) -> Iterator[None]:
    """For as long as the context lives, these modules compute only the tokens that are read.

    Raises ValueError from within the forward pass where a module is not given (rows, tokens, width).
    """

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not any(map(pooled.fits, (*args, *kwargs.values()))):
            raise ValueError("the last layer does not work on (rows, tokens, width)")
        return tuple(map(pooled.narrow, args)), {k: pooled.narrow(v) for k, v in kwargs.items()}

    def after(_: Any, args: Any, output: Any) -> Any:
        first, *rest = output if isinstance(output, tuple) else (output,)
        return (pooled.widen(first), *rest) if rest else pooled.widen(first)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(after).remove)
        yield
