"""One ablation in three independent ways through the real engine: hooks, a multiplied mask, edited weights; six families."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.condition import NONE, Ablation, Condition
from harness.engine.engine import Engine, Job
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.engine.work import Work
from harness.models.base import Encoded, Resolved
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.tree import grow, single
from harness.reading import Reading
from tests.models.conftest import Tiny, unit

START = "how do i bake bread at home mix flour water yeast and salt"
TEXTS = [f"{START} let the dough rise", f"{START} for an hour then bake it", "no", "yes please tell me more about it"]
UNITS = [unit("hello", text, item=str(i)) for i, text in enumerate(TEXTS)]
PAIR: dict[str, Any] = {"bert": {"pair": "plain"}, "t5": "hh"}
PARTS = {
    "gpt2": ("transformer.h.{}.mlp.c_proj", "transformer.h.{}.attn.c_proj", "transformer.h.{}.mlp.act"),
    "llama": ("model.layers.{}.mlp.down_proj", "model.layers.{}.self_attn.o_proj", "model.layers.{}.mlp.act_fn"),
    "gpt-neox": (
        "gpt_neox.layers.{}.mlp.dense_4h_to_h",
        "gpt_neox.layers.{}.attention.dense",
        "gpt_neox.layers.{}.mlp.act",
    ),
    "opt": (
        "model.decoder.layers.{}.fc2",
        "model.decoder.layers.{}.self_attn.out_proj",
        "model.decoder.layers.{}.activation_fn",
    ),
    "bert": (
        "bert.encoder.layer.{}.output.dense",
        "bert.encoder.layer.{}.attention.output.dense",
        "bert.encoder.layer.{}.intermediate.intermediate_act_fn",
    ),
    "gemma2": ("model.layers.{}.mlp.down_proj", "model.layers.{}.self_attn.o_proj", "model.layers.{}.mlp.act_fn"),
    "qwen3": ("model.layers.{}.mlp.down_proj", "model.layers.{}.self_attn.o_proj", "model.layers.{}.mlp.act_fn"),
}
"""Where the down-projection, the attention's output projection and the activation function are, layer by layer."""
FAMILIES = tuple(PARTS)
SITES = ("mlp", "attention")
COLUMNS = {"mlp": {0: [3, 17, 30], 1: [0, 47]}, "attention": {0: list(range(8, 16)), 1: [*range(8), *range(24, 32)]}}
"""What is ablated, by layer: some neurons, or whole heads of eight columns."""


@pytest.fixture(scope="module")
def load(tiny: Tiny) -> Callable[[str], Resolved]:
    """A tiny model in memory, whose engine shares prefixes and computes the last layer in part where it can."""
    made: dict[str, Resolved] = {}

    def get(family: str) -> Resolved:
        if family not in made:
            spec = ModelSpec(model=str(tiny(family)), template=PAIR.get(family, "tokenizer"))
            found = resolve(spec, device="cpu")
            made[family] = replace(found, instance=found.load())
        return made[family]

    return get


@pytest.fixture
def score(tmp_path: Any) -> Callable[..., np.ndarray]:
    """Scores of the texts by an engine of its own: nothing is remembered."""
    stores = iter(range(100))

    def get(model: Resolved, condition: Condition = NONE) -> np.ndarray:
        engine = Engine(model, ScoreStore(tmp_path / f"{next(stores)}.sqlite"), budget=120)
        jobs = [Job(u, condition=condition) for u in UNITS]
        engine.ensure(jobs)
        found = [engine.outputs(job).outputs for job in jobs]
        return np.array([row[0] for row in found if row is not None])

    return get


def held(site: str, values: np.ndarray | float = 0.0) -> Condition:
    layers, columns = zip(*((layer, n) for layer, some in COLUMNS[site].items() for n in some), strict=True)
    values = np.full(len(layers), values) if isinstance(values, float) else values[list(layers), list(columns)]
    return Condition(f"held/{site}", (Ablation(np.array(layers), np.array(columns), values, site),))


def module(model: Resolved, family: str, site: str, layer: int) -> Any:
    place = {"mlp": 0, "attention": 1, "activation": 2}[site]
    return model.instance.model.get_submodule(PARTS[family][place].format(layer))  # type: ignore[union-attr]


@contextmanager
def masked(model: Resolved, family: str, site: str) -> Iterator[None]:
    """Each linear module's forward replaced by one that multiplies its input with a row of a (layers, neurons) mask."""
    changed = [module(model, family, site, layer) for layer in (0, 1)]
    mask = torch.ones(2, width(changed[0]))
    for layer, columns in COLUMNS[site].items():
        mask[layer, columns] = 0
    try:
        for row, one in zip(mask, changed, strict=True):
            one.forward = partial(lambda kept, row, x: kept(x * row), one.forward, row)
        yield
    finally:
        for one in changed:
            del one.forward


