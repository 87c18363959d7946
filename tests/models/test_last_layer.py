from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from harness.models.last_layer import Pooled, behind_attention, is_causal, only_at
from harness.testing.tiny import tiny_model

FAMILIES = ["bert", "distilbert", "roberta", "modernbert", "llama", "qwen3", "gemma2", "gpt2", "gpt-neox"]
CAUSAL = {"llama", "qwen3", "gemma2", "gpt2", "gpt-neox"}
IDS = torch.tensor(np.random.default_rng(0).integers(5, 60, (3, 11)))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    path = tiny_model(tmp_path_factory.mktemp("m") / "model", request.param)
    found = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    found.family = request.param
    return found.eval()


def hidden(model):
    seen = []
    hook = model.base_model.register_forward_hook(lambda _, args, out: seen.append(out[0]))
    with torch.no_grad():
        model(input_ids=IDS)
    hook.remove()
    return seen[0]


def at(*places):
    rows, tokens = (torch.tensor(part) for part in zip(*places, strict=True))
    return Pooled(rows, tokens, (3, 11))


@pytest.mark.parametrize("pooled", [at((0, 0), (1, 0), (2, 0)), at((0, 3), (0, 9), (2, 10))])
def test_what_is_read_is_the_same_and_nothing_else_is_computed(model, pooled):
    whole, modules = hidden(model), behind_attention(model)
    sizes = []
    hooks = [
        m.register_forward_hook(lambda _, args, out: sizes.append(args[0].shape[:-1].numel()))
        for m in model.modules()
        if m is modules[-1]
    ]
    with only_at(modules, pooled):
        part = hidden(model)
    for hook in hooks:
        hook.remove()
    assert (part - whole)[pooled.rows, pooled.tokens].abs().max() < 1e-5
    assert (part - whole).abs().max() > 1e-2
    assert sizes == [len(pooled.rows)]
    assert (hidden(model) - whole).abs().max() == 0


def test_the_last_layer_is_meant_and_its_queries_keys_and_values_are_not(model):
    names = {module: name for name, module in model.named_modules()}
    found = [names[m] for m in behind_attention(model)]
    assert all(".1." in name for name in found)
    assert not any(part in name for name in found for part in ("query", "q_proj", "k_proj", "v_proj", "c_attn", "Wqkv"))
    assert len(found) >= 2


def test_hooks_go_away_when_a_pass_fails(model):
    modules = behind_attention(model)
    with pytest.raises(ValueError, match=r"\(rows, tokens, width\)"), only_at(modules, Pooled(IDS[0], IDS[0], (5, 5))):
        hidden(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_a_model_says_which_way_it_looks(model):
    assert is_causal(model) == (model.family in CAUSAL)


def test_a_module_without_layers_has_no_last_one():
    assert behind_attention(torch.nn.Linear(2, 2)) == []
    assert not is_causal(torch.nn.Linear(2, 2))
