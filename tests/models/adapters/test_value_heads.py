"""Heads of every style on a tiny Llama, written as their authors name them, against the plain transformer one text at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from harness.condition import Ablation, Condition
from harness.errors import InputError
from harness.models.base import Unencodable
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.testing.conformance import check_adapter
from tests.models.checkpoints import random, with_head
from tests.models.conftest import Tiny, unit

TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that. " * 2),
    unit("Hello", "Yes."),
]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(heads, …)`: see `with_head`."""
    return partial(with_head, tmp_path / "model")


def states(load: Callable[..., Any], adapter: Any, at: Callable[[list[int]], int] = lambda ids: len(ids) - 1) -> Any:
    """The state of each text's token, from the plain body, text by text."""
    rows = []
    for encoded in adapter.encode(TEXTS):
        with torch.no_grad():
            whole = load("llama").model(torch.tensor(encoded.ids, dtype=torch.long)[None]).last_hidden_state[0]
        rows.append(whole[at(encoded.ids.tolist())])
    return torch.stack(rows)


def outputs(adapter: Any) -> np.ndarray:
    check_adapter(adapter, TEXTS)
    return adapter.forward(adapter.encode(TEXTS)).outputs


@pytest.mark.parametrize(
    ("adapter", "heads", "config"),
    [
        ("linear-head", {"value_head.weight": random(1, 32)}, {"architectures": ["LlamaModel"]}),
        ("linear-head", {"odd.weight": random(1, 32), "odd.bias": random(1)}, {"value_head_prefix": "odd", "architectures": ["X"]}),
        ("value-head", {"v_head.summary.weight": random(1, 32), "v_head.summary.bias": random(1)}, {"architectures": ["LlamaForCausalLM"]}),
        ("ultra-rm", {"regression_head.weight": random(1, 32)}, {"architectures": ["LlamaRewardModel"]}),
        ("beaver", {"score_head.weight": random(1, 32), "score_head.bias": random(1)}, {"architectures": ["LlamaForScore"]}),
    ],
)  # fmt: skip
def test_a_linear_head_reads_the_last_token(
    adapter: str, heads: Any, config: Any, write: Write, load: Callable[..., Any]
) -> None:
    resolved = resolve(write(heads, **config))
    assert (resolved.spec.adapter, resolved.spec.pooling) == (adapter, "last_attended")
    loaded = resolved.load()
    weight, bias = (next((t for n, t in heads.items() if n.endswith(k)), torch.zeros(1)) for k in ("weight", "bias"))
    expected = states(load, loaded) @ weight.T + bias
    np.testing.assert_allclose(outputs(loaded), expected.numpy(), atol=1e-5)


def test_hidden_layers_in_a_side_file(write: Write, load: Callable[..., Any]) -> None:
    heads = {
        "v_head.summary.0.weight": random(7, 32),
        "v_head.summary.0.bias": random(7),
        "v_head.summary.2.weight": random(1, 7),
    }
    resolved = resolve(write(heads, side="value_head.safetensors", architectures=["LlamaForCausalLM"]))
    assert resolved.spec.adapter == "value-head"
    adapter = resolved.load()
    hidden = (states(load, adapter) @ heads["v_head.summary.0.weight"].T + heads["v_head.summary.0.bias"]).relu()
    np.testing.assert_allclose(outputs(adapter), (hidden @ heads["v_head.summary.2.weight"].T).numpy(), atol=1e-5)


def test_a_side_file_is_part_of_the_fingerprint_and_a_pickled_one_needs_leave(write: Write) -> None:
    head = {"v_head.summary.weight": random(1, 32)}
    folder = write(head, side="value_head.safetensors", architectures=["LlamaForCausalLM"])
    before = resolve(folder).fingerprint
    save_file({"v_head.summary.weight": random(1, 32, seed=1)}, folder / "value_head.safetensors")
    assert resolve(folder).fingerprint != before
    (folder / "value_head.safetensors").unlink()
    torch.save(head, folder / "value_head.bin")
    spec = ModelSpec(model=str(folder), adapter="value-head")
    with pytest.raises(InputError, match=r"nothing below v_head\.summary.*add --allow-pickle"):
        resolve(spec)
    assert outputs(resolve(spec, allow_pickle=True).load()).shape == (len(TEXTS), 1)


def test_athene_is_read_at_the_token_it_puts_behind_the_text(write: Write, load: Callable[..., Any]) -> None:
    folder = write({"v_head.weight": random(1, 32)}, tokens={"cls_token": "<|start|>"}, architectures=["AtheneForSequenceClassification"])  # fmt: skip
    resolved = resolve(folder)
    assert resolved.spec.adapter == "athene"
    adapter = resolved.load()
    assert {int(e.ids[-1]) for e in adapter.encode(TEXTS)} == {adapter.tokenizer.cls_token_id}
    np.testing.assert_allclose(outputs(adapter), (states(load, adapter) @ random(1, 32).T).numpy(), atol=1e-5)


