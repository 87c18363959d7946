"""The same transformer from a checkpoint with a head, without one, and from a language model; nothing in it scores."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

from harness.errors import InputError
from harness.models.adapters.backbone import Backbone
from harness.models.base import Resolved
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from tests.models.conftest import Tiny, unit

FAMILIES = ("bert", "electra", "distilbert", "deberta-v2", "modernbert", "xlnet", "roberta", "llama", "qwen3", "gpt2",
            "gpt-neox", "opt", "t5", "bart")  # fmt: skip
IDS = torch.randint(10, 90, (2, 12), generator=torch.Generator().manual_seed(0))


def headless(path: Path, out: Path) -> Path:
    AutoModelForSequenceClassification.from_pretrained(path).base_model.save_pretrained(out)
    return out


def found(path: Path, **more: Any) -> Resolved:
    return resolve(path, adapter="backbone", device="cpu", **more)


def inputs_of_neurons(adapter: Any, eos: int | None) -> list[torch.Tensor]:
    ids = IDS.clone()
    ids[:, -1] = 5 if eos is None else eos  # T5 and BART read their score there
    kept: list[torch.Tensor] = []
    handles = [s.module.register_forward_pre_hook(lambda _, args: kept.append(args[0])) for s in adapter.sites["mlp"]]
    with torch.inference_mode():
        adapter.model(ids)
    for handle in handles:
        handle.remove()
    return kept


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_of_a_checkpoint_plays_no_part(family: str, tiny: Tiny, tmp_path: Path) -> None:
    path = tiny(family)
    whole, plain = found(path).load(), found(headless(path, tmp_path / "plain")).load()
    eos = whole.model.config.eos_token_id
    kept, again = inputs_of_neurons(whole, eos), inputs_of_neurons(plain, eos)
    assert len(kept) == len(whole.sites["mlp"]) > 0
    for one, other in zip(kept, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("family", "kind"), [("llama", AutoModelForCausalLM), ("bert", AutoModelForMaskedLM)])
def test_a_language_model_is_loaded_whole_and_without_advice_to_train_a_head(
    family: str, kind: Any, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = kind.from_pretrained(tiny(family))
    model.save_pretrained(tmp_path / "lm")
    expected = inputs_of_neurons(found(tiny(family)).load(), model.config.eos_token_id)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        adapter = found(tmp_path / "lm").load()
    for one, other in zip(inputs_of_neurons(adapter, model.config.eos_token_id), expected, strict=True):
        assert torch.equal(one, other)
    assert not caplog.records
    assert not any(p.requires_grad for p in adapter.model.parameters())
    assert adapter.describe()["dtype"] == "float32"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_that_knows_of_no_padding_takes_several_rows(family: str, tiny: Tiny, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny(family), tmp_path / "m"))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    pair = zip(*(inputs_of_neurons(found(p).load(), None) for p in (path, tiny(family))), strict=True)
    assert all(torch.equal(one, other) for one, other in pair)


def test_layers_that_are_not_in_the_checkpoint_are_not_made_up(tiny: Tiny, tmp_path: Path) -> None:
    path = headless(tiny("bert"), tmp_path / "plain")
    tensors = load_file(path / "model.safetensors")
    dropped = {k: v for k, v in tensors.items() if "layer.1.output.dense.weight" not in k}
    assert len(dropped) < len(tensors)
    save_file(dropped, path / "model.safetensors", {"format": "pt"})
    message = r"bert.encoder.layer.1.output.dense.weight missing, so activations would .* whole transformer"
    with pytest.raises(InputError, match=message):
        found(path).load()


def test_a_tensor_of_another_shape_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny("llama"), tmp_path / "m"))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(InputError, match="of another shape, so activations would come from random weights"):
        found(path).load()


def test_it_needs_no_tokenizer_no_template_and_no_head_weights(tiny: Tiny, tmp_path: Path) -> None:
    path = headless(tiny("llama", num_labels=3), tmp_path / "plain")
    assert not list(path.glob("token*"))
    model = found(path)
    assert model.adapter is Backbone
    assert model.spec.adapter == "backbone"
    assert model.adapter.capabilities == {"neurons"}
    model.load()


def test_what_only_scoring_needs_is_no_part_of_what_it_is(tiny: Tiny, tmp_path: Path) -> None:
    path = tiny("llama")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "model: .\nadapter: sequence-classification\ntemplate: hh\nmax_length: 20\ndirection: lower_is_better\n"
    )
    plain, given = found(path), found(path, spec=spec)
    assert given.adapter is Backbone
    assert plain.fingerprint == given.fingerprint
    assert plain.fingerprint != resolve(path).fingerprint
    assert found(path, dtype="bfloat16").fingerprint != plain.fingerprint
    declared = ModelSpec(model=str(path), license="MIT", training_datasets=("c4",))
    kept = resolve(declared, adapter="backbone").spec
    assert (kept.license, kept.training_datasets) == ("MIT", ("c4",))


def test_it_reads_nothing_and_scores_nothing(tiny: Tiny) -> None:
    adapter = found(tiny("llama")).load()
    assert "no head" in adapter.encode([unit("a", "b")])[0].error
    with pytest.raises(InputError, match="gives no scores"):
        adapter.forward([])


@pytest.mark.parametrize("source", ["null/random", "scores:some.parquet"])
def test_what_is_no_transformer_is_refused(source: str) -> None:
    with pytest.raises(InputError, match=f"{source} is no transformer and cannot be loaded as backbone"):
        resolve(source, adapter="backbone")
