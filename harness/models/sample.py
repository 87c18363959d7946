"""Activations at one token of every text: what resample ablation holds neurons at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError
from harness.models.sites import Site
from harness.models.tally import Accumulator, Counted, visiting

if TYPE_CHECKING:
    import torch

    from harness.models.base import Encoded
    from harness.models.tree import Tree


class Sample(Accumulator):
    """One counted token a text, drawn by the text's digest alone: whatever else is in the batch or the request, it is the same.

    A text without a counted token is left out; a text that comes twice is there twice.
    """

    name = "sample"

    def __init__(self) -> None:
        self._drawn: list[tuple[int, int, bytes]] = []
        self._parts: list[tuple[list[bytes], list[np.ndarray]]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Sample:
        """A sample that goes on from here; what has been kept never changes, so both hold on to the same arrays."""
        other = Sample()
        other._parts = list(self._parts)
        return other

    def count(self, batch: Sequence[Tree], which: Callable[[Encoded], np.ndarray]) -> np.ndarray:
        """For how many texts each token was drawn, (rows, longest row), float32."""
        counts = np.zeros((len(batch), max(map(len, batch))), np.float32)
        self._drawn = []
        for row, tree in enumerate(batch):
            for text, path in zip(tree.texts, tree.paths, strict=True):
                places = which(text)
                if len(places):
                    digest = text.digest()
                    token = int(path[places[int.from_bytes(digest[:8], "big") % len(places)]])
                    counts[row, token] += 1
                    self._drawn.append((row, token, digest))
        return counts

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Any mode; `weights` are what `count` gave for this batch."""
        counted, drawn = Counted(weights), self._drawn
        batch: dict[int, torch.Tensor] = {}

        def visit(layer: int, activations: torch.Tensor) -> torch.Tensor:
            import torch

            chunks = counted.chunks(sites[layer], activations)
            batch[layer] = torch.cat([a.repeat_interleave(n.long(), 0) for n, a in chunks]).float()
            return activations

        with visiting(sites, visit):
            yield
        along = 1 if sites[0].tokens_first else 0
        drawn = sorted(drawn, key=lambda one: (one[along], one[1 - along]))  # as activations lie in memory
        self._parts.append(([digest for *_, digest in drawn], [batch[i].cpu().numpy() for i in range(len(sites))]))

    def result(self) -> dict[str, np.ndarray]:
        """Keys `tokens`, the number of texts, and `sample` (texts, layers, neurons), float32, texts by their digest."""
        digests = [digest for part, _ in self._parts for digest in part]
        if not digests:
            raise HarnessError("no token was counted, so there is nothing to draw: every text was empty or left out")
        layers = [np.concatenate(arrays) for arrays in zip(*(arrays for _, arrays in self._parts), strict=True)]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        sample = np.full((len(digests), len(layers), max(a.shape[1] for a in layers)), np.nan, np.float32)
        for i, layer in enumerate(layers):
            if not np.isfinite(layer).all():
                raise HarnessError(
                    f"activations of layer {i} are not finite, so none can be drawn; try --dtype float32"
                )
            sample[:, i, : layer.shape[1]] = layer[order]
        return {"tokens": np.array(float(len(digests))), "sample": sample}
