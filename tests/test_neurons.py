"""What is told of a model's neurons, against counts made by hand."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.models.spec import ModelSpec
from harness.neurons import neurons, sentence
from harness.testing import tiny


@pytest.fixture(autouse=True)
def own_store(monkeypatch, tmp_path):
    monkeypatch.setenv("REWARD_HARNESS_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setitem(
        tiny.FAMILIES, "albert", tiny.Family("albert", tiny.FAMILIES["bert"].tokenizer, {"embedding_size": 16})
    )


@pytest.fixture
def found(tmp_path):
    def call(family: str, **config):
        path = tiny.tiny_model(tmp_path / family, family, **config)
        return neurons(ModelSpec(model=str(path), template="raw"))

    return call


def group(path: str, layers: int, neurons: int, heads: int = 0) -> dict:
    return {"path": path, "layers": layers, "neurons": neurons, "heads": heads, "total": layers * neurons}


def test_layers_alike_are_one_group(found):
    assert found("llama", num_hidden_layers=12) == {
        "mlp": [group("model.layers.*.mlp.down_proj", 12, 48)],
        "attention": [group("model.layers.*.self_attn.o_proj", 12, 32, 4)],
        "activation": [group("model.layers.*.mlp.act_fn", 12, 48)],
    }


def test_either_side_of_an_encoder_decoder_is_a_group(found):
    assert found("t5")["mlp"] == [
        group("transformer.encoder.block.*.layer.*.DenseReluDense.wo", 2, 48),
        group("transformer.decoder.block.*.layer.*.DenseReluDense.wo", 2, 48),
    ]


def test_a_kind_that_is_not_there_says_why_and_the_others_are_told(found):
    told = found("xlnet")
    assert told["mlp"] == [group("transformer.layer.*.ff.layer_2", 2, 48)]
    (attention,) = told["attention"]
    assert "no attention of a layer ends in a linear module" in attention["missing"]
    assert sentence(attention).startswith("none: XLNetForSequenceClassification")


def test_in_words():
    assert sentence(group("h.*.down", 2, 48)) == "h.*.down: 2 layers of 48, 96 in all"
    assert sentence(group("h.*.out", 2, 32, 4)) == "h.*.out: 2 layers of 32 in 4 heads, 64 in all"


def test_a_model_without(found):
    with pytest.raises(InputError, match=r"local/albert lacks neurons: albert.*ffn_output ran 2 times"):
        found("albert")
    with pytest.raises(InputError, match="null/longest has no neurons: it offers scores"):
        neurons("null/longest")
