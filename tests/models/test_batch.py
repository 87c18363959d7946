"""Tensors of a batch against the definition of a tree: token q sees token k iff k <= q < visible[k]."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask, create_mask

from harness.models.base import Encoded
from harness.models.batch import TREE_MASKS, Layout, additive_mask, block_mask
from harness.models.tree import Tree, grow, single

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def encoded(*ids: int, types: bool = False) -> Encoded:
    return Encoded(np.array(ids), np.arange(len(ids)) % 2 if types else None)


def layout(attention: str = "sdpa", **more: Any) -> Layout:
    given = {"device": "cpu", "dtype": torch.float32, "fill": 9, "types": False, "masks": False} | more
    return Layout(attention=attention, **given)


def seen(visible: np.ndarray) -> np.ndarray:
    """(rows, tokens, tokens) by the definition, pair by pair."""
    rows, n = visible.shape
    pairs = [[[k <= q < visible[row, k] for k in range(n)] for q in range(n)] for row in range(rows)]
    return np.array(pairs)


texts = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), st.sampled_from(DTYPES))
def test_masks_of_trees_say_what_visible_says(rows: list[list[list[int]]], dtype: torch.dtype) -> None:
    trees = [grow([encoded(*ids) for ids in row]) for row in rows]
    longest = max(map(len, trees))
    # A padding token sees itself alone.
    visible = np.array([[*t.visible, *range(len(t) + 1, longest + 1)] for t in trees])
    expected = seen(visible)
    assert expected.any(axis=2).all(), "a query that sees nothing gives NaN"
    mask = additive_mask(torch.from_numpy(visible), dtype)
    assert mask.dtype == dtype
    assert mask.shape == (len(trees), 1, longest, longest)
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(dtype).min}
    assert np.array_equal((mask[:, 0] == 0).numpy(), expected)
    for tree, sees in zip(trees, expected, strict=True):
        for path in tree.paths:
            for i, q in enumerate(path):
                assert np.flatnonzero(sees[q]).tolist() == path[: i + 1].tolist()


@pytest.mark.parametrize("lengths", [(5, 3), (130, 40), (300, 20)])
def test_a_block_mask_is_the_same_rule_and_leaves_out_no_block_that_counts(lengths: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    prompt, branch = lengths
    trunk = rng.integers(1, 50, prompt)
    tree = grow([Encoded(np.concatenate([trunk, rng.integers(1, 50, branch)])) for _ in range(3)])
    visible = np.stack([tree.visible, np.arange(len(tree)) + 1])
    found = block_mask(torch.from_numpy(visible), torch.float32)
    expected = seen(visible)
    assert found.shape == (2, 1, len(tree), len(tree))
    assert np.array_equal(dense(found, len(tree)).numpy(), expected)
    size = found.BLOCK_SIZE[0]
    kept = np.kron(found.to_dense()[:, 0].numpy(), np.ones((1, size, size)))[:, : len(tree), : len(tree)]
    assert not (expected & (kept == 0)).any()
    if len(tree) > 2 * size:
        assert (kept == 0).any(), "blocks above the diagonal are left out"


def test_rows_are_filled_at_the_right_and_masked_only_if_asked() -> None:
    rows = [single(encoded(1, 2, 3)), single(encoded(4))]
    plain = layout().tensors(rows)
    assert {k: v.tolist() for k, v in plain.items()} == {"input_ids": [[1, 2, 3], [4, 9, 9]]}
    masked = layout(masks=True).tensors(rows)
    assert masked["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    even = layout(masks=True).tensors(rows[:1] * 2)
    assert set(even) == {"input_ids"}, "nothing to mask, and a mask costs the faster kernel"


def test_segment_ids_go_along_where_the_model_takes_them() -> None:
    rows = [single(encoded(1, 2, 3, types=True)), single(encoded(4, types=True))]
    assert layout(types=True).tensors(rows)["token_type_ids"].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert "token_type_ids" not in layout().tensors(rows)
    assert "token_type_ids" not in layout(types=True).tensors(rows[1:]), "all zero is what the model takes by itself"


def forked() -> list[Tree]:
    return [grow([encoded(1, 2, 3), encoded(1, 2, 4, 5)]), single(encoded(7, 8))]


def dense(mask: Any, tokens: int) -> torch.Tensor:
    """(rows, tokens, tokens): what may be seen, whatever form a mask has."""
    if isinstance(mask, BlockMask):
        return create_mask(mask.mask_mod, mask.shape[0], 1, tokens, tokens, device="cpu")[:, 0]
    return mask[:, 0] == 0


@pytest.mark.parametrize("attention", list(TREE_MASKS))
def test_a_batch_with_a_tree_has_positions_and_a_mask_of_its_own(attention: str) -> None:
    tensors = layout(attention, masks=True).tensors(forked())
    assert tensors["input_ids"].tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 9, 9]]
    assert tensors["position_ids"].tolist() == [[0, 1, 2, 2, 3], [0, 1, 0, 0, 0]]
    mask = tensors["attention_mask"]
    assert tuple(mask.shape) == (2, 1, 5, 5)
    assert isinstance(mask, BlockMask) == (attention == "flex_attention")
    ones = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    tree = [*ones, [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]]
    padded = [*ones, [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert dense(mask, 5).int().tolist() == [tree, padded]


def test_flash_attention_has_no_tree_mask() -> None:
    assert not [name for name in TREE_MASKS if "flash" in name]
    with pytest.raises(KeyError):
        layout("flash_attention_2").tensors(forked())


def test_arrays_of_any_layout_reach_the_device() -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2]
    assert layout().put(array).tolist() == array.tolist()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_are_the_same_on_a_gpu() -> None:
    visible = torch.from_numpy(np.stack([forked()[0].visible]))
    assert torch.equal(additive_mask(visible.cuda(), torch.float32).cpu(), additive_mask(visible, torch.float32))
    there, here = block_mask(visible.cuda(), torch.float32), block_mask(visible, torch.float32)
    assert torch.equal(there.to_dense().cpu(), here.to_dense())
