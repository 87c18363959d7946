"""What a loaded model allows: mixed lengths, shared prefixes, a last layer in part. Each is used only if two texts come out alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models import sniff
from harness.models.attention import kernels
from harness.models.base import Encoded
from harness.models.batch import TREE_MASKS
from harness.models.last_layer import behind_attention, is_causal
from harness.models.loading import first_line
from harness.models.tree import Tree, grow, single

if TYPE_CHECKING:
    import torch

    from harness.models.readout import Readout

UNBOUNDED = 2**31
TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "bfloat16": 1e-1}
"""Largest difference, relative to the larger of 1 and the score, that rounding explains."""


def check(adapter: Readout) -> None:
    """Score two texts alone, then find which shortcuts give the same, and set the adapter's `mixes`, `layout`, `last_layer`, `shares`.

    Raises InputError where it cannot score at all, or where the head we read is not what it scores with.
    Without two texts that it can read, nothing is found and no shortcut is used.
    """
    import torch

    texts = adapter.examples()
    if len(texts) < 2:
        return
    rows = [single(text) for text in texts]
    with torch.inference_mode():
        alone = _alone(adapter, rows)
        if adapter.spec.pooling != "native" and not adapter.per_token:
            raise InputError(f"{adapter.source} pools inside itself; its spec must say 'pooling: native' or nothing")
        adapter.require_own(texts, alone)
        _check_padding(adapter, rows, alone)
        _check_last_layer(adapter, rows, alone)
        _check_sharing(adapter, texts, alone)
    batches = {"single": rows} | ({"tree": [grow(texts)]} if adapter.shares else {})
    for name, batch in batches.items():
        adapter.attention_kernels[name] = kernels(adapter.layout.attention, partial(adapter.forward_trees, batch))


def close(adapter: Readout, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether rounding explains the difference of some scores from `b`."""
    return bool(((a - b).abs() <= TOLERANCE[adapter.spec.dtype] * b.abs().clamp(min=1)).all())


def _alone(adapter: Readout, rows: Sequence[Tree]) -> torch.Tensor:
    import torch

    try:
        return torch.cat([adapter.run([row], ())[0] for row in rows])
    except RuntimeError as error:  # such as a kernel that does not take this dtype, or cannot be compiled here
        raise InputError(
            f"{adapter.source} fails on a first short text with attention {adapter.layout.attention} in {adapter.spec.dtype}: "
            f"{first_line(error)}; try another attn_implementation in its spec, or --dtype bfloat16"
        ) from error


def _check_padding(adapter: Readout, rows: Sequence[Tree], alone: torch.Tensor) -> None:
    """Whether texts of different length may be mixed: as they are in a causal model, or with their padding masked."""
    plain = adapter.layout
    for masks in (False, True) if is_causal(adapter.model) else (True,):
        adapter.layout = replace(plain, masks=masks)
        adapter.mixes = _agrees(adapter, rows, alone)
        if adapter.mixes:
            break
    if not adapter.mixes:
        adapter.layout = plain
    elif not adapter.layout.masks:
        # Unmasked padding of the pad id would make stock code warn of a mistake.
        adapter.layout = replace(adapter.layout, fill=int(adapter.layout.fill == 0))


def _check_last_layer(adapter: Readout, rows: Sequence[Tree], alone: torch.Tensor) -> None:
    """Whether the last layer may be computed only where it is read."""
    candidate = behind_attention(adapter.model)
    if candidate and adapter.mixes and _agrees(adapter, rows, alone, candidate):
        adapter.last_layer = candidate


def _check_sharing(adapter: Readout, texts: Sequence[Encoded], alone: torch.Tensor) -> None:
    """Up to which length texts may share a row: none of a model that looks both ways, the window of one that has one."""
    if not adapter.per_token or not is_causal(adapter.model) or adapter.layout.attention not in TREE_MASKS:
        return
    tree, longest = grow(texts), max(map(len, texts))
    order = [next(i for i, e in enumerate(texts) if e is text) for text in tree.texts]
    window = sniff.attention_window(adapter.model.config.to_dict())
    adapter.shares = window if window is not None else adapter.spec.max_length or UNBOUNDED
    if longest > adapter.shares or not _agrees(adapter, [tree], alone[order]):
        adapter.shares = 0


def _agrees(adapter: Readout, rows: Sequence[Tree], expected: torch.Tensor, last_layer: Sequence[Any] = ()) -> bool:
    try:
        outputs, _ = adapter.run(rows, last_layer)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return False  # A model that cannot take such a batch at all: it is never given one.
    return close(adapter, outputs, expected)
