"""PEFT adapters over a base without a head, against the peft library without merging."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from harness.errors import InputError
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.testing.conformance import check_adapter
from tests.models.conftest import Tiny, unit

peft = pytest.importorskip("peft", reason="needs the extra 'peft'")

TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that."),
]


@pytest.fixture
def adapted(tiny_lm: Tiny, tmp_path: Path) -> Any:
    """`adapted(task, auto, num_labels)`: a base in `base`, and beside it in `adapter` a LoRA with weights that matter."""

    def make(task: str, auto: Any, **config: Any) -> Path:
        base, folder = tmp_path / "base", tmp_path / "adapter"
        shutil.copytree(tiny_lm("llama"), base, dirs_exist_ok=True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = auto.from_pretrained(base, dtype=torch.float32, **config)
            lora = peft.LoraConfig(task_type=task, r=4, target_modules=["q_proj", "down_proj"])
            whole = peft.get_peft_model(model, lora)
            for name, parameter in whole.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.3)
        whole.save_pretrained(folder)
        return folder

    return make


def classifier(adapted: Any, n: int = 1) -> Path:
    return adapted("SEQ_CLS", AutoModelForSequenceClassification, num_labels=n)


def reference(folder: Path, auto: Any, **config: Any) -> Any:
    base = auto.from_pretrained(folder.parent / "base", dtype=torch.float32, **config)
    return peft.PeftModel.from_pretrained(base, folder).eval()


def ids(folder: Path, one: Any) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "base")
    messages = [{"role": m.role, "content": m.content} for m in one.conversation]
    return tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)["input_ids"]


def test_a_classifiers_adapter_is_its_base_with_it(adapted: Any) -> None:
    folder = classifier(adapted)
    resolved = resolve(folder)
    assert (resolved.name, resolved.spec.adapter) == ("local/adapter", "sequence-classification")
    adapter = resolved.load()
    check_adapter(adapter, TEXTS)
    model = reference(folder, AutoModelForSequenceClassification, num_labels=1)
    bare = AutoModelForSequenceClassification.from_pretrained(folder.parent / "base", dtype=torch.float32, num_labels=1)
    with torch.no_grad():
        expected = [float(model(ids(folder, one)).logits[0, 0]) for one in TEXTS]
        without = [float(bare(ids(folder, one)).logits[0, 0]) for one in TEXTS]
    np.testing.assert_allclose(adapter.forward(adapter.encode(TEXTS)).outputs[:, 0], expected, atol=1e-5)
    assert np.abs(np.array(expected) - without).max() > 1e-2, "the adapter must matter, or this test shows nothing"


def test_a_relative_base_is_found_beside_the_adapter(adapted: Any) -> None:
    folder = classifier(adapted)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "../base"}))
    assert resolve(folder).load().forward(resolve(folder).load().encode(TEXTS)).outputs.shape == (3, 1)


def test_several_outputs_need_weights_as_in_any_model(adapted: Any) -> None:
    with pytest.raises(InputError, match=r"3 outputs \(LABEL_0, LABEL_1, LABEL_2\)"):
        resolve(classifier(adapted, 3))


def test_base_and_adapter_are_both_what_the_model_is(adapted: Any) -> None:
    folder = classifier(adapted)
    first = resolve(folder).content
    for file in (folder / "adapter_model.safetensors", folder.parent / "base" / "model.safetensors"):
        tensors = load_file(file)
        name = next(iter(tensors))
        save_file({**tensors, name: tensors[name] + 1}, file, metadata={"format": "pt"})
        changed = resolve(folder).content
        assert changed != first
        first = changed


def test_a_value_head_beside_an_adapter(adapted: Any) -> None:
    folder = adapted("CAUSAL_LM", AutoModelForCausalLM)
    weight = 0.1 * torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    save_file({"v_head.summary.weight": weight}, folder / "value_head.safetensors")
    resolved = resolve(folder)
    assert resolved.spec.adapter == "value-head"
    adapter = resolved.load()
    check_adapter(adapter, TEXTS)
    model = reference(folder, AutoModelForCausalLM)
    with torch.no_grad():
        states = [model(ids(folder, one), output_hidden_states=True).hidden_states[-1][0, -1] for one in TEXTS]
    expected = torch.stack(states) @ weight.T
    np.testing.assert_allclose(adapter.forward(adapter.encode(TEXTS)).outputs, expected.numpy(), atol=1e-5)


def test_a_tokenizer_of_its_own_wins(adapted: Any, tiny_lm: Tiny) -> None:
    folder = classifier(adapted)
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm("llama"))
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}|{% endfor %}"
    tokenizer.save_pretrained(folder)
    adapter = resolve(folder).load()
    assert "Hello|No.|" in adapter.tokenizer.decode(adapter.encode(TEXTS[1:2])[0].ids)


# --- what cannot be used --------------------------------------------------------------------------


def without_head(folder: Path, keep: str = "") -> Path:
    file = folder / "adapter_model.safetensors"
    tensors = {n.replace("score", keep or "score"): t for n, t in load_file(file).items() if keep or "score" not in n}
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("keep", ["", "lm_head"])
def test_a_classifiers_adapter_without_its_head_is_an_error_before_anything_is_loaded(keep: str, adapted: Any) -> None:
    folder = without_head(classifier(adapted), keep)
    (folder.parent / "base" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"without its head: neither it nor its base .*modules_to_save=\['score'\]"):
        resolve(folder)


def test_a_language_models_adapter_is_no_reward_model(adapted: Any) -> None:
    with pytest.raises(InputError, match="LlamaForCausalLM: a language model, which has no reward head"):
        resolve(adapted("CAUSAL_LM", AutoModelForCausalLM))


def test_a_base_that_is_not_named_or_not_there(adapted: Any) -> None:
    folder = classifier(adapted)
    config = json.loads((folder / "adapter_config.json").read_text())
    for base, reason in (
        (None, "base_model_name_or_path is None"),
        ("/nowhere", "is an adapter of /nowhere, which is not"),
    ):
        (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
        with pytest.raises(InputError, match=reason):
            resolve(folder)


def test_an_adapter_of_another_model_is_named(adapted: Any) -> None:
    folder = classifier(adapted)
    file = folder / "adapter_model.safetensors"
    tensors = {name.replace("layers.1", "layers.7"): t for name, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"the adapter changes .*layers\.7.*does not have"):
        resolve(folder).load()


def test_without_peft_the_error_says_what_to_install(adapted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = classifier(adapted)
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'reward-harness\[peft\]'"):
        resolve(folder).load()


def test_a_pickled_adapter_needs_leave(adapted: Any) -> None:
    folder = adapted("CAUSAL_LM", AutoModelForCausalLM)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"only pickled weights \(adapter_model\.bin\); add --allow-pickle"):
        resolve(ModelSpec(model=str(folder), adapter="causal-logit"))
