"""Where neurons are in every family, and that holding them is what editing the weights would do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from harness.condition import NONE, Ablation, Condition
from harness.errors import InputError
from harness.models.neurons import Site, ablated, hooked, locate
from harness.testing.tiny import FAMILIES

Load = Callable[..., Any]

DOWN = {
    "bert": ("bert.encoder.layer.{}.output.dense",),
    "electra": ("electra.encoder.layer.{}.output.dense",),
    "distilbert": ("distilbert.transformer.layer.{}.ffn.lin2",),
    "deberta-v2": ("deberta.encoder.layer.{}.output.dense",),
    "modernbert": ("model.layers.{}.mlp.Wo",),
    "xlnet": ("transformer.layer.{}.ff.layer_2",),
    "roberta": ("roberta.encoder.layer.{}.output.dense",),
    "gpt2": ("transformer.h.{}.mlp.c_proj",),
    "gpt-neox": ("gpt_neox.layers.{}.mlp.dense_4h_to_h",),
    "opt": ("model.decoder.layers.{}.fc2",),
    "t5": (
        "transformer.encoder.block.{}.layer.1.DenseReluDense.wo",
        "transformer.decoder.block.{}.layer.2.DenseReluDense.wo",
    ),
    "bart": ("model.encoder.layers.{}.fc2", "model.decoder.layers.{}.fc2"),
}
LLAMA_LIKE = ("model.layers.{}.mlp.down_proj",)
INNER = {"distilbert": ["hidden_dim"], "xlnet": ["d_inner"], "gpt2": ["n_inner"], "opt": ["ffn_dim"], "t5": ["d_ff"],
         "bart": ["encoder_ffn_dim", "decoder_ffn_dim"]}  # fmt: skip
SIX = ("llama", "gpt2", "bert", "gpt-neox", "opt", "qwen3")


@pytest.fixture(scope="module")
def load(tiny: Any) -> Load:
    """`load(family, **settings)`: a tiny model; not to be changed."""
    made: dict[Any, Any] = {}

    def get(family: str, **settings: Any) -> Any:
        key = (family, repr(settings))
        if key not in made:
            made[key] = AutoModelForSequenceClassification.from_pretrained(
                tiny(family, **settings), dtype=torch.float32
            )
        return made[key].eval()

    return get


def ids(rows: int = 3, tokens: int = 5) -> torch.Tensor:
    return torch.randint(10, 90, (rows, tokens), generator=torch.Generator().manual_seed(0))


def hold(layers: Any, neurons: Any, values: Any, site: str = "mlp") -> Condition:
    return Condition("held", (Ablation(layers, neurons, values, site),))


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [48, 32, 24], ids=["wider", "as-wide", "narrower"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(load: Load, family: str, inner: int) -> None:
    model = load(family, **dict.fromkeys(INNER.get(family, ["intermediate_size"]), inner))
    found = locate(model)
    assert [s.path for s in found] == [p.format(i) for p in DOWN.get(family, LLAMA_LIKE) for i in range(2)]
    assert [s.width for s in found] == [inner] * len(found)
    assert all(s.module is model.get_submodule(s.path) for s in found)
    assert {s.tokens_first for s in found} == {family == "xlnet"}


class Layer(nn.Module):
    """Named modules in the order given."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Model(nn.Module):
    """Layers of width 4 with a head, and a configuration such as transformers has."""

    def __init__(self, *layers: nn.Module, score: nn.Module | None = None, **config: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.score = score or nn.Linear(4, 1)
        text = SimpleNamespace(**(config or {"hidden_size": 4}))
        self.config = SimpleNamespace(get_text_config=lambda: text, model_type="made_up")


def paths(model: nn.Module) -> list[str]:
    return [site.path for site in locate(model)]


@pytest.mark.parametrize("name", ["attn", "SelfAttention", "rel_attn", "self_attention"])
def test_nothing_beneath_attention(name: str) -> None:
    layer = Layer(up=nn.Linear(4, 6), down=nn.Linear(6, 4), **{name: Layer(out=nn.Linear(6, 4))})
    assert paths(Model(layer)) == ["layers.0.down"]


def test_attention_in_a_list_of_its_own() -> None:
    model = Model(Layer(down=nn.Linear(6, 4)))
    model.attentions = nn.ModuleList([Layer(out=nn.Linear(6, 4))])
    assert paths(model) == ["layers.0.down"]


def test_a_head_in_numbered_parts_is_no_layer() -> None:
    head = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1))
    assert paths(Model(Layer(down=nn.Linear(6, 4)), score=head)) == ["layers.0.down"]


def test_a_layer_is_an_item_of_the_outermost_list() -> None:
    layer = Layer(parts=nn.ModuleList([Layer(mix=nn.Linear(4, 4)), Layer(down=nn.Linear(6, 4))]))
    assert paths(Model(layer)) == ["layers.0.parts.1.down"]


