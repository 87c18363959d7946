"""Quantised weights: never unasked, part of what the model is, and never its head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from harness.errors import InputError
from harness.models.heads import linear
from harness.models.quantised import arguments
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from tests.models.conftest import Tiny, unit

EIGHT = {"quant_method": "bitsandbytes", "load_in_8bit": True}
TEXTS = [unit("Hello", "No."), unit("What is a star?", "I do not know."), unit("a", "The cat sat on the mat. " * 3)]


def quantised(tiny: Tiny, folder: Path) -> Path:
    """A tiny Llama whose config says that its weights are quantised."""
    shutil.copytree(tiny("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    return folder


def test_a_quantised_checkpoint_needs_its_method_named(tiny: Tiny, tmp_path: Path) -> None:
    folder = quantised(tiny, tmp_path / "m")
    with pytest.raises(InputError, match=r"quantised by gptq, .*'quantization: \{quant_method: gptq\}'"):
        resolve(folder)
    with pytest.raises(InputError, match=r"quantised by gptq, .*its spec says awq"):
        resolve(ModelSpec(model=str(folder), quantization={"quant_method": "awq"}))
    said = resolve(ModelSpec(model=str(folder), quantization={"quant_method": "gptq"}))
    assert arguments(said.spec, json.loads((folder / "config.json").read_text())) == {}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"load_in_8bit": True}, "quantization has no quant_method"), ({"quant_method": "nonsense"}, "quantization: .*nonsense")],
)  # fmt: skip
def test_settings_that_are_none(settings: dict[str, Any], reason: str, tiny: Tiny) -> None:
    with pytest.raises(InputError, match=reason):
        resolve(ModelSpec(model=str(tiny("llama")), quantization=settings)).load()


def test_quantisation_is_part_of_what_the_model_is_and_none_of_it_is_not(tiny: Tiny) -> None:
    plain, eight = (resolve(ModelSpec(model=str(tiny("llama")), quantization=q)) for q in (None, EIGHT))
    assert plain.fingerprint != eight.fingerprint
    assert "quantization" not in plain.spec.identity()
    assert eight.spec.identity()["quantization"] == EIGHT


def test_a_quantised_head_is_an_error() -> None:
    with pytest.raises(InputError, match=r"the head is quantised \(int8\).*llm_int8_skip_modules"):
        linear(torch.zeros(1, 4, dtype=torch.int8))


def test_eight_bits_score_as_transformers_does(tiny: Tiny) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    from transformers import BitsAndBytesConfig

    path = tiny("llama", hidden_size=64, intermediate_size=128, head_dim=16)
    adapter = resolve(ModelSpec(model=str(path), quantization=EIGHT)).load()
    assert json.loads(str(adapter.describe()["quantization"])) == EIGHT
    assert adapter.head.weight.dtype == torch.float32
    model = AutoModelForSequenceClassification.from_pretrained(
        path, quantization_config=BitsAndBytesConfig(load_in_8bit=True), dtype=torch.float32
    )
    encoded = adapter.encode(TEXTS)
    with torch.no_grad():
        expected = [float(model(torch.tensor(e.ids, dtype=torch.long)[None]).logits[0, 0]) for e in encoded]
    np.testing.assert_allclose(adapter.forward(encoded).outputs[:, 0], expected, rtol=1e-2, atol=1e-2)
    plain = resolve(path).load().forward(encoded).outputs[:, 0]
    assert np.abs(plain - expected).max() > 1e-3, "quantisation must show, or this test shows nothing"
