"""Experts one by one against transformers' own ways of computing them, and their neurons against the formula."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from harness.condition import Ablation, Condition
from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models.accumulate import Attribution, Moments
from harness.models.experts import at_experts, fused_experts
from harness.models.neurons import ablated
from harness.models.resolve import resolve
from harness.models.sites import Sites, locate, locate_activations, locate_attention
from harness.models.spec import ModelSpec
from harness.reading import Reading
from harness.testing.tiny import FAMILIES, Family
from tests.models.conftest import Tiny, unit

SIZES = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_labels": 1, "pad_token_id": 0, "max_position_embeddings": 64, "initializer_range": 0.3, "head_dim": 8,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "mixtral": {"intermediate_size": 12, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {"intermediate_size": 48, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 20,
                  "num_experts": 4, "num_experts_per_tok": 2, "mlp_only_layers": [1], "num_hidden_layers": 3},
    "qwen3_moe": {"moe_intermediate_size": 12, "num_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"intermediate_size": 12, "num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip
EXPERTS, WIDTH = 4, 12


@pytest.fixture(scope="module")
def load() -> Callable[..., Any]:
    """`load(kind)`: a tiny mixture of experts in float64, biases random; not to be changed."""
    made: dict[str, Any] = {}

    def get(kind: str) -> Any:
        if kind not in made:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                config = AutoConfig.for_model(kind, **(SIZES | KINDS[kind]))
                model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
                for name, parameter in model.named_parameters():
                    if name.endswith("bias"):
                        nn.init.normal_(parameter)
            made[kind] = model.double().eval().requires_grad_(False)
        return made[kind]

    return get


def ids(rows: int = 3, tokens: int = 5) -> torch.Tensor:
    return torch.randint(10, 90, (rows, tokens), generator=torch.Generator().manual_seed(0))


def experts_of(model: Any) -> list[Any]:
    return [model.get_submodule(path) for path in fused_experts(model)]


@pytest.mark.parametrize("kind", KINDS)
def test_where_they_are(load: Any, kind: str) -> None:
    found = [(s.path.removeprefix("model.layers."), s.width) for s in locate(load(kind))]
    experts = EXPERTS * WIDTH
    mixed = [
        ("0.mlp.experts", experts), ("0.mlp.shared_expert.down_proj", 20), ("1.mlp.down_proj", 48),
        ("2.mlp.experts", experts), ("2.mlp.shared_expert.down_proj", 20),
    ]  # fmt: skip
    plain = [("0.mlp.experts", experts), ("1.mlp.experts", experts)]
    assert found == (mixed if kind == "qwen2_moe" else plain)
    assert len(locate_attention(load(kind))) == load(kind).config.num_hidden_layers
    with pytest.raises(InputError, match="mixture of experts, whose activation function runs once an expert"):
        locate_activations(load(kind))


@pytest.mark.parametrize("stock", ["eager", "batched_mm"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_scores_as_stock_code_and_no_trace_left(load: Any, kind: str, stock: str) -> None:
    model, handles = load(kind), []
    model.set_experts_implementation(stock)
    with torch.inference_mode():
        before = model(ids()).logits
        for experts in experts_of(model):
            handles += [at_experts(experts, lambda a: a), at_experts(experts, lambda a: a * 1)]
        during = model(ids()).logits
        for handle in handles:
            handle.remove()
        after = model(ids()).logits
    assert (during - before).abs().max() < 1e-9
    assert torch.equal(before, after)
    assert not any("forward" in vars(experts) for experts in experts_of(model))


def test_a_forward_the_module_has_been_given_comes_back(load: Any) -> None:
    (experts, *_) = experts_of(copy.deepcopy(load("mixtral")))
    given = experts.forward = lambda *args: torch.ones(1)
    first, second = at_experts(experts, lambda a: a), at_experts(experts, lambda a: a)
    first.remove()
    assert experts.forward is not given
    second.remove()
    assert experts.forward is given
    at_experts(experts, lambda a: a).remove()
    assert experts.forward is given


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_are_what_the_down_projections_read(load: Any, kind: str) -> None:
    model, calls, seen = load(kind), [], []
    (experts, *_) = experts_of(model)
    hook = experts.register_forward_pre_hook(lambda m, args: calls.append(args))
    handle = at_experts(experts, lambda a: seen.append(a) or a)
    with torch.inference_mode():
        model(ids())
    hook.remove()
    handle.remove()
    x, chosen, _ = calls[0]
    expected = torch.zeros(15, EXPERTS, WIDTH, dtype=torch.float64)
    for token in range(15):
        for e in chosen[token].tolist():
            weight = experts.gate_up_proj[e].T if experts.is_transposed else experts.gate_up_proj[e]
            projected = weight @ x[token] + (experts.gate_up_proj_bias[e] if experts.has_bias else 0)
            expected[token, e] = experts._apply_gate(projected[None])[0]
    assert torch.allclose(seen[0], expected.flatten(1), atol=1e-12)
    assert ((expected != 0).any(2).sum(1) == 2).all()


@pytest.mark.parametrize("value", [0.0, 0.75])
@pytest.mark.parametrize("kind", KINDS)
def test_holding_is_what_editing_the_weights_does(load: Any, kind: str, value: float) -> None:
    model = load(kind)
    neurons = [5, 17, 40]
    edited = copy.deepcopy(model)
    (experts, *_) = experts_of(edited)
    bias = torch.zeros(EXPERTS, 32, dtype=torch.float64)
    for n in neurons:
        down = experts.down_proj.data[n // WIDTH]
        column = (down if experts.is_transposed else down.T)[n % WIDTH]
        bias[n // WIDTH] += column * value
        column.zero_()
    hook = experts.register_forward_hook(
        lambda m, args, out: out + (bias[args[1]] * args[2][..., None]).sum(1)  # what is held, weighted by the routing
    )
    condition = Condition("held", (Ablation([0] * 3, neurons, [value] * 3),))  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = edited(ids()).logits
        with ablated(Sites(model), condition):
            found = model(ids()).logits
        plain = model(ids()).logits
    hook.remove()
    assert (found - expected).abs().max() < 1e-9
    assert (found - plain).abs().max() > 1e-4


def total(model: Any) -> torch.Tensor:
    return (torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64) * model(ids()).logits[:, 0]).sum()


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
def test_sums_and_gradients(load: Any, kind: str) -> None:
    model, seen = load(kind), list[torch.Tensor]()
    sites, into, moments = locate(model), Attribution(), Moments()
    with torch.enable_grad(), into.watching(sites, torch.ones(3, 5)):
        outcome = total(model)
    into.backward(outcome)
    with torch.inference_mode(), moments.watching(sites, torch.ones(3, 5)):
        handle = at_experts(sites[0].module, lambda a: seen.append(a) or a)
        model(ids())
        handle.remove()
    np.testing.assert_allclose(moments.result()["mean"][0], seen[0].mean(0).numpy(), atol=1e-12)
    np.testing.assert_allclose(into.result()["mean"], moments.result()["mean"], atol=1e-12)
    neuron, step, ends = int(np.abs(into.result()["gradient"][0]).argmax()), 3e-3, []
    for sign in (1, -1):
        shift = torch.zeros(EXPERTS * WIDTH, dtype=torch.float64)
        shift[neuron] = sign * step
        handle = at_experts(sites[0].module, lambda a, shift=shift: a + shift)
        with torch.inference_mode():
            ends.append(float(total(model)))
        handle.remove()
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 1e-3
    assert into.result()["gradient"][0, neuron] == pytest.approx(slope, rel=1e-2)


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_through_the_engine(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, kind: str) -> None:
    """With prefixes shared and the last layer computed in part: conditions and sums as without either."""
    experts = {**KINDS[kind], "num_key_value_heads": 2, "head_dim": 8}
    monkeypatch.setitem(FAMILIES, kind, Family(kind, FAMILIES["llama"].tokenizer, experts))
    found = resolve(ModelSpec(model=str(tiny(kind)), template="tokenizer"), device="cpu")
    model = replace(found, instance=found.load())
    assert model.instance.describe()["neurons_missing"] is None
    assert model.instance.shares
    assert model.instance.last_layer
    start = "how do i bake bread at home mix flour water yeast and salt"
    units = [unit("hello", f"{start} {end}", item=end) for end in ("let the dough rise", "then bake it", "no")]
    condition = Condition("held", (Ablation([0, 1, 1], [3, 20, 40], [0.5, 0.0, 0.0]),))  # type: ignore[arg-type]
    engine = Engine(model, ScoreStore(tmp_path / "s.sqlite"))
    jobs = [Job(u, condition=condition) for u in units]
    engine.ensure(jobs)
    rows = [engine.outputs(job).outputs for job in jobs]
    sums = engine.accumulate(units, [1.0] * 3, Reading())
    adapter, alone = model.instance, Moments()
    adapter.last_layer = []
    for row, text in zip(rows, adapter.encode(units), strict=True):
        with adapter.under(condition):
            assert np.abs(adapter.forward([text]).outputs[0] - row).max() < 1e-5
        counts = (torch.arange(len(text)) >= text.response_start).float()[None]
        with torch.inference_mode(), alone.watching(locate(adapter.model), counts):
            adapter.model(torch.as_tensor(text.ids, dtype=torch.long)[None])
    np.testing.assert_allclose(sums["mean"], alone.result()["mean"], atol=1e-5)
    assert np.abs(np.array(rows) - adapter.forward(adapter.encode(units)).outputs).max() > 1e-4


def test_experts_of_another_kind() -> None:
    expert = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4))
    layer = nn.ModuleDict({"experts": nn.ModuleList([expert, copy.deepcopy(expert)])})
    model: Any = nn.Module()
    model.layers = nn.ModuleList([layer])
    model.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=4), model_type="made_up")
    with pytest.raises(InputError, match=r"kind whose neurons cannot be read \(layers.0.experts, layers.0.experts.0"):
        locate(model)