def test_athene_needs_its_token(write: Write) -> None:
    folder = write({"v_head.weight": random(1, 32)}, architectures=["AtheneForSequenceClassification"])
    with pytest.raises(InputError, match="names no CLS token"):
        resolve(folder).load()


@pytest.mark.parametrize(("kind", "shifted"), [("reward", True), ("cost", False)])
def test_beaver_is_normalised_as_its_config_says(
    kind: str, shifted: bool, write: Write, load: Callable[..., Any]
) -> None:
    heads = {"score_head.weight": random(1, 32), "normalizer.mean": torch.tensor([0.7]), "normalizer.var": torch.tensor([4.0])}  # fmt: skip
    folder = write(heads, architectures=["LlamaForScore"], do_normalize=True, score_type=kind)
    resolved = resolve(folder)
    assert resolved.spec.direction == ("higher_is_better" if kind == "reward" else "lower_is_better")
    adapter = resolved.load()
    raw = states(load, adapter) @ heads["score_head.weight"].T
    np.testing.assert_allclose(outputs(adapter), ((raw - 0.7 * shifted) / 2).numpy(), atol=1e-5)
    said = ModelSpec(model=str(folder), direction="higher_is_better")
    assert resolve(said).spec.direction == "higher_is_better"


def test_templates_of_models_that_bring_none(write: Write) -> None:
    beaver, ultra = (
        resolve(ModelSpec(model=str(write({head: random(1, 32)}, tokens={"chat_template": None})), adapter=adapter)).load()
        for head, adapter in (("score_head.weight", "beaver"), ("regression_head.weight", "ultra-rm"))
    )  # fmt: skip
    talk = [unit("a", "b", "c", "d")]
    texts = [adapter.tokenizer.decode(adapter.encode(talk)[0].ids) for adapter in (beaver, ultra)]
    assert texts[0] == "<s>BEGINNING OF CONVERSATION: USER: a ASSISTANT:b</s>USER: c ASSISTANT:d</s>"
    assert texts[1] == "<s>Human: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d"


def test_no_head_is_an_error_before_anything_is_loaded(write: Write) -> None:
    folder = write({}, architectures=["LlamaForScore"])
    with pytest.raises(InputError, match="nothing below score_head is in the checkpoint"):
        resolve(folder)


def test_neurons_are_those_of_the_transformer(write: Write) -> None:
    adapter = resolve(write({"value_head.weight": random(1, 32)}, architectures=["LlamaModel"])).load()
    texts = adapter.encode(TEXTS)
    before = adapter.forward(texts).outputs
    with adapter.under(Condition("zero", (Ablation(layers=[0], neurons=[3], values=[0.0]),))):
        assert np.abs(adapter.forward(texts).outputs - before).max() > 1e-4
    np.testing.assert_array_equal(adapter.forward(texts).outputs, before)


# --- ArmoRM ---------------------------------------------------------------------------------------


def test_armo_weighs_attributes_by_the_prompt(write: Write, load: Callable[..., Any], tiny: Tiny) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    pattern = tokenizer("<|end|>\n<|start|>assistant\n", add_special_tokens=False)["input_ids"]
    heads = {
        "regression_layer.weight": random(3, 32), "reward_transform_matrix": random(3, 3, seed=1),
        "gating.layers.0.weight": random(5, 32, seed=2), "gating.layers.0.bias": random(5, seed=3),
        "gating.layers.1.weight": random(3, 5, seed=4), "gating.layers.1.bias": random(3, seed=5),
        "gating.logit_scale": torch.tensor([1.5]),
    }  # fmt: skip
    folder = write(heads, architectures=["LlamaForRewardModelWithGating"], num_objectives=3, gating_temperature=2)
    spec = ModelSpec(model=str(folder), options={"gate_pattern": pattern})
    resolved = resolve(spec)
    assert resolved.spec.adapter == "armo-rm"
    assert resolved.spec.heads is not None
    assert resolved.spec.heads.names == ("score", "reward_0", "reward_1", "reward_2")
    adapter = resolved.load()

    def last_header(ids: list[int]) -> int:
        n = len(pattern)
        return max(i for i in range(len(ids) - n + 1) if ids[i : i + n] == pattern)

    prompts, replies = states(load, adapter, last_header), states(load, adapter)
    hidden = (prompts @ heads["gating.layers.0.weight"].T + heads["gating.layers.0.bias"]).relu()
    gates = torch.softmax((hidden @ heads["gating.layers.1.weight"].T + heads["gating.layers.1.bias"]) / 2, 1) * 1.5
    rewards = replies @ heads["regression_layer.weight"].T
    score = (gates * (rewards @ heads["reward_transform_matrix"])).sum(1)
    found = outputs(adapter)
    np.testing.assert_allclose(found[:, 0], score.numpy(), atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], rewards.numpy(), atol=1e-5)
    np.testing.assert_array_equal(adapter.raw_score(adapter.spec, found), found[:, 0])


