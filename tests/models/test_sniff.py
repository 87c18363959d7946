"""What is read from a config and from tensor names."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.models import sniff
from harness.models.files import ModelFiles
from harness.models.recognise import adapter_name
from harness.testing.tiny import FAMILIES
from tests.models.conftest import Tiny


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"id2label": {"0": "a", "10": "c", "2": "b"}}, ("a", "b", "c")),
        ({"num_labels": 1}, ("LABEL_0",)),
        ({}, ("LABEL_0", "LABEL_1")),
    ],
)
def test_labels(config: dict[str, object], names: tuple[str, ...]) -> None:
    assert sniff.labels(config) == names


@pytest.mark.parametrize(
    ("config", "tokenizer", "limit"),
    [
        ({"max_position_embeddings": 512}, {"model_max_length": 128}, 128),
        ({"max_position_embeddings": 64}, {"model_max_length": 1e30}, 64),
        ({"n_positions": 256}, {}, 256),
        ({"text_config": {"max_position_embeddings": 32}}, {}, 32),
        ({"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 514}, {}, 512),
        ({"max_position_embeddings": -1}, {}, None),
        ({}, {}, None),
    ],
)
def test_position_limit(config: dict[str, object], tokenizer: dict[str, object], limit: int | None) -> None:
    assert sniff.position_limit(config, tokenizer) == limit


@pytest.mark.parametrize(
    ("config", "dtype"),
    [({"dtype": "bfloat16"}, "bfloat16"), ({"torch_dtype": "float16"}, "float16"), ({}, "float32"),
     ({"text_config": {"dtype": "float16"}}, "float16")],
)  # fmt: skip
def test_stored_dtype(config: dict[str, object], dtype: str) -> None:
    assert sniff.stored_dtype(config) == dtype


@pytest.mark.parametrize("family", list(FAMILIES))
def test_attention_default_is_one_transformers_has(family: str) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    model_type = FAMILIES[family].model_type
    kind = AutoModelForSequenceClassification._model_mapping[type(AutoConfig.for_model(model_type))]
    assert (sniff.default_attention({"model_type": model_type}) == "sdpa") == kind._supports_sdpa


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_has_a_head_by_its_tensor_names(family: str, tiny: Tiny) -> None:
    files = ModelFiles.local(tiny(family), False, False)
    tensors = sniff.tensor_names(files.weights())
    assert adapter_name(files.config(), tensors, "m") == "sequence-classification"
    assert adapter_name(files.config(), None, "m") == "sequence-classification"
    sniff.require_head(tensors, "m")


@pytest.mark.parametrize(
    "other", ["v_head.summary.weight", "value_head.weight", "model.regression_head.weight", "lm_head.weight"]
)
def test_another_kind_of_head_is_named(other: str) -> None:
    with pytest.raises(InputError, match=other.removeprefix("model.").split(".")[0]):
        sniff.require_head({"model.layers.0.mlp.up_proj.weight", other}, "m")


def test_broken_weights_and_configs_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x00\x01")
    with pytest.raises(InputError, match=r"model\.safetensors is not a whole safetensors file"):
        sniff.tensor_names([tmp_path / "model.safetensors"])
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a JSON object, found list"):
        sniff.read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot read"):
        sniff.read_json(tmp_path / "config.json")
