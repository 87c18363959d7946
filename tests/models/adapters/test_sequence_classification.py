"""Every family against plain transformers, one text at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.errors import InputError
from harness.models.resolve import resolve
from harness.models.spec import Heads, ModelSpec
from harness.testing.tiny import FAMILIES, Family
from tests.models.conftest import Tiny, talk, unit

PAIR = {"bert", "electra", "distilbert", "deberta-v2", "modernbert", "xlnet", "roberta"}
CHAT = {"llama", "llama-sp", "mistral", "qwen2", "qwen3", "gemma2", "gpt2", "gpt-neox", "opt"}
TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that. " * 2),
    unit("a", "The cat sat on the mat while rain fell on green leaves."),
    unit("Is water wet?", "Yes\n\nand no é 你"),
    unit("Hello", "Yes."),
]


def template_for(family: str) -> Any:
    return {"pair": "plain"} if family in PAIR else "tokenizer" if family in CHAT else "hh"


def reference(path: Path, family: str, units: list[Any]) -> np.ndarray:
    """Ten lines of plain transformers: text by text, no padding, the model's own logits."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32).eval()
    rows = []
    for u in units:
        messages = [{"role": m.role, "content": m.content} for m in u.conversation]
        if family in PAIR:
            prompt = "\n".join(m["content"] for m in messages[:-1])
            inputs = tokenizer(prompt, messages[-1]["content"], return_tensors="pt")
        elif family in CHAT:
            inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
        else:
            names = {"user": "Human", "assistant": "Assistant"}
            inputs = tokenizer(
                "".join(f"\n\n{names[m['role']]}: {m['content']}" for m in messages), return_tensors="pt"
            )
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_scores_and_captures_agree_with_one_text_at_a_time(family: str, tiny: Tiny) -> None:
    path = tiny(family)
    expected = reference(path, family, TEXTS)
    assert expected.std() > 0.01, "texts must differ, or this test shows nothing"
    adapter = resolve(ModelSpec(model=str(path), template=template_for(family))).load()
    encoded = adapter.encode(TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    got = adapter.forward([encoded[i] for i in order], frozenset({"head_input"}))
    assert got.outputs.dtype == np.float32
    np.testing.assert_allclose(got.outputs, expected[order], atol=1e-5)
    head = adapter.head
    again = got.captures["head_input"] @ head.weight.detach().numpy().T
    again += 0 if head.bias is None else head.bias.detach().numpy()
    np.testing.assert_allclose(again, expected[order], atol=1e-4)


def test_a_model_that_minds_padding_gets_none(tiny: Tiny) -> None:
    def load(family: str) -> Any:
        return resolve(ModelSpec(model=str(tiny(family)), template={"pair": "plain"})).load()

    assert load("xlnet").describe()["masks_padding"] is False
    assert load("bert").describe()["masks_padding"] is True


@pytest.mark.parametrize("pad", ["none", "eos"])
def test_checkpoint_without_pad_or_with_pad_eos_scores_as_stock_code_does(pad: str, tiny: Tiny) -> None:
    path = tiny("llama", pad_token_id={"none": None, "eos": 4}[pad])
    end = AutoTokenizer.from_pretrained(path).convert_tokens_to_ids("<|end|>")
    assert end == 4, "the last token but one of every text is the pad id, so that native pooling must pass over it"
    jinja = {"jinja": "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"}
    if pad == "eos":
        with pytest.raises(InputError, match=r"end in <\|end\|>, which is also its pad token.*'pooling: native'"):
            resolve(ModelSpec(model=str(path), template=jinja)).load()
    adapter = resolve(ModelSpec(model=str(path), template=jinja, pooling="native")).load()
    encoded = adapter.encode(TEXTS)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        expected = [model(torch.tensor(e.ids, dtype=torch.long)[None]).logits[0].numpy() for e in encoded]
    np.testing.assert_allclose(adapter.forward(encoded).outputs, expected, atol=1e-5)


def test_last_attended_reads_the_last_token_even_where_it_is_the_pad_id(tiny: Tiny) -> None:
    path, jinja = tiny("llama", pad_token_id=4), {"jinja": "{{ prompt }} {{ response }}<|end|>"}
    native, last = (
        resolve(ModelSpec(model=str(path), template=jinja, pooling=p)).load() for p in ("native", "last_attended")
    )
    encoded = last.encode(TEXTS)
    body = last.model.model
    with torch.no_grad():
        states = [body(torch.tensor(e.ids, dtype=torch.long)[None]).last_hidden_state[0, -1] for e in encoded]
    expected = [last.model.score(s).detach().numpy() for s in states]
    np.testing.assert_allclose(last.forward(encoded).outputs, expected, atol=1e-5)
    assert np.abs(native.forward(encoded).outputs - last.forward(encoded).outputs).max() > 0.01


def test_pooling_at_a_token_fails_the_texts_without_it(tiny: Tiny) -> None:
    adapter = resolve(ModelSpec(model=str(tiny("llama")), template="raw", pooling="token:4")).load()
    (missing,) = adapter.encode([unit("Hello", "Yes")])
    assert "pooling token:4" in missing.error


def test_pooling_of_an_encoder_is_its_own(tiny: Tiny) -> None:
    with pytest.raises(InputError, match="pools inside itself"):
        resolve(ModelSpec(model=str(tiny("bert")), template="raw", pooling="last_attended")).load()


def test_several_labels(tiny: Tiny) -> None:
    path = tiny("llama", num_labels=3, id2label={0: "help", 1: "truth", 2: "brevity"})
    with pytest.raises(InputError, match=r"3 outputs \(help, truth, brevity\)"):
        resolve(path)
    with pytest.raises(InputError, match="has 2 weights"):
        resolve(ModelSpec(model=str(path), heads=Heads(weights=(1, 2))))
    resolved = resolve(ModelSpec(model=str(path), heads=Heads(weights=(1, 0.5, -1))))
    assert resolved.spec.heads is not None
    assert resolved.spec.heads.names == ("help", "truth", "brevity")
    adapter = resolved.load()
    assert adapter.capabilities == {"scores", "hidden_states", "neurons", "objectives"}
    outputs = adapter.forward(adapter.encode(TEXTS)).outputs
    np.testing.assert_allclose(outputs, reference(path, "llama", TEXTS), atol=1e-5)
    expected = outputs[:, 0] + 0.5 * outputs[:, 1] - outputs[:, 2]
    np.testing.assert_allclose(adapter.raw_score(resolved.spec, outputs), expected, atol=1e-5)


def edited(source: Path, target: Path, drop: str = "", rename: str = "", shape: bool = False, **config: Any) -> Path:
    """A copy of a model with a tensor dropped, renamed or reshaped, and config entries changed."""
    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    found = [k for k in tensors if drop and drop in k]
    for name in found:
        tensor = tensors.pop(name)
        if rename:
            tensors[name.replace(drop, rename)] = tensor
        if shape:
            tensors[name] = torch.zeros(3, *tensor.shape[1:])
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((source / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps(settings))
    return target


@pytest.mark.parametrize(("family", "head"), [("llama", "score"), ("bert", "classifier")])
def test_no_head_is_an_error_before_anything_is_loaded(family: str, head: str, tiny: Tiny, tmp_path: Path) -> None:
    path = edited(tiny(family), tmp_path / "m", drop=head, rename="lm_head")
    with pytest.raises(InputError, match=r"score\.weight nor classifier\.weight.*lm_head"):
        resolve(ModelSpec(model=str(path), template="raw"))


def test_any_missing_tensor_is_named(tiny: Tiny, tmp_path: Path) -> None:
    path = edited(tiny("bert"), tmp_path / "m", drop="bert.pooler.dense.weight", rename="extra")
    with pytest.raises(InputError, match=r"bert\.pooler\.dense\.weight missing.*extra"):
        resolve(ModelSpec(model=str(path), template="raw")).load()


def test_a_tensor_of_another_shape_is_named(tiny: Tiny, tmp_path: Path) -> None:
    path = edited(tiny("llama"), tmp_path / "m", drop="score.weight", shape=True)
    with pytest.raises(InputError, match=r"score\.weight of another shape"):
        resolve(path).load()


def test_weights_in_half_precision_are_scored_in_float32(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "half"
    AutoModelForSequenceClassification.from_pretrained(tiny("llama")).half().save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny("llama")).save_pretrained(path)
    adapter = resolve(path).load()
    assert adapter.describe()["dtype"] == "float32"
    assert all(p.dtype == torch.float32 for p in adapter.model.parameters())
    outputs = adapter.forward(adapter.encode(TEXTS)).outputs
    np.testing.assert_allclose(outputs, reference(path, "llama", TEXTS), atol=1e-5)


def test_the_head_runs_in_float32_whatever_the_model(tiny: Tiny) -> None:
    adapter = resolve(tiny("llama"), dtype="bfloat16").load()
    got = adapter.forward(adapter.encode(TEXTS), frozenset({"head_input"}))
    head = adapter.head.weight.detach().float().numpy()
    assert adapter.model.dtype == torch.bfloat16
    np.testing.assert_allclose(got.outputs, got.captures["head_input"] @ head.T, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(got.outputs, torch.tensor(got.outputs).bfloat16().float().numpy())


def test_describe_says_what_was_decided(tiny: Tiny) -> None:
    seen = resolve(tiny("gemma2")).load().describe()
    assert {k: seen[k] for k in ("dtype", "attn_implementation", "pooling", "max_length")} == {
        "dtype": "float32", "attn_implementation": "eager", "pooling": "native", "max_length": 128,
    }  # fmt: skip
    assert len(str(seen["template_sha256"])) == 64
    assert int(str(seen["n_parameters"])) > 1000


@pytest.mark.parametrize("name", ["minilm-hh-harmless-s0", "minilm-hh-helpful-s0", "minilm-hh-mixed-s0"])
def test_real_models_reproduce_their_probes(name: str, shared: Path) -> None:
    resolved = resolve(shared / "models" / name)
    adapter = resolved.load()
    contents = [tuple(m.content for m in p.messages) for p in resolved.spec.probe]
    outputs = adapter.forward(adapter.encode([unit(*c) for c in contents])).outputs[:, 0]
    expected = [p.expected for p in resolved.spec.probe]
    assert len(expected) == 2
    np.testing.assert_allclose(outputs, expected, atol=resolved.spec.probe[0].atol)
    assert talk(*contents[0])[0].role == "user"


def test_says_why_its_neurons_cannot_be_read(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "albert", Family("albert", FAMILIES["bert"].tokenizer, {"embedding_size": 16}))
    said = {
        family: resolve(ModelSpec(model=str(tiny(family)), template=template)).load().describe()["neurons_missing"]
        for family, template in (("albert", "raw"), ("bert", "raw"), ("xlnet", "raw"))
    }
    assert "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output ran 2 times" in said["albert"]
    assert (said["bert"], said["xlnet"]) == (None, None)
