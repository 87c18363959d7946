"""One tiny model of every kind, written to a folder when asked for: what is tried on all kinds alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.models.spec import Heads, ModelSpec
from harness.testing.tiny import tiny_language_model, tiny_model
from tests.llm.server import script, sending, serving
from tests.models.checkpoints import STEP, internlm2, own_code, pair_rm, random, steam_shp, with_head
from tests.models.speaking import planted_speaker

Build = Callable[[Path, ExitStack], ModelSpec | str]

KINDS: dict[str, Build] = {}
"""By the letter of the catalogue and what it is: writes a model below a folder and returns what names it; servers live on the stack."""


def kind(name: str) -> Callable[[Build], Build]:
    """Enter a builder under a name."""

    def enter(build: Build) -> Build:
        assert name not in KINDS, f"two kinds are called {name!r}"
        KINDS[name] = build
        return build

    return enter


def classifier(family: str, template: Any, folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(tiny_model(folder, family)), template=template)


kind("A1 decoder classifier")(partial(classifier, "llama", "tokenizer"))
kind("A2 encoder, prompt and reply apart")(partial(classifier, "deberta-v2", {"pair": "plain"}))
kind("A4 encoder, one text")(partial(classifier, "modernbert", "hh"))


@kind("B1 several labels")
def several_labels(folder: Path, _: ExitStack) -> ModelSpec:
    path = tiny_model(folder, "gpt-neox", num_labels=3)
    return ModelSpec(model=str(path), template="tokenizer", heads=Heads(weights=(1.0, 0.5, -1.0)))


@kind("B2 ArmoRM")
def armo(folder: Path, _: ExitStack) -> ModelSpec:
    heads = {
        "regression_layer.weight": random(3, 32), "reward_transform_matrix": random(3, 3, seed=1),
        "gating.layers.0.weight": random(3, 32, seed=2), "gating.logit_scale": torch.tensor([1.0]),
    }  # fmt: skip
    path = with_head(folder, heads, architectures=["LlamaForRewardModelWithGating"], num_objectives=3)
    header = AutoTokenizer.from_pretrained(path)("<|start|>assistant", add_special_tokens=False)["input_ids"]
    return ModelSpec(model=str(path), options={"gate_pattern": header})


def headed(heads: dict[str, torch.Tensor], settings: dict[str, Any], folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(with_head(folder, heads, **settings)))


VALUE_HEADS = {
    "C1 linear head": ({"value_head.weight": random(1, 32)}, {"architectures": ["LlamaModel"]}),
    "C2 value head": ({"v_head.summary.weight": random(1, 32)}, {"architectures": ["LlamaForCausalLM"], "side": "value_head.safetensors"}),
    "C3 UltraRM": ({"regression_head.weight": random(1, 32)}, {"architectures": ["LlamaRewardModel"], "tokens": {"chat_template": None}}),
    "C5 Athene": ({"v_head.weight": random(1, 32)}, {"architectures": ["AtheneForSequenceClassification"], "tokens": {"cls_token": "<|start|>"}}),
    "C7 Beaver cost": ({"score_head.weight": random(1, 32)}, {"architectures": ["LlamaForScore"], "score_type": "cost"}),
}  # fmt: skip
for name, (heads, settings) in VALUE_HEADS.items():
    kind(name)(partial(headed, heads, settings))


@kind("C6 InternLM2")
def intern(folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(internlm2(folder)))


def language_model(adapter: str, family: str, options: dict[str, Any], folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(tiny_language_model(folder, family)), adapter=adapter, options=options)


ASK = "{{ prompt }} A: {{ response_a }} B: {{ response_b }}"
kind("D1 logit of a token")(partial(language_model, "causal-logit", "gemma2", {}))
kind("D2, D4 label tokens")(partial(language_model, "token-preference", "qwen3", {"prompt": ASK}))


@kind("D3 SteamSHP")
def steam(folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(steam_shp(folder)), adapter="steam-shp", max_length=512)


@kind("E implicit reward")
def implicit(folder: Path, _: ExitStack) -> ModelSpec:
    reference = tiny_language_model(folder / "reference", "gpt2", seed=1)
    policy = tiny_language_model(folder / "policy", "gpt2")
    return ModelSpec(model=str(policy), adapter="implicit-dpo", options={"reference": str(reference)})


@kind("F1 PEFT adapter")
def adapted(folder: Path, _: ExitStack) -> ModelSpec:
    from peft import LoraConfig, get_peft_model

    base = tiny_language_model(folder / "base", "llama")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
        get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"])).save_pretrained(folder)
    return ModelSpec(model=str(folder))


@kind("F2 quantised weights")
def quantised(folder: Path, _: ExitStack) -> ModelSpec:
    path = tiny_model(folder, "llama", hidden_size=64, intermediate_size=128, head_dim=16)
    return ModelSpec(model=str(path), quantization={"quant_method": "quanto", "weights": "int8"})


@kind("G1 steps, a token each")
def step_token(folder: Path, _: ExitStack) -> ModelSpec:
    heads = {"score.0.weight": random(8, 32), "score.2.weight": random(2, 8)}
    path = with_head(folder, heads, "qwen2", special=STEP, architectures=["Qwen2ForProcessRewardModel"])
    return ModelSpec(model=str(path))


kind("G2 steps, a label each")(partial(language_model, "step-label", "llama", {}))


@kind("H1 PairRM")
def pairwise(folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(pair_rm(folder)), options={"source_max_length": 96, "candidate_max_length": 48})


def judge(adapter: str, says: str, folder: Path, _: ExitStack) -> ModelSpec:
    path = planted_speaker(folder, {"Ċ": [says]})
    return ModelSpec(model=str(path), adapter=adapter, options={"max_new_tokens": 8})


kind("I1 judge of two replies")(partial(judge, "judge-pairwise", "[[A]]"))
kind("I2 judge with roles")(partial(judge, "judge-roles", '{"score_1": 4, "score_2": 2, "ranking": 2}'))
kind("I3 judge of one reply")(partial(judge, "judge-pointwise", "4"))


@kind("code of the repository")
def remote_code(folder: Path, _: ExitStack) -> ModelSpec:
    return ModelSpec(model=str(own_code(folder)), adapter="remote-code", options={"output": "score"})


@kind("K scalar endpoint")
def endpoint(folder: Path, stack: ExitStack) -> str:
    act = script(lambda seen: sending({"data": [{"index": 0, "probs": [len(seen.body["input"]) / 7]}], "model": "m"}))
    server = stack.enter_context(serving(act))
    server.pages = {"/v1/models": {"data": [{"id": "m"}]}, "/version": {"version": "0"}}
    address = {"base_url": server.url, "max_retries": 1}
    spec = {"model": "m", "adapter": "scalar-endpoint", "template": "hh", "options": {"endpoint": address}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "served.yaml").write_text(yaml.safe_dump(spec))
    return f"endpoint:{folder / 'served.yaml'}"
