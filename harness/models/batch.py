"""Rows of token ids as the tensors a transformers model takes: padded on the right, masked only where it matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.models.tree import Tree

if TYPE_CHECKING:
    import torch


def batchable(rows: Sequence[Sized], mixes: bool) -> list[list[int]]:
    """Places of the rows that may share a padded batch: all, or, unless a model `mixes` lengths, those of one length."""
    groups: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(0 if mixes else len(row), []).append(i)
    return list(groups.values())


@dataclass(frozen=True)
class Layout:
    """How a model wants its batches.

    `fill` is the id padding consists of; `types` whether it takes segment ids; `masks` whether padding must
    be masked (not in a causal model, where no token sees what is to its right); `attention` the name of its
    attention implementation.
    """

    device: str
    dtype: Any
    fill: int
    types: bool
    masks: bool
    attention: str

    def tensors(self, batch: Sequence[Tree]) -> dict[str, Any]:
        """Keyword arguments of the model's forward for a batch of rows."""
        lengths = np.array([len(tree) for tree in batch])
        longest = int(lengths.max())
        arrays = {"input_ids": _filled([t.ids for t in batch], np.full((len(batch), longest), self.fill, np.int64))}
        if self.types:
            arrays |= _types(batch, longest)
        if any(tree.forks for tree in batch):
            # A padding token sees itself alone, so that no row of the attention is empty.
            alone = np.tile(np.arange(1, longest + 1), (len(batch), 1))
            visible = self.put(_filled([t.visible for t in batch], alone))
            places = _filled([t.positions for t in batch], np.zeros((len(batch), longest), np.int64))
            mask = TREE_MASKS[self.attention](visible, self.dtype)
            return {"attention_mask": mask, "position_ids": self.put(places)} | {
                k: self.put(v) for k, v in arrays.items()
            }
        if self.masks and lengths.min() < longest:
            arrays["attention_mask"] = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        return {k: self.put(v) for k, v in arrays.items()}

    def put(self, array: np.ndarray) -> torch.Tensor:
        """An array on the device; to a GPU through pinned memory, without waiting."""
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.startswith("cuda"):
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def _filled(rows: Sequence[np.ndarray], into: np.ndarray) -> np.ndarray:
    """`into` with each row's values at its left."""
    for place, row in zip(into, rows, strict=True):
        place[: len(row)] = row
    return into


def _types(batch: Sequence[Tree], longest: int) -> dict[str, np.ndarray]:
    types = [text.type_ids for tree in batch for text in tree.texts[:1]]
    if all(t is None or not t.any() for t in types):
        return {}
    rows = [np.zeros(0, np.int64) if t is None else t for t in types]
    return {"token_type_ids": _filled(rows, np.zeros((len(batch), longest), np.int64))}


def additive_mask(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(rows, 1, tokens, tokens): 0 where query q may see key k, that is k <= q < visible[k], else the least number."""
    import torch

    places = torch.arange(visible.shape[1], device=visible.device)
    hidden = places[None, :, None] >= visible[:, None, :]
    hidden |= places[None, :] > places[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]


def block_mask(visible: torch.Tensor, dtype: torch.dtype) -> Any:
    """The same as flex attention takes it: the rule, and which blocks of queries and keys it leaves empty (`dtype` plays no part)."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Any, head: Any, query: Any, key: Any) -> Any:
        return (key <= query) & (query < visible[row, key])

    # Compiled, the blocks are found without holding a number for every pair; on a CPU compiling takes longer than that.
    create = torch.compile(create_block_mask) if visible.is_cuda else create_block_mask
    rows, tokens = visible.shape
    return create(sees, rows, None, tokens, tokens, device=str(visible.device))


TREE_MASKS: dict[str, Callable[[torch.Tensor, Any], Any]] = {
    "sdpa": additive_mask,
    "eager": additive_mask,
    "flex_attention": block_mask,
}
"""The mask of a batch of prefix trees, by attention implementation; one that is not here (flash attention) cannot share rows."""
