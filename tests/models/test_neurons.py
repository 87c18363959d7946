"""Holding neurons at fixed values is what editing the weights would do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.condition import NONE, Ablation, Condition
from harness.errors import HarnessError, InputError
from harness.models.accumulate import Moments
from harness.models.neurons import ablated, hooked
from harness.models.sites import Site, Sites, at_output, locate

Load = Callable[..., Any]

SIX = ("llama", "gpt2", "bert", "gpt-neox", "opt", "qwen3")


def ids(rows: int = 3, tokens: int = 5) -> torch.Tensor:
    return torch.randint(10, 90, (rows, tokens), generator=torch.Generator().manual_seed(0))


def hold(layers: Any, neurons: Any, values: Any, site: str = "mlp") -> Condition:
    return Condition("held", (Ablation(layers, neurons, values, site),))


def edited(model: Any, layers: Any, neurons: Any, values: Any) -> Any:
    """A copy whose weights do not read these neurons, and whose biases hold what they would have added."""
    model = copy.deepcopy(model)
    sites = locate(model)
    for layer, neuron, value in zip(layers, neurons, values, strict=True):
        module = sites[layer].module
        weight = module.weight.data if isinstance(module, nn.Linear) else module.weight.data.T
        if module.bias is None:
            module.bias = nn.Parameter(torch.zeros(len(weight)))
        module.bias.data += weight[:, neuron] * value
        weight[:, neuron] = 0
    return model


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [0.7, -1.3, 2.0]], ids=["zero", "mean"])
@pytest.mark.parametrize("family", [*SIX, "xlnet", "bart"])
def test_is_what_editing_the_weights_does(load: Load, family: str, values: list[float]) -> None:
    model, texts = load(family), ids()
    texts[:, -1] = model.config.eos_token_id or 5  # BART reads its score there
    with torch.inference_mode():
        before = model(texts).logits
        expected = edited(model, [0, 1, 1], [3, 40, 0], values)(texts).logits
        with ablated(Sites(model), hold([1, 0, 1], [40, 3, 0], [values[1], values[0], values[2]])):
            found = model(texts).logits
        after = model(texts).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-3)
    assert torch.equal(after, before)


@pytest.fixture
def sites() -> tuple[Site, ...]:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 2), nn.Linear(5, 2)]
    return tuple(Site(f"layers.{i}", module, module.in_features) for i, module in enumerate(layers))


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (2, 2, 4, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_leading_dimensions_and_dtype(sites: tuple[Site, ...], shape: tuple[int, ...], dtype: torch.dtype) -> None:
    module = sites[0].module.to(dtype)
    x = torch.randn(shape, dtype=dtype)
    given, held = x.clone(), x.clone()
    held[..., 2], held[..., 0] = 0.5, -2
    with ablated({"mlp": sites}, hold([0, 0], [2, 0], [0.5, -2])):
        found = module(x)
    assert torch.equal(found, module(held))
    assert found.dtype == dtype
    assert torch.equal(x, given)


def test_a_held_neuron_has_no_gradient_and_the_others_keep_theirs(sites: tuple[Site, ...]) -> None:
    x = torch.randn(4, 3, requires_grad=True)
    with torch.inference_mode():
        context = ablated({"mlp": sites}, hold([0], [1], [0.5]))
        context.__enter__()
    sites[0].module(x).sum().backward()
    context.__exit__(None, None, None)
    assert x.grad is not None
    expected = sites[0].module.weight.detach().sum(0).expand(4, 3).clone()
    expected[:, 1] = 0
    assert torch.allclose(x.grad, expected)


def test_held_even_where_the_activation_is_not_finite(sites: tuple[Site, ...]) -> None:
    x = torch.tensor([[1.0, torch.nan, torch.inf]])
    with ablated({"mlp": sites}, hold([0, 0], [1, 2], [0, 0])):
        assert torch.equal(sites[0].module(x), sites[0].module(torch.tensor([[1.0, 0.0, 0.0]])))


def hooks(sites: tuple[Site, ...]) -> int:
    return sum(len(site.module._forward_pre_hooks) for site in sites)


@pytest.mark.parametrize("condition", [NONE, Condition("nothing", (Ablation([], [], []),))])  # type: ignore[arg-type]
def test_nothing_held_costs_nothing(sites: tuple[Site, ...], condition: Condition) -> None:
    with ablated({"mlp": sites}, condition):
        assert hooks(sites) == 0


def test_one_hook_a_layer_gone_also_after_an_error(sites: tuple[Site, ...]) -> None:
    def fail() -> None:
        with ablated({"mlp": sites}, hold([0, 1, 1], [0, 0, 1], [0, 0, 0])):
            assert hooks(sites) == 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert hooks(sites) == 0


def test_hooks_are_removed_where_a_later_one_cannot_be_set(sites: tuple[Site, ...]) -> None:
    broken = Site("broken", None, 3)  # type: ignore[arg-type]
    with pytest.raises(AttributeError), hooked([(sites[0], lambda a: a), (broken, lambda a: a)]):
        pass
    assert hooks(sites) == 0


@pytest.mark.parametrize(
    ("layer", "neuron", "message"),
    [
        (2, 0, "neuron 0 of layer 2 cannot be ablated: the model has 2 layers of 3/5 neurons"),
        (0, 3, "neuron 3 of layer 0 cannot be ablated: the model has 2 layers of 3/5 neurons"),
        (1, 5, "neuron 5 of layer 1 cannot be ablated"),
    ],
)
def test_out_of_range(sites: tuple[Site, ...], layer: int, neuron: int, message: str) -> None:
    with (
        pytest.raises(InputError, match=message),
        ablated({"mlp": sites}, hold([0, layer, 1], [0, neuron, 0], [0, 0, 0])),
    ):
        pass
    assert hooks(sites) == 0
    with ablated({"mlp": sites}, hold([0, 1], [2, 4], [0, 0])):
        assert hooks(sites) == 2


def test_unknown_site(load: Load) -> None:
    with (
        pytest.raises(InputError, match="unknown site 'heads' of neurons; known: mlp, attention, activation"),
        ablated(Sites(load("gpt2")), hold([0], [0], [0], "heads")),
    ):
        pass


def test_layers_are_counted_within_a_kind(sites: tuple[Site, ...]) -> None:
    other = Site("head", nn.Linear(3, 3), 3)
    with ablated({"mlp": sites, "heads": (other,)}, hold(np.array([1]), np.array([4]), np.array([0.0]))):
        assert hooks(sites[1:]) == 1


def test_an_output_is_held_like_an_input() -> None:
    module, x = nn.ReLU(), torch.tensor([[-1.0, 2.0, 3.0]])
    site = Site("act", module, 3, attach=at_output)
    with ablated({"activation": (site,)}, hold([0, 0], [0, 2], [0.5, -4.0], "activation")):
        assert module(x).tolist() == [[0.5, 2.0, -4.0]]
    assert module(x).tolist() == [[0.0, 2.0, 3.0]]


def test_a_site_that_works_on_more_than_its_neurons() -> None:
    site = Site("layers.0.act", nn.ReLU(), 3, attach=at_output)
    with (
        ablated({"activation": (site,)}, hold([0], [0], [0.5], "activation")),
        pytest.raises(HarnessError, match=r"layers.0.act works on 6 numbers a token, not on the 3 neurons"),
    ):
        site.module(torch.ones(1, 6))
    with (
        pytest.raises(HarnessError, match=r"layers.0.act sees an input of shape \(1, 1, 6\)"),
        Moments().watching([site], torch.ones(1, 1)),
    ):
        site.module(torch.ones(1, 1, 6))


@pytest.mark.parametrize("family", ["gpt2", "opt", "bert", "t5"])
def test_without_a_gate_the_activation_is_what_the_down_projection_reads(load: Load, family: str) -> None:
    model, texts = load(family), ids()
    texts[:, -1] = model.config.eos_token_id or 5
    found = []
    with torch.inference_mode():
        for site in ("mlp", "activation"):
            with ablated(Sites(model), hold([0, 1, 1], [3, 40, 0], [0.7, -1.3, 2.0], site)):
                found.append(model(texts).logits)
    assert torch.equal(*found)


@pytest.mark.parametrize("family", ["llama", "gemma2", "modernbert"])
def test_in_a_gated_mlp_the_activation_is_the_gate_before_the_product(load: Load, family: str) -> None:
    """A gate held at 0 takes the neuron away; held at 1 it leaves what the other projection says."""
    model, texts = load(family), ids()
    with torch.inference_mode():
        off, on = (self_held(model, texts, value) for value in (0.0, 1.0))
        with ablated(Sites(model), hold([0], [3], [0.0])):
            assert torch.allclose(off, model(texts).logits, atol=1e-6)
        with ablated(Sites(model), hold([0], [3], [1.0])):
            assert not torch.allclose(on, model(texts).logits, atol=1e-3)
    assert not torch.allclose(on, off, atol=1e-3)


def self_held(model: Any, texts: torch.Tensor, value: float) -> torch.Tensor:
    with ablated(Sites(model), hold([0], [3], [value], "activation")):
        return model(texts).logits
