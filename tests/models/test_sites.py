"""Where neurons are in every family, by kind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import InputError
from harness.models.sites import Sites, at_input, at_output, locate, locate_activations, locate_attention
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
OUT = {
    "bert": ("bert.encoder.layer.{}.attention.output.dense",),
    "electra": ("electra.encoder.layer.{}.attention.output.dense",),
    "distilbert": ("distilbert.transformer.layer.{}.attention.out_lin",),
    "deberta-v2": ("deberta.encoder.layer.{}.attention.output.dense",),
    "modernbert": ("model.layers.{}.attn.Wo",),
    "roberta": ("roberta.encoder.layer.{}.attention.output.dense",),
    "gpt2": ("transformer.h.{}.attn.c_proj",),
    "gpt-neox": ("gpt_neox.layers.{}.attention.dense",),
    "opt": ("model.decoder.layers.{}.self_attn.out_proj",),
    "t5": (
        "transformer.encoder.block.{}.layer.0.SelfAttention.o",
        "transformer.decoder.block.{}.layer.0.SelfAttention.o",
        "transformer.decoder.block.{}.layer.1.EncDecAttention.o",
    ),
    "bart": (
        "model.encoder.layers.{}.self_attn.out_proj",
        "model.decoder.layers.{}.self_attn.out_proj",
        "model.decoder.layers.{}.encoder_attn.out_proj",
    ),
}
ACT = {
    "bert": "bert.encoder.layer.{}.intermediate.intermediate_act_fn",
    "electra": "electra.encoder.layer.{}.intermediate.intermediate_act_fn",
    "distilbert": "distilbert.transformer.layer.{}.ffn.activation",
    "deberta-v2": "deberta.encoder.layer.{}.intermediate.intermediate_act_fn",
    "modernbert": "model.layers.{}.mlp.act",
    "xlnet": "transformer.layer.{}.ff.activation_function",
    "roberta": "roberta.encoder.layer.{}.intermediate.intermediate_act_fn",
    "gpt2": "transformer.h.{}.mlp.act",
    "gpt-neox": "gpt_neox.layers.{}.mlp.act",
    "opt": "model.decoder.layers.{}.activation_fn",
    "t5": "transformer.encoder.block.{}.layer.1.DenseReluDense.act|transformer.decoder.block.{}.layer.2.DenseReluDense.act",
    "bart": "model.encoder.layers.{}.activation_fn|model.decoder.layers.{}.activation_fn",
}
LLAMA_HEADS = {"llama", "llama-sp", "mistral", "qwen2", "qwen3", "gemma2"}
HEAD_SETTING = {"gpt2": ["n_head"], "distilbert": ["n_heads"], "t5": ["num_heads"],
                "bart": ["encoder_attention_heads", "decoder_attention_heads"]}  # fmt: skip
INNER = {"distilbert": ["hidden_dim"], "xlnet": ["d_inner"], "gpt2": ["n_inner"], "opt": ["ffn_dim"], "t5": ["d_ff"],
         "bart": ["encoder_ffn_dim", "decoder_ffn_dim"]}  # fmt: skip


@pytest.mark.parametrize("inner", [48, 32, 24], ids=["wider", "as-wide", "narrower"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(load: Load, family: str, inner: int) -> None:
    model = load(family, **dict.fromkeys(INNER.get(family, ["intermediate_size"]), inner))
    found = locate(model)
    assert [s.path for s in found] == [p.format(i) for p in DOWN.get(family, LLAMA_LIKE) for i in range(2)]
    assert [s.width for s in found] == [inner] * len(found)
    assert all(s.module is model.get_submodule(s.path) for s in found)
    assert {s.tokens_first for s in found} == {family == "xlnet"}


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"xlnet"}))
def test_attention_of_every_family(load: Load, family: str) -> None:
    model = load(family)
    found = locate_attention(model)
    expected = {p.format(i) for p in OUT.get(family, ("model.layers.{}.self_attn.o_proj",)) for i in range(2)}
    assert {s.path for s in found} == expected
    assert [s.path for s in found] == [n for n, _ in model.named_modules() if n in expected]
    assert {(s.width, s.heads) for s in found} == {(32, 4)}
    assert all(s.module is model.get_submodule(s.path) and s.attach is at_input for s in found)


@pytest.mark.parametrize("family", FAMILIES)
def test_activation_of_every_family(load: Load, family: str) -> None:
    model = load(family)
    found = locate_activations(model)
    paths = ACT.get(family, "model.layers.{}.mlp.act_fn").split("|")
    assert [s.path for s in found] == [p.format(i) for p in paths for i in range(2)]
    assert [(s.width, s.tokens_first) for s in found] == [(s.width, s.tokens_first) for s in locate(model)]
    assert all(s.module is model.get_submodule(s.path) and s.attach is at_output for s in found)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"xlnet"}))
def test_columns_of_a_head_are_side_by_side(load: Load, family: str) -> None:
    """A head's value projection alone decides its columns: changing those of the last head moves no others."""
    heads = dict.fromkeys(["num_attention_heads", *HEAD_SETTING.get(family, [])], 2)
    grouped = {"num_key_value_heads": 2} if family in LLAMA_HEADS else {}
    model = copy.deepcopy(load(family, **heads, **grouped))
    site, seen = locate_attention(model)[0], list[torch.Tensor]()
    assert site.heads == 2
    value = next(
        m
        for n, m in model.named_modules()
        if n.startswith(site.path.rsplit(".", 2 if "output.dense" in site.path else 1)[0])
        and n.rsplit(".", 1)[-1] in ("v", "v_proj", "v_lin", "value", "value_proj", "c_attn", "Wqkv", "query_key_value")
    )
    weight = value.weight.data if isinstance(value, nn.Linear) else value.weight.data.T
    ids = torch.randint(10, 90, (1, 9), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = model.config.eos_token_id or 5
    handle = site.attach(site.module, lambda a: seen.append(a.clone()) or a)
    with torch.inference_mode():
        model(ids)
        weight[-1] *= 2  # the last output: the last head's, in every layout of fused projections
        model(ids)
    handle.remove()
    moved = (seen[0] - seen[1]).abs().amax((0, 1)) > 1e-6
    assert moved[site.width // 2 :].any()
    assert not moved[: site.width // 2].any()


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


def test_no_attention_says_what_was_seen(load: Load) -> None:
    with pytest.raises(InputError, match=r"no attention of a layer ends .*beneath attention: none\. Heads need"):
        locate_attention(load("xlnet"))
    layer = Layer(attn=Layer(out=nn.Linear(4, 5)), down=nn.Linear(6, 4))
    with pytest.raises(InputError, match=r"beneath attention: layers.0.attn.out \(4 to 5\)\."):
        locate_attention(Model(layer))


@pytest.mark.parametrize("heads", [{}, {"num_attention_heads": 4}, {"num_attention_heads": [2]}, {"n_head": 0}])
def test_heads_that_do_not_divide(heads: dict[str, Any]) -> None:
    layer = Layer(attn=Layer(q=nn.Linear(4, 6), out=nn.Linear(6, 4)))
    with pytest.raises(InputError, match=r"layers.0.attn.out has 6 inputs and its configuration says \S+ heads"):
        locate_attention(Model(layer, hidden_size=4, **heads))
    assert locate_attention(Model(layer, hidden_size=4, n_head=3))[0].heads == 3


def test_either_side_of_an_encoder_decoder_has_heads_of_its_own(load: Load) -> None:
    model = load("bart", num_attention_heads=2, encoder_attention_heads=2, decoder_attention_heads=8)
    assert [s.heads for s in locate_attention(model)] == [2, 2, 8, 8, 8, 8]


class Half(nn.Module):
    """What halves its input, as a GLU does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., :3].sigmoid()


@pytest.mark.parametrize(
    "no", [nn.Dropout(), nn.Identity(), nn.Softmax(-1), nn.LayerNorm(6, elementwise_affine=False), nn.PReLU(), Half()]
)
def test_what_is_no_activation_function(no: nn.Module) -> None:
    parts = {"up": nn.Linear(4, 6), "it": no, "down": nn.Linear(6, 4)}
    with pytest.raises(
        InputError, match=r"MLP of layers.0 has no module for its activation .*, only up, it, down; use"
    ):
        locate_activations(Model(Layer(**parts)).eval())
    model = Model(Layer(**parts, act=nn.Tanh())).eval()
    assert [s.path for s in locate_activations(model)] == ["layers.0.act"]


def test_the_activation_nearest_to_the_down_projection_outside_attention() -> None:
    mlp = Layer(act=nn.ReLU(), down=nn.Linear(6, 4))
    layer = Layer(act=nn.ReLU(), attn=Layer(act=nn.ReLU(), out=nn.Linear(2, 4)), mlp=mlp, last=nn.ReLU())
    assert [s.path for s in locate_activations(Model(layer))] == ["layers.0.mlp.act"]
    only = Layer(attn=Layer(act=nn.ReLU()), down=nn.Linear(6, 4))
    with pytest.raises(InputError, match="no module for its activation"):
        locate_activations(Model(only))


def test_kinds_are_found_when_first_asked_for() -> None:
    sites = Sites(Model(Layer(act=nn.ReLU(), down=nn.Linear(6, 4))))
    assert not sites
    assert sites["mlp"] is sites["mlp"]
    assert sites["activation"][0].path == "layers.0.act"
    with pytest.raises(InputError, match="no attention"):
        sites["attention"]
    with pytest.raises(InputError, match="unknown site 'heads' of neurons; known: mlp, attention, activation"):
        sites["heads"]


@pytest.mark.parametrize(("attach", "expected"), [(at_input, 6.0), (at_output, 4.0)])
def test_either_end_of_a_module(attach: Any, expected: float) -> None:
    module = Doubling()
    handle = attach(module, lambda a: a + 2)
    assert module(torch.ones(1), "kept").item() == expected
    handle.remove()
    assert module(torch.ones(1), "kept").item() == 2


class Doubling(nn.Module):
    """Twice the input."""

    def forward(self, x: torch.Tensor, word: str) -> torch.Tensor:
        assert word == "kept"
        return x * 2
