"""Where weights go: decided with made-up GPUs, and a model in parts scores as a whole one does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.models import loading
from harness.models.accumulate import Attribution, Moments
from harness.models.base import Resolved
from harness.models.last_layer import Pooled
from harness.models.placement import ALONE, TOGETHER, placement, places, weight_bytes
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.tree import grow
from harness.reading import Reading
from tests.models.conftest import Tiny, unit

GB = 10**9
UNITS = [unit("How do I bake bread?", f"Mix flour and water. {end}") for end in ("No", "Yes, at home", "I do not know")]


def fits(weights: float, *free: float) -> dict[int, int]:
    room = {gpu: int(f * GB) for gpu, f in enumerate(free)}
    return placement(int(weights * GB), list(room), room.__getitem__)


def test_weights_go_to_the_first_gpu_that_is_large_enough_else_to_all() -> None:
    assert list(fits(16, 80, 80)) == [0]
    assert fits(100, 80, 80) == {0: 76 * GB, 1: 76 * GB}
    assert list(fits(70, 80, 80)) == [0, 1], "a batch needs room too"
    assert list(fits(70, 80)) == [0], "there is nowhere else to go"
    assert list(fits(30, 20, 80)) == [0, 1]


@given(st.floats(0.1, 500), st.lists(st.floats(1, 200), min_size=1, max_size=8))
def test_weights_fit_where_they_are_put_or_it_is_said(weights: float, free: list[float]) -> None:
    most = TOGETHER * sum(free)
    assume(abs(weights - most) > 1e-6)
    if weights > most:
        said = f"the weights take {weights:.1f} GB and {len(free)} GPU(s) have {sum(free):.1f} GB free"
        with pytest.raises(InputError, match=f"{re.escape(said)}.*or --device cpu"):
            fits(weights, *free)
        return
    room = fits(weights, *free)
    assert weights * GB <= sum(room.values()) + len(free)
    assert all(room[gpu] <= TOGETHER * free[gpu] * GB + 1 for gpu in room)
    assert list(room) == ([0] if weights <= ALONE * free[0] else list(range(len(free))))


def test_other_gpus_are_only_asked_when_the_first_is_too_small() -> None:
    def free(gpu: int) -> int:
        assert gpu == 0, "asking a GPU takes some of its memory"
        return 80 * GB

    assert list(placement(16 * GB, [0, 1, 2], free)) == [0]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`gpus(*free)`: this machine seems to have GPUs with so many bytes free."""

    def pretend(*free: float) -> None:
        fake = SimpleNamespace(device_count=lambda: len(free), mem_get_info=lambda gpu: (int(free[gpu]), 10**15))
        monkeypatch.setattr(torch.cuda, "device_count", fake.device_count)
        monkeypatch.setattr(torch.cuda, "mem_get_info", fake.mem_get_info)

    return pretend


def resolved(tiny: Tiny, device: str = "cpu", family: str = "llama", **spec: Any) -> Resolved:
    found = resolve(ModelSpec(model=str(tiny(family)), template="raw", **spec), device="cpu")
    return replace(found, device=device)


def test_weights_are_as_large_as_the_dtype_makes_them(tiny: Tiny, tmp_path: Path) -> None:
    whole, half = resolved(tiny, dtype="float32"), resolved(tiny, dtype="bfloat16")
    tensors = 4 * sum(p.numel() for p in whole.load().model.parameters())
    header = 8192
    assert tensors <= weight_bytes(whole) <= tensors + header
    assert weight_bytes(half) == weight_bytes(whole) // 2
    stored = tmp_path / "half"
    half.load().model.save_pretrained(stored)
    assert weight_bytes(replace(whole, path=stored)) == pytest.approx(weight_bytes(whole), abs=2 * header)


def test_cuda_may_spread_and_a_numbered_gpu_may_not(tiny: Tiny, gpus: Callable[..., None]) -> None:
    size = weight_bytes(resolved(tiny))
    assert places(resolved(tiny, "cpu")) == {}
    gpus(10 * size, 10 * size)
    assert places(resolved(tiny, "cuda")) == {"device_map": {"": 0}}
    assert places(resolved(tiny, "cuda:1")) == {"device_map": {"": 1}}
    gpus(0.7 * size, 0.7 * size)
    spread = places(resolved(tiny, "cuda"))
    assert spread["device_map"] == "auto"
    assert list(spread["max_memory"]) == [0, 1]
    with pytest.raises(InputError, match=r"local/llama: the weights take .* and 1 GPU"):
        places(resolved(tiny, "cuda:1"))
    with pytest.raises(InputError, match=r"needs 2 GPUs, and flex_attention works on one.*sdpa"):
        places(resolved(tiny, "cuda", attn_implementation="flex_attention"))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_no_keys_and_values_are_kept_of_what_is_only_read_once(family: str, tiny: Tiny) -> None:
    model = loading.load_classifier(resolved(tiny, family=family))
    with torch.inference_mode():
        assert model(input_ids=torch.tensor([[5, 6, 7]])).past_key_values is None


