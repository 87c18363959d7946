"""What every accumulator is made of: which tokens count, seeing each layer's input once, sums in float64 on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.errors import HarnessError
from harness.models.neurons import hooked
from harness.models.sites import Change, Site

if TYPE_CHECKING:
    import torch

    from harness.models.base import Encoded
    from harness.models.tree import Tree

CHUNK = 1024
"""Tokens converted to float64 at a time: bounds the memory that summing needs."""


class Accumulator(ABC):
    """Adds up something over the counted tokens of any number of batches.

    One `watching` is one forward pass of one batch; with `needs_grad`, `backward` follows it. A batch enters
    the sums only when it is complete, so that one that failed (out of memory) can be repeated.
    """

    name: ClassVar[str]
    needs_grad: ClassVar[bool] = False

    def count(self, batch: Sequence[Tree], which: Callable[[Encoded], np.ndarray]) -> np.ndarray:
        """How often each token of the batch to come counts, (rows, longest row), float32: once for every text that has it at a position of `which`."""
        counts = np.zeros((len(batch), max(map(len, batch))), np.float32)
        for row, tree in zip(counts, batch, strict=True):
            for text, path in zip(tree.texts, tree.paths, strict=True):
                row[path[which(text)]] += 1
        return counts

    @abstractmethod
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> AbstractContextManager[None]:
        """Context for one forward pass over a batch.

        `weights` (rows, tokens) is how often each token counts: 0 not at all (padding, prompt), 2 a token
        that two texts share. Raises HarnessError where the model's layers do not see one input of that
        shape each.
        """

    def backward(self, total: torch.Tensor) -> None:
        """Take the gradients of `total`, a scalar computed from the watched forward pass; only with `needs_grad`."""
        raise NotImplementedError(f"{self.name} needs no gradients")

    @abstractmethod
    def result(self) -> dict[str, np.ndarray]:
        """Arrays (layers, neurons), float64, NaN where a layer has fewer neurons than the widest, and `tokens`, a scalar.

        Raises HarnessError where no token was counted, or where a sum is not finite.
        """


class Counted:
    """Which tokens of a batch count and how often. Others are never touched: theirs may be NaN."""

    def __init__(self, weights: torch.Tensor) -> None:
        self._weights = weights
        self._places: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        self.tokens = float(weights.clamp(min=0).double().sum())

    def chunks(self, site: Site, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Counts (n,) of up to `CHUNK` counted tokens, and their rows (n, width) of each tensor, float64.

        A tensor is (rows, tokens, width), or flat, (rows x tokens, width).
        """
        weights = self._weights.T if site.tokens_first else self._weights
        for tensor in tensors:
            if tensor.shape[-1] != site.width or tensor.shape[:-1] not in (weights.shape, (weights.numel(),)):
                raise HarnessError(
                    f"{site.path} sees an input of shape {tuple(tensor.shape)}, not {tuple(weights.shape)} tokens of width "
                    f"{site.width}: neurons of this model cannot be captured"
                )
        place, count = self._on(tensors[0].device, site.tokens_first, weights)
        flat = [t.detach().reshape(-1, t.shape[-1]) for t in tensors]
        for p, c in zip(place.split(CHUNK), count.split(CHUNK), strict=True):
            yield c, *(t.index_select(0, p).double() for t in flat)

    def _on(self, device: Any, transposed: bool, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Places and counts on a device: found and copied once a batch, whatever the number of layers."""
        if (device, transposed) not in self._places:
            flat = weights.reshape(-1)
            place = (flat > 0).nonzero().squeeze(1)
            self._places[device, transposed] = place.to(device), flat[place].double().to(device)
        return self._places[device, transposed]


@contextmanager
def visiting(sites: Sequence[Site], visit: Callable[[int, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Replace each layer's input by what `visit` makes of it; raises HarnessError unless every layer runs exactly once."""
    runs = [0] * len(sites)

    def once(layer: int) -> Change:
        def visited(inputs: torch.Tensor) -> torch.Tensor:
            runs[layer] += 1
            return visit(layer, inputs)

        return visited

    with hooked([(site, once(i)) for i, site in enumerate(sites)]):
        yield
    odd = [i for i, n in enumerate(runs) if n != 1]
    if odd:
        raise HarnessError(
            f"{sites[odd[0]].path} ran {runs[odd[0]]} times in one watched forward pass, not once: watch one forward pass "
            "at a time; neurons of a model that uses one layer several times cannot be captured"
        )


class Sums:
    """Running sums, float64: one tensor (statistics, width) a layer, on that layer's device, and the number of tokens."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._layers: list[torch.Tensor] = []

    def add(self, tokens: float, layers: list[torch.Tensor]) -> None:
        """Add one batch: its number of tokens, and a tensor (statistics, width) a layer."""
        self._tokens += tokens
        # Out of place: tensors made under inference_mode cannot be changed outside of it.
        self._layers = [a + b for a, b in zip(self._layers, layers, strict=True)] if self._layers else layers

    def arrays(self) -> tuple[float, np.ndarray]:
        """The number of tokens, and the sums as (statistics, layers, widest), NaN beyond a layer's width."""
        if not self._tokens:
            raise HarnessError("no token was counted, so there is nothing to average: every text was empty or left out")
        widest = max(layer.shape[1] for layer in self._layers)
        sums = np.full((self._layers[0].shape[0], len(self._layers), widest), np.nan)
        for i, layer in enumerate(self._layers):
            sums[:, i, : layer.shape[1]] = layer.cpu().numpy()
            if not np.isfinite(sums[:, i, : layer.shape[1]]).all():
                raise HarnessError(
                    f"activations or gradients of layer {i} are not finite, so their sums say nothing; try --dtype float32"
                )
        return self._tokens, sums
