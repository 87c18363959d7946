"""Interleaved rounds, ratios of the minima, the machine's matrix rate, and how many operations a text needs.

A machine whose speed drifts slows all contestants of a round alike, and the minimum of a contestant is its
time with the least disturbance: both make the ratio repeatable where seconds are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.benchmarks.record import Finding

PRODUCTS = 5
"""Matrix products a round, of which the best counts."""


@dataclass(frozen=True)
class Rounds:
    """Seconds of every contestant in every round."""

    seconds: Mapping[str, tuple[float, ...]]

    def speed(self, fast: str, slow: str, at_least: float | None = None) -> Finding:
        """How many times `fast` is as fast as `slow`."""
        return self._ratio(f"{fast} / {slow}", 1.0, slow, fast, at_least)

    def rate(self, what: str, work: float, fast: str, product: float, at_least: float | None = None) -> Finding:
        """Operations a second of `fast`, which does `work` of them a round, over those of `matrix`, `product` each."""
        return self._ratio(f"{what} / matrix rate", work / product, "matrix", fast, at_least)

    def _ratio(self, what: str, factor: float, above: str, below: str, at_least: float | None) -> Finding:
        rounds = [factor * a / b for a, b in zip(self.seconds[above], self.seconds[below], strict=True)]
        best = factor * min(self.seconds[above]) / min(self.seconds[below])
        return Finding(what, best, (min(rounds), max(rounds)), at_least)


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Every contestant once a round; each returns the seconds it took."""
    taken = [[call() for call in contestants.values()] for _ in range(rounds)]
    return Rounds(dict(zip(contestants, zip(*taken, strict=True), strict=True)))


def timed(call: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Matrix:
    """The machine's matrix rate: products of two `size`-cubed matrices in one dtype on one device."""

    size: int = 2048
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def flops(self) -> float:
        """Operations of one product."""
        return 2.0 * self.size**3

    def __call__(self) -> float:
        """Seconds of the best of `PRODUCTS` products."""
        shape, options = (self.size, self.size), {"dtype": getattr(torch, self.dtype), "device": self.device}
        a, b = torch.randn(shape, **options), torch.randn(shape, **options)
        self._finish()
        return min(timed(lambda: self._finish(a @ b)) for _ in range(PRODUCTS))

    def _finish(self, *results: torch.Tensor) -> None:
        """Wait for what was asked of the device."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def flops(model: Any, lengths: np.ndarray, *, causal: bool) -> float:
    """Operations to score texts of these lengths, each counted whole, whatever was shared or skipped.

    2 x matmul weights x tokens + 4 x layers x width x sum of squared lengths, the second term half where a
    token only sees those before it. The weights are those of the linear layers in the blocks: embeddings
    are looked up and the head sees one token a text. The width is that of attention, heads x head size.
    """
    blocks = max((m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=len)
    weights = sum(m.weight.numel() for m in blocks.modules() if isinstance(m, torch.nn.Linear))
    config, n = model.config, lengths.astype(float)
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    assert len(blocks) == config.num_hidden_layers, f"{len(blocks)} blocks found, {config.num_hidden_layers} expected"
    return float(2 * weights * n.sum() + (2 if causal else 4) * len(blocks) * width * (n**2).sum())
