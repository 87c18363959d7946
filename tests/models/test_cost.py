"""What a batch may hold, with a GPU's free memory made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForSequenceClassification

from harness.models.cost import FREE_SHARE, PAIR, feed_forward_width, measure, row_length
from harness.models.last_layer import is_linear

LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "num_labels": 1, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 100, "num_labels": 1}
BERT = {
    "model_type": "bert", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "vocab_size": 100, "num_labels": 1,
}  # fmt: skip
GB = 10**9


def model(settings: dict[str, Any], dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    settings = dict(settings)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, dtype=dtype, attn_implementation=attention)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`gpu(free)`: every device has so many bytes free; asked devices are kept in `gpu.asked`."""
    state = SimpleNamespace(free=0, asked=[])

    def mem_get_info(device: Any) -> tuple[int, int]:
        state.asked.append(device)
        return state.free, 10 * state.free

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)

    def with_free(free: float) -> SimpleNamespace:
        state.free = int(free)
        return state

    return with_free


@pytest.mark.parametrize(("settings", "expected"), [(LLAMA, 160 + 160 + 64), (BERT, 160 + 64), (GPT2, 4 * 64 + 64)])
def test_numbers_a_token_in_the_feed_forward_part(settings: dict[str, Any], expected: int) -> None:
    linear = [(name, m) for name, m in model(settings).named_modules() if is_linear(m)]
    assert feed_forward_width(linear) == expected


def test_attention_costs_its_products_relative_to_the_linear_layers() -> None:
    n = 100
    weights = sum(m.weight.numel() for m in model(LLAMA).modules() if isinstance(m, torch.nn.Linear))
    # Both products, a query with every key and a weight with every value: 2 FLOPs a number each; twice as slow.
    pairs = 2 * 2 * 64 * n * n * 3 * 2
    assert measure(model(LLAMA), "cpu").attention * n * n == pytest.approx(pairs / (2 * weights))


def test_a_cpu_keeps_its_batch_close() -> None:
    budgets = [measure(model(LLAMA | {"intermediate_size": w}), "cpu").budget for w in (64, 1024, 65536)]
    assert budgets == [2048, 4 * 2**20 // (2 * 1024 + 64), 512]


@given(st.floats(1e6, 1e12), st.integers(1, 10**6), st.integers(0, 10**3))
def test_the_longest_row_fits_and_one_a_little_longer_does_not(room: float, a_token: int, a_pair: int) -> None:
    n = row_length(room, a_token, a_pair)
    assert n * a_token + n**2 * a_pair <= room * (1 + 1e-9)
    assert (n + 2) * a_token + (n + 2) ** 2 * a_pair > room


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_gpu_batch_fits_its_mask_and_activations(attention: str, dtype: torch.dtype, gpu: Any) -> None:
    free = 0.05 * GB
    gpu(free)
    budget, size = measure(model(LLAMA, dtype, attention), "cuda").budget, dtype.itemsize
    assert 512 < budget < 65536
    mask = budget**2 * (size + 1)
    scores = 4 * budget**2 * (2 * size + 4) if attention == "eager" else 0
    activations = budget * size * (6 * 64 + 2 * (160 + 160 + 64))
    assert mask + scores + activations == pytest.approx(FREE_SHARE * free, rel=0.01)


def test_flash_and_flex_attention_hold_nothing_a_pair(gpu: Any) -> None:
    gpu(0.05 * GB)
    flex = measure(model(LLAMA, attention="flex_attention"), "cuda").budget
    assert flex == int(FREE_SHARE * 0.05 * GB / (4 * (6 * 64 + 2 * (160 + 160 + 64))))
    assert not [name for name in PAIR if "fl" in name]


def test_a_full_gpu_still_gets_a_batch_and_a_large_one_no_endless_one(gpu: Any) -> None:
    gpu(1000)
    assert measure(model(LLAMA), "cuda").budget == 512
    gpu(10**15)
    assert measure(model(LLAMA), "cuda").budget == 65536


def test_the_fullest_gpu_bounds_a_model_that_lies_on_several(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"meta": 10**12, "cpu": int(0.05 * GB)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.type], 10**12))
    spread = model(LLAMA)
    alone = measure(spread, "cuda").budget
    spread.score = torch.nn.Linear(64, 1)
    assert measure(spread, "cuda").budget < alone


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_of_the_budget_fits_into_a_real_gpu() -> None:
    big = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("llama", **LLAMA | {"hidden_size": 1024}))
    big = big.to("cuda", torch.bfloat16).eval()
    budget = measure(big, "cuda").budget
    before = torch.cuda.mem_get_info()[0]
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        big(input_ids=torch.ones(budget // 512, 512, dtype=torch.long, device="cuda"))
    assert torch.cuda.max_memory_allocated() < before
