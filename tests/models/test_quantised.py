"""Quantised weights: never unasked, part of what the model is, and never its head."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification
from transformers.quantizers.auto import AutoQuantizationConfig

from harness.errors import InputError
from harness.models.heads import linear
from harness.models.placement import weight_bytes
from harness.models.quantised import arguments, bytes_a_weight, require_plain_head
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.preference import canonical_json
from harness.record import _model_record
from harness.subject import Member
from harness.testing.conformance import check_adapter
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
    with pytest.raises(InputError, match=r"quantised by gptq, .*its spec says .*'awq'"):
        resolve(ModelSpec(model=str(folder), quantization={"quant_method": "awq"}))
    said = resolve(ModelSpec(model=str(folder), quantization={"quant_method": "gptq"}))
    assert arguments(said.spec, json.loads((folder / "config.json").read_text())) == {}


def test_consent_is_to_a_method_and_says_nothing_else(tiny: Tiny, tmp_path: Path) -> None:
    folder = quantised(tiny, tmp_path / "m")
    with pytest.raises(InputError, match=r"its spec says .*'bits': 8.*the rest is in its config"):
        resolve(ModelSpec(model=str(folder), quantization={"quant_method": "gptq", "bits": 8}))


def test_checkpoints_from_when_methods_had_no_name(tiny: Tiny, tmp_path: Path) -> None:
    folder = quantised(tiny, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    for key in ("quantization_config", "compression_config"):
        (folder / "config.json").write_text(
            json.dumps(config | {"quantization_config": None, key: {"load_in_8bit": True}})
        )
        with pytest.raises(InputError, match="quantised by bitsandbytes"):
            resolve(folder)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"load_in_8bit": True}, "quantization has no quant_method"),
        ({"quant_method": "nonsense"}, "quantization: .*nonsense"),
        (EIGHT | {"load_in_4bits": True}, "bitsandbytes has no load_in_4bits; its settings are .*load_in_4bit,"),
    ],
)
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


class Packed(torch.Tensor):
    """A tensor that a library keeps in a form of its own."""


@pytest.mark.parametrize(
    ("where", "tensor", "reason"),
    [
        ("score", torch.nn.Parameter(torch.zeros(1, 4).as_subclass(Packed)), r"quantised score\.weight"),
        ("score", torch.nn.Parameter(torch.zeros(1, 4).to(torch.float8_e4m3fn), False), r"quantised score\.weight"),
        ("model", torch.nn.Parameter(torch.zeros(1, 4, dtype=torch.uint8), False), None),
        ("model", torch.nn.Parameter(torch.zeros(1, 4, dtype=torch.bfloat16)), "no weight was quantised"),
    ],
)
def test_what_gives_the_score_stays_as_it_is(where: str, tensor: Any, reason: str | None) -> None:
    model = torch.nn.Module()
    model.base_model_prefix, model.base_model = "model", torch.nn.Module()  # type: ignore[assignment]
    model.add_module(where, torch.nn.Module())
    model.get_submodule(where).register_parameter("weight", tensor)
    spec = ModelSpec(model="m", quantization=EIGHT)
    with nullcontext() if reason is None else pytest.raises(InputError, match=reason):
        require_plain_head(spec, model)


def test_weights_packed_into_a_buffer_are_quantised_weights() -> None:
    model = torch.nn.Module()
    model.base_model_prefix, model.base_model = "model", torch.nn.Module()  # type: ignore[assignment]
    model.add_module("score", torch.nn.Module())
    model.get_submodule("score").register_buffer("qweight", torch.zeros(2, 4, dtype=torch.int32))
    with pytest.raises(InputError, match=r"quantised score\.qweight"):
        require_plain_head(ModelSpec(model="m", quantization=EIGHT), model)


@pytest.mark.parametrize(
    ("settings", "size"),
    [(EIGHT, 1), ({"load_in_4bit": True}, 0.5), ({"load_in_4bit": False, "load_in_8bit": True}, 1), ({"weights": "int4"}, 0.5),
     ({"bits": 4}, 0.5), ({"bits": 8, "group_size": 64}, 1)],
)  # fmt: skip
def test_what_a_weight_takes(settings: dict[str, Any], size: float) -> None:
    assert bytes_a_weight(settings) == size


def test_memory_is_asked_for_what_is_left_of_the_weights(tiny: Tiny, tmp_path: Path) -> None:
    whole = weight_bytes(resolve(tiny("llama")))
    assert weight_bytes(resolve(ModelSpec(model=str(tiny("llama")), quantization=EIGHT))) == whole // 4
    stored = ModelSpec(
        model=str(quantised(tiny, tmp_path / "m")), quantization={"quant_method": "gptq"}, dtype="bfloat16"
    )
    assert weight_bytes(resolve(stored)) == whole


def wide(tiny: Tiny) -> Path:
    return tiny("llama", hidden_size=64, intermediate_size=128, head_dim=16)


@pytest.mark.parametrize(
    ("package", "settings"),
    [
        ("optimum.quanto", {"quant_method": "quanto", "weights": "int8"}),
        ("bitsandbytes", {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
    ],
)
def test_quantised_weights_score_as_they_do_in_transformers(package: str, settings: dict[str, Any], tiny: Tiny) -> None:
    pytest.importorskip(package, reason=f"needs {package}")
    path = wide(tiny)
    adapter = resolve(ModelSpec(model=str(path), quantization=settings)).load()
    check_adapter(adapter, TEXTS)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, quantization_config=AutoQuantizationConfig.from_dict(dict(settings)), dtype=torch.float32
    )
    encoded = adapter.encode(TEXTS)
    with torch.no_grad():
        expected = [float(model(torch.tensor(e.ids, dtype=torch.long)[None]).logits[0, 0]) for e in encoded]
    np.testing.assert_allclose(adapter.forward(encoded).outputs[:, 0], expected, atol=1e-4)
    plain = resolve(path).load().forward(encoded).outputs[:, 0]
    assert np.abs(plain - expected).max() > 1e-3, "quantisation must show, or this test shows nothing"


def test_a_head_that_would_be_quantised_is_refused(tiny: Tiny) -> None:
    pytest.importorskip("optimum.quanto", reason="needs optimum-quanto")
    everything = {"quant_method": "quanto", "weights": "int8", "modules_to_not_convert": []}
    with pytest.raises(InputError, match=r"quanto quantised score\.weight.*modules_to_not_convert"):
        resolve(ModelSpec(model=str(tiny("llama")), quantization=everything)).load()


def test_a_checkpoint_that_was_saved_quantised(tiny: Tiny, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    shutil.copytree(wide(tiny), tmp_path / "m")
    model = AutoModelForSequenceClassification.from_pretrained(
        wide(tiny), quantization_config=AutoQuantizationConfig.from_dict(dict(settings)), dtype=torch.float32
    )
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(InputError, match="quantised by bitsandbytes"):
        resolve(tmp_path / "m")
    said = ModelSpec(model=str(tmp_path / "m"), quantization={"quant_method": "bitsandbytes"})
    loaded, again = (resolve(s).load() for s in (said, ModelSpec(model=str(wide(tiny)), quantization=settings)))
    encoded = loaded.encode(TEXTS)
    np.testing.assert_allclose(loaded.forward(encoded).outputs, again.forward(encoded).outputs, atol=1e-5)


def test_an_adapter_is_not_merged_into_quantised_weights(tiny: Tiny, tmp_path: Path) -> None:
    quantised(tiny, tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    config = {"base_model_name_or_path": "../base", "peft_type": "LORA", "task_type": "SEQ_CLS"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    save_file({"base_model.model.score.weight": torch.zeros(1, 32)}, tmp_path / "adapter" / "adapter_model.safetensors")
    for spec in (None, {"quant_method": "gptq"}):
        with pytest.raises(InputError, match=r"cannot be into weights quantised by gptq. Name an unquantised base"):
            resolve(ModelSpec(model=str(tmp_path / "adapter"), quantization=spec))


def test_a_result_says_it(tiny: Tiny) -> None:
    for settings, said in ((None, None), (EIGHT, canonical_json(EIGHT))):
        resolved = resolve(ModelSpec(model=str(tiny("llama")), quantization=settings))
        engine: Any = SimpleNamespace(resolved=resolved, description=dict)
        assert _model_record(Member("model", 0, engine)).quantization == said
