"""InternLM2's checkpoints against the Llama they were written from: names, one matrix of three, biases, number formats, what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from harness.errors import InputError
from harness.models.internlm2 import llama_tensors
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from tests.models.adapters.plain import TEXTS, TIGHT, chats, ids_of, last_states, random, scores
from tests.models.conftest import Tiny

HEADS, KEYS, SIZE = 4, 2, 8


def fused(body: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A Llama's tensors as InternLM2 stores them: written out by hand, row by row."""
    own = {"embed_tokens": "tok_embeddings", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
           "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3",
           "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    found: dict[str, torch.Tensor] = {}
    for name, tensor in body.items():
        renamed = name
        for theirs, ours in own.items():
            renamed = renamed.replace(theirs, ours)
        if not any(f"{p}_proj" in name for p in "qkv"):
            found[renamed] = tensor
        elif "q_proj" in name:
            q, k, v = (body[name.replace("q_proj", f"{p}_proj")].split(SIZE) for p in "qkv")
            shared = HEADS // KEYS
            rows = [part for g in range(KEYS) for part in (*q[g * shared : (g + 1) * shared], k[g], v[g])]
            found[name.replace("self_attn.q_proj", "attention.wqkv")] = torch.cat(rows)
    return found


@pytest.fixture
def llama() -> LlamaModel:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=KEYS, vocab_size=520, max_position_embeddings=128, rms_norm_eps=1e-6, attention_bias=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaModel(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def internlm(llama: LlamaModel, tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    """`internlm(without, dtype, **config)`: that Llama written as an InternLM2 reward model with biases."""

    def make(without: str = "", dtype: str = "float32", **config: Any) -> Path:
        folder = tmp_path / "internlm"
        tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
        tokenizer.save_pretrained(folder)
        stored = {f"model.{n}": t for n, t in fused(dict(llama.state_dict())).items()} | {
            "v_head.weight": random(1, 32)
        }
        kept = {
            n: t.to(getattr(torch, dtype)).contiguous() for n, t in stored.items() if not (without and without in n)
        }
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        settings = {
            "architectures": ["InternLM2ForRewardModel"], "model_type": "internlm2", "auto_map": {"AutoModel": "x.Y"},
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": HEADS,
            "num_key_value_heads": KEYS, "vocab_size": 520, "rms_norm_eps": 1e-6, "rope_theta": 10000, "bias": True,
            "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 128, "hidden_act": "silu",
            "torch_dtype": dtype, "attn_implementation": "eager",
            "reward_token_id": tokenizer.convert_tokens_to_ids("<|start|>"),
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(settings | config))
        return folder

    return make


def test_internlm2_with_biases_and_long_positions_is_the_llama_it_was(
    internlm: Callable[..., Path], llama: LlamaModel
) -> None:
    folder = internlm()
    expected = ids_of(folder, [text + "<|start|>" for text in chats(folder)])
    adapter = resolve(folder).load()
    assert [e.ids.tolist() for e in adapter.encode(TEXTS)] == expected
    np.testing.assert_allclose(scores(adapter), (last_states(llama, expected) @ random(1, 32).T)[:, 0].numpy(), **TIGHT)


def test_internlm2_of_bfloat16_is_read_in_float32(internlm: Callable[..., Path], llama: LlamaModel) -> None:
    folder = internlm(dtype="bfloat16")
    adapter = resolve(ModelSpec(model=str(folder), dtype="float32")).load()
    assert adapter.describe()["dtype"] == "float32"
    rounded = llama.bfloat16().float()
    ids = [e.ids.tolist() for e in adapter.encode(TEXTS)]
    expected = last_states(rounded, ids) @ random(1, 32).bfloat16().float().T
    np.testing.assert_allclose(scores(adapter), expected[:, 0].numpy(), **TIGHT)


def test_internlm2_with_a_part_missing_or_of_another_shape_is_no_random_model(internlm: Callable[..., Path]) -> None:
    with pytest.raises(
        InputError, match=r"layers\.1\.mlp\.down_proj\.weight missing, so scores would come from random"
    ):
        resolve(internlm(without="layers.1.feed_forward.w2")).load()
    with pytest.raises(InputError, match=r"nothing below v_head is in the checkpoint"):
        resolve(internlm(without="v_head"))
    with pytest.raises(
        InputError, match=r"attention\.wqkv\.\w+ has 64 rows; expected 48 of 4 query and 1 key heads of 8"
    ):
        resolve(internlm(num_key_value_heads=1)).load()
    with pytest.raises(InputError, match=r"reward_token_id in its config is 9999, which its tokenizer does not have"):
        resolve(internlm(reward_token_id=9999)).load()


def test_names_of_internlm2_are_told_apart_by_whole_parts() -> None:
    names = ["tok_embeddings.weight", "layers.0.attention.wo.bias", "layers.11.feed_forward.w3.weight", "norm.weight"]
    given = {name: torch.zeros(1) for name in names}
    assert set(llama_tensors(given, {})) == {
        "embed_tokens.weight", "layers.0.self_attn.o_proj.bias", "layers.11.mlp.up_proj.weight", "norm.weight",
    }  # fmt: skip
