"""The recorded kernel is the one that ran, and every attention implementation gives the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from harness.errors import InputError
from harness.models.attention import _kernel, kernels
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.tree import grow
from tests.models.conftest import Tiny, unit

ASIDE = [unit("How do I bake bread?", f"Mix flour and water. {end}") for end in ("No", "Yes, at home", "I do not know")]
Heads = Callable[[], torch.Tensor]


@pytest.fixture
def heads() -> Heads:
    rng = np.random.default_rng(0)
    return lambda: torch.from_numpy(rng.normal(size=(1, 2, 5, 8)).astype(np.float32))


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """Flex attention as plain operators: the same numbers without the minute that compiling takes."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.parametrize(("backend", "kernel"), [(SDPBackend.MATH, "math"), (SDPBackend.FLASH_ATTENTION, "flash")])
def test_the_kernel_torch_picks_is_named(backend: SDPBackend, kernel: str, heads: Heads) -> None:
    q, k, v = heads(), heads(), heads()
    seen = []

    def run() -> None:
        with sdpa_kernel(backend):
            seen.append(scaled_dot_product_attention(q, k, v))

    assert kernels("sdpa", run) == [kernel]
    expected = torch.softmax(q @ k.mT / 8**0.5, -1) @ v
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize(
    ("operator", "kernel"),
    [
        ("aten::_scaled_dot_product_flash_attention", "flash"),
        ("aten::_scaled_dot_product_efficient_attention", "efficient"),
        ("aten::_scaled_dot_product_cudnn_attention", "cudnn"),
        ("flash_attn::_flash_attn_varlen_forward", "flash"),
        ("aten::scaled_dot_product_attention", None),
        ("aten::mm", None),
    ],
)
def test_kernels_that_only_a_gpu_has_are_known_by_name(operator: str, kernel: str | None) -> None:
    assert _kernel(operator) == kernel


def test_several_kernels_are_all_named_and_none_is_none(heads: Heads) -> None:
    def both() -> None:
        for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
            with sdpa_kernel(backend):
                scaled_dot_product_attention(heads(), heads(), heads())
        heads().softmax(-1)  # as a router of experts has it

    assert kernels("sdpa", both) == ["flash", "math"]
    assert kernels("eager", lambda: heads().softmax(-1)) == ["eager"]
    assert kernels("sdpa", lambda: heads() @ heads().mT) == []


def test_watching_does_not_switch_a_compiler_off() -> None:
    def run() -> None:
        raise AssertionError("a compiled implementation is not run to be watched")

    assert kernels("flex_attention", run) == ["flex"]


def load(tiny: Tiny, family: str, **spec: Any) -> Any:
    return resolve(ModelSpec(model=str(tiny(family)), template="raw", **spec)).load()


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", {"single": ["flash"], "tree": ["flash"]}),
        ("bert", {"single": ["flash"]}),
        ("gemma2", {"single": ["eager"]}),
        ("xlnet", {"single": ["eager"]}),
    ],
)
def test_a_loaded_model_says_what_its_batches_run(family: str, expected: dict[str, list[str]], tiny: Tiny) -> None:
    seen = load(tiny, family).describe()
    assert seen["attention_kernels"] == expected
    assert seen["float32_matmul_precision"] == "highest"


def test_attention_written_out_shares_rows_and_says_so(tiny: Tiny) -> None:
    adapter = load(tiny, "llama", attn_implementation="eager")
    assert adapter.describe()["attention_kernels"] == {"single": ["eager"], "tree": ["eager"]}
    assert np.abs(shared(adapter) - alone(load(tiny, "llama"))).max() < 1e-5


def alone(adapter: Any) -> np.ndarray:
    return np.concatenate([adapter.forward([e]).outputs[:, 0] for e in grow(adapter.encode(ASIDE)).texts])


def shared(adapter: Any) -> np.ndarray:
    """Scores of the texts as one row beside a shorter one, so that the row's padding is in play."""
    encoded = adapter.encode(ASIDE)
    outputs = adapter.forward_trees([grow(encoded[:2]), grow(encoded)]).outputs[:, 0]
    return outputs[2:]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt-neox"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore:_compile flag")
def test_flex_attention_keeps_texts_of_a_row_apart(family: str, tiny: Tiny, uncompiled: None) -> None:
    adapter = load(tiny, family, attn_implementation="flex_attention")
    seen = adapter.describe()
    assert seen["attn_implementation"] == "flex_attention"
    assert seen["attention_kernels"] == {"single": ["flex"], "tree": ["flex"]}
    assert adapter.shares == 128
    expected = alone(load(tiny, family))
    assert expected.std() > 0.01
    assert np.abs(shared(adapter) - expected).max() < 1e-5
    assert np.abs(adapter.forward(grow(adapter.encode(ASIDE)).texts).outputs[:, 0] - expected).max() < 1e-5


def test_an_implementation_without_a_tree_mask_gets_plain_batches(tiny: Tiny) -> None:
    """What flash attention gets: it takes no mask of four dimensions."""
    AttentionInterface.register("stand_in", sdpa_attention_forward)
    AttentionMaskInterface.register("stand_in", sdpa_mask)
    try:
        adapter = load(tiny, "llama", attn_implementation="stand_in")
        assert adapter.layout.attention == "stand_in"
        assert adapter.shares == 0
        assert adapter.describe()["attention_kernels"] == {"single": ["flash"]}
        encoded = adapter.encode(ASIDE)
        expected = load(tiny, "llama").forward(encoded).outputs
        assert np.abs(adapter.forward(encoded).outputs - expected).max() < 1e-5
        with pytest.raises(ValueError, match="exact only up to 0"):
            adapter.forward_trees([grow(encoded)])
    finally:
        del AttentionInterface._global_mapping["stand_in"]
        del AttentionMaskInterface._global_mapping["stand_in"]


def test_a_kernel_that_refuses_is_wrong_input_with_a_way_out(tiny: Tiny) -> None:
    def refuses(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("FlashAttention only supports fp16 and bf16\nand more")

    AttentionInterface.register("stand_in", refuses)
    try:
        with pytest.raises(
            InputError, match=r"stand_in in float32: FlashAttention only .* bf16; try another attn_impl"
        ):
            load(tiny, "llama", attn_implementation="stand_in")
    finally:
        del AttentionInterface._global_mapping["stand_in"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("attention", ["sdpa", "eager", "flex_attention"])
def test_a_gpu_scores_as_a_cpu_does(attention: str, tiny: Tiny) -> None:
    expected = alone(load(tiny, "llama"))
    resolved = resolve(
        ModelSpec(model=str(tiny("llama")), template="raw", attn_implementation=attention), device="cuda"
    )
    adapter = resolved.load()
    assert adapter.model.device.type == "cuda"
    assert set(adapter.describe()["attention_kernels"]) == {"single", "tree"}
    assert np.abs(alone(adapter) - expected).max() < 1e-4
    assert np.abs(shared(adapter) - expected).max() < 1e-4