def width(one: Any) -> int:
    return one.in_features if isinstance(one, nn.Linear) else one.nx


@contextmanager
def edited(model: Resolved, family: str, site: str, values: np.ndarray | None = None) -> Iterator[None]:
    """The ablated columns of the weights zeroed; what `values` (layers, neurons) would have added is in the bias."""
    kept = []
    for layer, columns in COLUMNS[site].items():
        one = module(model, family, site, layer)
        kept.append((one, one.weight.detach().clone(), one.bias))
        weight = one.weight.data if isinstance(one, nn.Linear) else one.weight.data.T
        if values is not None:
            added = weight[:, columns] @ torch.as_tensor(values[layer, columns], dtype=weight.dtype)
            one.bias = nn.Parameter(added if one.bias is None else one.bias.detach() + added)
        weight[:, columns] = 0
    try:
        yield
    finally:
        for one, weight, bias in kept:
            one.weight.data.copy_(weight)
            one.bias = bias


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", FAMILIES)
def test_hooks_a_mask_and_edited_weights_agree_on_zero_ablation(load: Any, score: Any, family: str, site: str) -> None:
    model = load(family)
    plain, hooked = score(model), score(model, held(site))
    with masked(model, family, site):
        by_mask = score(model)
    with edited(model, family, site):
        by_weights = score(model)
    assert np.abs(hooked - by_mask).max() < 1e-5
    assert np.abs(hooked - by_weights).max() < 1e-5
    assert np.abs(hooked - plain).max() > 1e-3
    assert np.array_equal(score(model), plain)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("family", FAMILIES)
def test_mean_ablation_is_a_column_less_and_a_bias_more(load: Any, score: Any, family: str, site: str) -> None:
    model = load(family)
    means = accumulated(model, Reading(site=site))["mean"]
    with edited(model, family, site, means):
        expected = score(model)
    found = score(model, held(site, means))
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(found - score(model, held(site))).max() > 1e-4


def accumulated(model: Resolved, reading: Reading) -> dict[str, np.ndarray]:
    """Running sums over the texts, two of them in one row where the model can keep them apart."""
    replica = Replica(model.load())
    texts: Any = replica.encode([(u, None) for u in UNITS])
    share = replica.traits.shares > max(map(len, texts))
    batch = (grow(texts[:2]), single(texts[2]), single(texts[3])) if share else tuple(map(single, texts))
    return replica.accumulate([(Work(batch), [1.0] * len(texts))], reading)


@pytest.mark.parametrize("site", ["mlp", "attention", "activation"])
@pytest.mark.parametrize("family", FAMILIES)
def test_means_at_every_kind_of_site_are_those_of_single_texts(load: Any, family: str, site: str) -> None:
    model = load(family)
    adapter, kept = model.instance, ([], [])

    def keep(layer: int, text: Encoded) -> Callable[..., None]:
        return lambda m, args, out: kept[layer].append(
            (out if site == "activation" else args[0]).reshape(len(text), -1)[text.response_start :]
        )

    for text in adapter.encode(UNITS):
        hooks = [module(model, family, site, layer).register_forward_hook(keep(layer, text)) for layer in (0, 1)]
        with torch.inference_mode():
            adapter.model(**adapter.layout.tensors([single(text)]))
        for hook in hooks:
            hook.remove()
    found = accumulated(model, Reading(site=site))
    np.testing.assert_allclose(found["mean"], [torch.cat(layer).double().mean(0).numpy() for layer in kept], atol=1e-5)
    assert found.get("heads", np.array([])).tolist() == ([4, 4] if site == "attention" else [])


@pytest.mark.parametrize("site", ["mlp", "attention", "activation"])
@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"opt"}))
def test_the_last_layer_computed_in_part_is_exact_under_conditions(
    load: Any, score: Any, monkeypatch: Any, family: str, site: str
) -> None:
    model = load(family)
    condition = Condition("h", (Ablation([0, 1, 1], [5, 2, 9], [0.3, -1.5, 2.0], site),))  # type: ignore[arg-type]
    assert model.instance.last_layer, "OPT cannot, these can: otherwise this test shows nothing"
    found, plain = score(model, condition), score(model)
    monkeypatch.setattr(model.instance, "last_layer", [])
    assert np.abs(found - score(model, condition)).max() < 1e-5
    assert np.abs(found - plain).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_condition_may_name_several_kinds(load: Any, score: Any, family: str) -> None:
    model = load(family)
    both = Condition("both", held("mlp").ablations + held("attention").ablations)
    with edited(model, family, "mlp"), edited(model, family, "attention"):
        expected = score(model)
    assert np.abs(score(model, both) - expected).max() < 1e-5