def test_armo_cannot_read_a_text_without_the_header(write: Write) -> None:
    heads = {
        "regression_layer.weight": random(3, 32), "reward_transform_matrix": random(3, 3),
        "gating.layers.0.weight": random(3, 32), "gating.logit_scale": torch.tensor([1.0]),
    }  # fmt: skip
    folder = write(heads, architectures=["LlamaForRewardModelWithGating"], num_objectives=3)
    (refused,) = resolve(folder).load().encode(TEXTS[:1])
    assert isinstance(refused, Unencodable)
    assert "no assistant's header" in refused.error
    with pytest.raises(InputError, match=r"options\.gate: .*its options are gate_pattern"):
        resolve(ModelSpec(model=str(folder), options={"gate": 1}))


# --- InternLM2 ------------------------------------------------------------------------------------

HEADS, KEYS, SIZE, WIDTH = 4, 2, 8, 32


def internlm(layer: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """One layer of InternLM2 on the states (tokens, width) of one text, written out."""

    def norm(y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return weight * y / (y.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    def turned(y: torch.Tensor) -> torch.Tensor:
        angle = torch.arange(len(y))[:, None] / 10000 ** (torch.arange(0, SIZE, 2) / SIZE)
        both = torch.cat([angle, angle], -1)
        half = torch.cat([-y[:, SIZE // 2 :], y[:, : SIZE // 2]], -1)
        return y * both.cos() + half * both.sin()

    inside = norm(x, layer["attention_norm.weight"])
    groups = (inside @ layer["attention.wqkv.weight"].T).reshape(len(x), KEYS, HEADS // KEYS + 2, SIZE)
    seen = []
    for key in range(KEYS):
        k, v = turned(groups[:, key, -2]), groups[:, key, -1]
        for query in range(HEADS // KEYS):
            scores = turned(groups[:, key, query]) @ k.T / SIZE**0.5
            hidden = torch.ones(len(x), len(x)).triu(1).bool()
            seen.append(torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ v)
    x = x + torch.cat(seen, -1) @ layer["attention.wo.weight"].T
    inside = norm(x, layer["ffn_norm.weight"])
    gate = torch.nn.functional.silu(inside @ layer["feed_forward.w1.weight"].T)
    return x + (gate * (inside @ layer["feed_forward.w3.weight"].T)) @ layer["feed_forward.w2.weight"].T


def test_internlm2_is_read_as_a_llama_at_its_reward_token(tiny: Tiny, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    tokenizer.save_pretrained(tmp_path)
    shapes = {
        "attention.wqkv": (64, WIDTH), "attention.wo": (WIDTH, WIDTH), "feed_forward.w1": (48, WIDTH),
        "feed_forward.w3": (48, WIDTH), "feed_forward.w2": (WIDTH, 48), "attention_norm": (WIDTH,), "ffn_norm": (WIDTH,),
    }  # fmt: skip
    layers = [{f"{n}.weight": 3 * random(*s, seed=10 * i + j) for j, (n, s) in enumerate(shapes.items())} for i in range(2)]  # fmt: skip
    table, last, head = random(len(tokenizer), WIDTH, seed=50), random(WIDTH, seed=51), random(1, WIDTH, seed=52)
    tensors = {f"model.layers.{i}.{n}": t for i, layer in enumerate(layers) for n, t in layer.items()}
    tensors |= {"model.tok_embeddings.weight": table, "model.norm.weight": last, "v_head.weight": head}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    reward_token = tokenizer.convert_tokens_to_ids("<|start|>")
    config = {
        "architectures": ["InternLM2ForRewardModel"], "model_type": "internlm2", "auto_map": {"AutoModel": "x.Y"},
        "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS, "vocab_size": len(tokenizer), "rms_norm_eps": 1e-6, "rope_theta": 10000,
        "max_position_embeddings": 128, "bias": False, "hidden_act": "silu", "reward_token_id": reward_token,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    resolved = resolve(tmp_path)
    assert resolved.spec.adapter == "internlm2-reward"
    adapter = resolved.load()
    encoded = adapter.encode(TEXTS)
    assert {int(e.ids[-1]) for e in encoded} == {reward_token}
    expected = []
    for one in encoded:
        x = table[torch.tensor(one.ids, dtype=torch.long)]
        for layer in layers:
            x = internlm(layer, x)
        state = last * x[-1] / (x[-1].pow(2).mean() + 1e-6).sqrt()
        expected.append((head @ state).numpy())
    np.testing.assert_allclose(outputs(adapter), np.stack(expected), atol=1e-5)