def test_the_widest_counts_and_the_last_of_several() -> None:
    gate, up, down, adapter = nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(2, 4)
    assert paths(Model(Layer(gate=gate, up=up, down=down, adapter=adapter))) == ["layers.0.down"]
    assert paths(Model(Layer(first=nn.Linear(6, 4), second=nn.Linear(6, 4)))) == ["layers.0.second"]


@pytest.mark.parametrize("name", ["hidden_size", "d_model", "n_embd", "dim"])
def test_names_of_the_residual_width(name: str) -> None:
    assert paths(Model(Layer(down=nn.Linear(6, 4)), **{name: 4})) == ["layers.0.down"]


def test_no_residual_width() -> None:
    with pytest.raises(InputError, match="has none of hidden_size, d_model, n_embd, dim"):
        locate(Model(Layer(down=nn.Linear(6, 4)), width=4))


def test_no_mlp_says_what_was_seen() -> None:
    layers = [Layer(attn=Layer(out=nn.Linear(4, 4)), mix=nn.Linear(4, 5)) for _ in range(6)]
    with pytest.raises(InputError, match="residual stream of 4; linear modules outside attention: ") as caught:
        locate(Model(*layers))
    assert str(caught.value).count("(4 to 5)") == 5
    assert "attn" not in str(caught.value)
    with pytest.raises(InputError, match="outside attention: none"):
        locate(Model(score=nn.Identity()))


@pytest.mark.parametrize("model_type", ["mixtral", "qwen2_moe"])
def test_mixtures_of_experts_are_refused(model_type: str) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    inner = dict.fromkeys(["intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size"], 48)
    config = AutoConfig.for_model(model_type, vocab_size=20, num_local_experts=2, num_experts=2, **sizes, **inner)
    with pytest.raises(InputError, match="mixture of experts"):
        locate(AutoModelForSequenceClassification.from_config(config))


# --- holding --------------------------------------------------------------------------------------


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
        with ablated(locate(model), hold([1, 0, 1], [40, 3, 0], [values[1], values[0], values[2]])):
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
    with ablated(sites, hold([0, 0], [2, 0], [0.5, -2])):
        found = module(x)
    assert torch.equal(found, module(held))
    assert found.dtype == dtype
    assert torch.equal(x, given)


def test_a_held_neuron_has_no_gradient_and_the_others_keep_theirs(sites: tuple[Site, ...]) -> None:
    x = torch.randn(4, 3, requires_grad=True)
    with torch.inference_mode():
        context = ablated(sites, hold([0], [1], [0.5]))
        context.__enter__()
    sites[0].module(x).sum().backward()
    context.__exit__(None, None, None)
    assert x.grad is not None
    expected = sites[0].module.weight.detach().sum(0).expand(4, 3).clone()
    expected[:, 1] = 0
    assert torch.allclose(x.grad, expected)


def test_held_even_where_the_activation_is_not_finite(sites: tuple[Site, ...]) -> None:
    x = torch.tensor([[1.0, torch.nan, torch.inf]])
    with ablated(sites, hold([0, 0], [1, 2], [0, 0])):
        assert torch.equal(sites[0].module(x), sites[0].module(torch.tensor([[1.0, 0.0, 0.0]])))


def hooks(sites: tuple[Site, ...]) -> int:
    return sum(len(site.module._forward_pre_hooks) for site in sites)


@pytest.mark.parametrize("condition", [NONE, Condition("nothing", (Ablation([], [], []),))])  # type: ignore[arg-type]
def test_nothing_held_costs_nothing(sites: tuple[Site, ...], condition: Condition) -> None:
    with ablated(sites, condition):
        assert hooks(sites) == 0


def test_one_hook_a_layer_gone_also_after_an_error(sites: tuple[Site, ...]) -> None:
    def fail() -> None:
        with ablated(sites, hold([0, 1, 1], [0, 0, 1], [0, 0, 0])):
            assert hooks(sites) == 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert hooks(sites) == 0


def test_hooks_are_removed_where_a_later_one_cannot_be_set(sites: tuple[Site, ...]) -> None:
    broken = Site("broken", None, 3)  # type: ignore[arg-type]
    with pytest.raises(AttributeError), hooked([(sites[0], lambda m, a: a), (broken, lambda m, a: a)]):
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
    with pytest.raises(InputError, match=message), ablated(sites, hold([0, layer, 1], [0, neuron, 0], [0, 0, 0])):
        pass
    assert hooks(sites) == 0
    with ablated(sites, hold([0, 1], [2, 4], [0, 0])):
        assert hooks(sites) == 2


def test_unknown_site(sites: tuple[Site, ...]) -> None:
    with (
        pytest.raises(InputError, match="unknown site 'heads' in an ablation; known: mlp"),
        ablated(sites, hold([0], [0], [0], "heads")),
    ):
        pass


def test_layers_are_counted_within_a_kind(sites: tuple[Site, ...]) -> None:
    other = Site("head", nn.Linear(3, 3), 3, kind="heads")
    with ablated((other, *sites), hold(np.array([1]), np.array([4]), np.array([0.0]))):
        assert hooks(sites[1:]) == 1