def test_a_model_that_would_be_read_from_disk_for_every_batch_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_parts(monkeypatch, tmp_path)
    with pytest.raises(InputError, match=r"holds all but model\.embed_tokens, .*; expected all of it.*--device cpu"):
        loading.load_classifier(resolved(tiny, "cuda"))


def in_parts(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Models are dispatched by accelerate: the last layer stays on disk, the rest is in memory."""
    there = dict.fromkeys(("model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "score"), "cpu")
    where = {"device_map": there | {"model.layers.1": "disk"}, "offload_folder": str(folder)}
    monkeypatch.setattr(loading, "places", lambda resolved: where)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_model_in_parts_scores_as_a_whole_one(
    family: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = resolved(tiny, family=family).load()
    in_parts(monkeypatch, tmp_path)
    parts = resolved(tiny, family=family).load()
    assert parts.model.model.layers[1].mlp.down_proj.weight.device.type == "meta"
    assert parts.describe() == whole.describe()
    assert (parts.cost, parts.shares, len(parts.last_layer)) == (whole.cost, whole.shares, len(whole.last_layer))
    tree = grow(whole.encode(UNITS))
    for batch in ([tree], [grow([text]) for text in tree.texts]):
        expected, found = (a.forward_trees(batch, frozenset({"head_input"})) for a in (whole, parts))
        assert np.abs(expected.outputs - found.outputs).max() < 1e-6
        assert np.abs(expected.captures["head_input"] - found.captures["head_input"]).max() < 1e-6
    for kind in (Moments, Attribution):
        sums, again = kind(), kind()
        whole.accumulate([tree], [1.0, -0.5, 0.5], Reading(), sums)
        parts.accumulate([tree], [1.0, -0.5, 0.5], Reading(), again)
        for name, array in sums.result().items():
            np.testing.assert_allclose(again.result()[name], array, atol=1e-6)


class Elsewhere:
    """An index on another device than the tensor: good for nothing before it is moved."""

    def __init__(self, *places: int) -> None:
        self.places = places

    def to(self, device: torch.device) -> torch.Tensor:
        return torch.tensor(self.places, device=device)


def test_what_is_read_is_found_on_whichever_gpu_it_is() -> None:
    states = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    pooled = Pooled(Elsewhere(0, 1, 1), Elsewhere(2, 0, 1), (2, 3))  # type: ignore[arg-type]
    expected = torch.stack([states[0, 2], states[1, 0], states[1, 1]])
    assert torch.equal(states[pooled.on(states)], expected)
    assert torch.equal(pooled.narrow(states), expected[None])
    whole = torch.zeros_like(states)
    whole[0, 2], whole[1, 0], whole[1, 1] = expected
    assert torch.equal(pooled.widen(pooled.narrow(states)), whole)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_model_on_two_gpus_scores_as_on_one(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = resolved(tiny, "cuda").load()
    size = weight_bytes(resolved(tiny))
    monkeypatch.setattr(loading, "places", lambda r: {"device_map": "auto", "max_memory": {0: size * 7 // 10, 1: size}})
    spread = resolved(tiny, "cuda").load()
    assert set(spread.model.hf_device_map.values()) == {0, 1}
    assert spread.shares == expected.shares
    tree = grow(spread.encode(UNITS))
    found = spread.forward_trees([tree]).outputs
    assert np.abs(found - expected.forward_trees([tree]).outputs).max() < 1e-4


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_tokenizer_with_more_ids_than_embeddings_is_refused_before_weights(
    family: str, tiny: Tiny, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny(family), tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 9}))
    with pytest.raises(InputError, match=r"makes ids up to \d+ and its model has 9 embeddings; they do not belong"):
        resolve(ModelSpec(model=str(folder), template="raw")).load()
