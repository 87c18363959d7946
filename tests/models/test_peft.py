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
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

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
    """`adapted(task, auto, …)`: a base in `base`, and beside it in `adapter` what peft saves of it, with numbers that matter."""

    def make(
        task: str, auto: Any, kind: Any = peft.LoraConfig, rows: int = 0, family: str = "llama", **config: Any
    ) -> Path:
        base, folder = tmp_path / "base", tmp_path / "adapter"
        shutil.copytree(tiny_lm(family), base, dirs_exist_ok=True)
        settings = {"target_modules": ["q_proj", "down_proj"], **config.pop("settings", {})}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = auto.from_pretrained(base, dtype=torch.float32, **config)
            if rows:
                model.resize_token_embeddings(rows, mean_resizing=False)
            whole = peft.get_peft_model(model, kind(task_type=task, **settings))
            for name, parameter in whole.named_parameters():
                if any(part in name for part in ("lora_B", "ia3_", "hada_")):
                    torch.nn.init.normal_(parameter, std=0.3)
        whole.save_pretrained(folder)
        return folder

    return make


def configure(folder: Path, file: str = "adapter_config.json", **changes: Any) -> Path:
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | changes))
    return folder


def rewrite(folder: Path, change: Any) -> Path:
    """Give every tensor of an adapter the name that `change` makes of its own; None leaves it out."""
    file = folder / "adapter_model.safetensors"
    tensors = {change(name): tensor for name, tensor in load_file(file).items()}
    save_file({n: t for n, t in tensors.items() if n is not None}, file, metadata={"format": "pt"})
    return folder


def logits(model: Any, folder: Path) -> np.ndarray:
    with torch.no_grad():
        return np.stack([model(ids(folder, one)).logits[0].numpy() for one in TEXTS])


def last_states(model: Any, folder: Path) -> torch.Tensor:
    with torch.no_grad():
        outputs = [model(ids(folder, one), output_hidden_states=True).hidden_states[-1] for one in TEXTS]
    return torch.stack([states[0, -1] for states in outputs])


def outputs(folder: Path, **spec: Any) -> np.ndarray:
    adapter = resolve(ModelSpec(model=str(folder), **spec)).load()
    check_adapter(adapter, TEXTS)
    return adapter.forward(adapter.encode(TEXTS)).outputs


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
    assert not any("lora" in name for name, _ in adapter.model.named_modules()), (
        "merged: a plain model for all that follows"
    )
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


# --- what an adapter may bring --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (peft.LoraConfig, {"use_dora": True, "use_rslora": True, "r": 4}),
        (peft.LoraConfig, {"r": 4, "rank_pattern": {"model.layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"q_proj": 16}}),
        (peft.LoraConfig, {"r": 4, "target_modules": ["embed_tokens", "q_proj"]}),
        (peft.LoraConfig, {"r": 4, "trainable_token_indices": [3, 50]}),
        (peft.LoHaConfig, {"r": 4}),
        (peft.IA3Config, {"feedforward_modules": ["down_proj"]}),
    ],
)  # fmt: skip
def test_every_kind_of_change_is_merged_as_peft_applies_it(kind: Any, settings: dict[str, Any], adapted: Any) -> None:
    folder = adapted("SEQ_CLS", AutoModelForSequenceClassification, kind, num_labels=1, settings=settings)
    expected = logits(reference(folder, AutoModelForSequenceClassification, num_labels=1), folder)
    np.testing.assert_allclose(outputs(folder), expected, atol=1e-5)


def test_a_longer_vocabulary_comes_with_its_tokenizer(adapted: Any, tiny_lm: Tiny) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm("llama"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|more|>"]})
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}<|more|>{% endfor %}"
    folder = adapted("SEQ_CLS", AutoModelForSequenceClassification, rows=len(tokenizer), num_labels=1)
    tokenizer.save_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(folder.parent / "base", dtype=torch.float32, num_labels=1)
    base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model = peft.PeftModel.from_pretrained(base, folder).eval()
    texts = ["<|more|>".join([m.content for m in one.conversation]) + "<|more|>" for one in TEXTS]
    with torch.no_grad():
        expected = [
            model(tokenizer(t, add_special_tokens=False, return_tensors="pt")["input_ids"]).logits[0] for t in texts
        ]
    np.testing.assert_allclose(outputs(folder), torch.stack(expected).numpy(), atol=1e-5)


def test_a_value_head_that_was_saved_with_the_changes(adapted: Any) -> None:
    folder = adapted("CAUSAL_LM", AutoModelForCausalLM)
    states = last_states(reference(folder, AutoModelForCausalLM), folder)
    weight = 0.1 * torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    file = folder / "adapter_model.safetensors"
    save_file(load_file(file) | {"base_model.model.v_head.summary.weight": weight}, file, metadata={"format": "pt"})
    configure(folder, modules_to_save=["v_head"])
    np.testing.assert_allclose(outputs(folder), (states @ weight.T).numpy(), atol=1e-5)


def test_changes_of_a_bare_transformer_are_those_of_the_one_in_a_language_model(adapted: Any) -> None:
    folder = adapted("FEATURE_EXTRACTION", AutoModel)
    weight = 0.1 * torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
    save_file({"v_head.summary.weight": weight}, folder / "value_head.safetensors")
    model = reference(folder, AutoModel)
    with torch.no_grad():
        states = [model(input_ids=ids(folder, one)).last_hidden_state[0, -1] for one in TEXTS]
    np.testing.assert_allclose(outputs(folder), (torch.stack(states) @ weight.T).numpy(), atol=1e-5)


def test_a_head_counts_whatever_the_adapters_config_says_of_it(adapted: Any) -> None:
    folder = classifier(adapted)
    expected = logits(reference(folder, AutoModelForSequenceClassification, num_labels=1), folder)
    configure(folder, modules_to_save=None)
    np.testing.assert_allclose(outputs(folder), expected, atol=1e-5)
    base = AutoModelForSequenceClassification.from_pretrained(folder.parent / "base", num_labels=1, dtype=torch.float32)
    base.save_pretrained(folder.parent / "base")  # now a reward model with a head of its own
    np.testing.assert_allclose(outputs(configure(folder, task_type="CAUSAL_LM")), expected, atol=1e-5)


def test_the_adapters_head_says_how_many_outputs_there_are(adapted: Any) -> None:
    folder = classifier(adapted)
    configure(folder.parent / "base", "config.json", id2label={"0": "bad", "1": "good"}, label2id={"bad": 0, "good": 1})
    assert outputs(folder).shape == (3, 1)


def test_a_head_of_two_layers(adapted: Any, tiny: Tiny) -> None:
    folder = adapted(
        "SEQ_CLS", AutoModelForSequenceClassification, family="roberta", num_labels=1,
        settings={"target_modules": ["query", "value"], "r": 4},
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "base")
    model = reference(folder, AutoModelForSequenceClassification, num_labels=1)
    texts = [one.conversation[-2:] for one in TEXTS[:2]]
    with torch.no_grad():
        expected = [model(**tokenizer(a.content, b.content, return_tensors="pt")).logits[0].numpy() for a, b in texts]
    adapter = resolve(ModelSpec(model=str(folder), template={"pair": "plain"})).load()
    found = adapter.forward(adapter.encode(TEXTS[:2])).outputs
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-5)


def test_the_pad_token_its_trainer_told_the_model_is_asked_about(adapted: Any, tiny_lm: Tiny) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm("llama"))
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    tokenizer.pad_token = tokenizer.eos_token
    folder = classifier(adapted)
    configure(folder.parent / "base", "config.json", pad_token_id=None)
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"its texts end in </s>, which is also its pad token"):
        resolve(folder).load()


def test_a_policys_adapter_and_the_base_it_was_put_on(adapted: Any) -> None:
    folder = adapted("CAUSAL_LM", AutoModelForCausalLM)
    spec = {"adapter": "implicit-dpo", "options": {"reference": "../base", "beta": 1.0}}
    model, base = reference(folder, AutoModelForCausalLM), AutoModelForCausalLM.from_pretrained(folder.parent / "base")
    adapter = resolve(ModelSpec(model=str(folder), **spec)).load()
    expected = []
    for one, encoded in zip(TEXTS, adapter.encode(TEXTS), strict=True):
        text = ids(folder, one)
        with torch.no_grad():
            steps = [m(text).logits[0, :-1].log_softmax(-1).gather(1, text[0, 1:, None])[:, 0] for m in (model, base)]
        expected.append(float((steps[0] - steps[1])[encoded.response_start - 1 :].sum()))
    found = outputs(folder, **spec)[:, 0]
    assert np.abs(found).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_adapter_and_base_on_the_hub(adapted: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = configure(classifier(adapted), base_model_name_or_path="org/base", revision="v2")
    there = {"org/base": (folder.parent / "base", "b" * 40), "me/adapter": (folder, "a" * 40)}
    asked: list[tuple[str, str | None]] = []

    def download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision))
        source, commit = there[repo]
        (place := tmp_path / "hub" / commit).mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if any(file.match(pattern) for pattern in allow_patterns):
                shutil.copy(file, place)
        return str(place)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda *_, **__: 1 / 0)
    resolved = resolve("me/adapter")
    assert (resolved.name, resolved.revision) == ("me/adapter", "a" * 40)
    assert ("org/base", "v2") in asked
    adapter = resolved.load()
    local = resolve(configure(folder, base_model_name_or_path="../base")).load()
    texts = adapter.encode(TEXTS)
    np.testing.assert_array_equal(adapter.forward(texts).outputs, local.forward(texts).outputs)


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
    with pytest.raises(InputError, match=r"LlamaForCausalLM: a language model.*task_type CAUSAL_LM.*not saved"):
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
    folder = classifier(adapted)
    expected = outputs(folder)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "value_head.safetensors").write_bytes((folder.parent / "base" / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"only pickled weights \(adapter_model\.bin\); add --allow-pickle"):
        resolve(folder)
    adapter = resolve(folder, allow_pickle=True).load()
    np.testing.assert_array_equal(adapter.forward(adapter.encode(TEXTS)).outputs, expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda n: None if "layers.1" in n and "lora_B" in n else n, r"lacks model\.layers\.1.*which its adapter_config"),
        (lambda n: n.replace("score.weight", "model.scale.weight"), r"without its head"),
        (lambda n: n.replace("score", "model.layers.0.score"), r"changes model\.layers\.0\.score.*does not have"),
    ],
)  # fmt: skip
def test_a_tensor_without_a_place_or_a_place_without_a_tensor(change: Any, reason: str, adapted: Any) -> None:
    folder = rewrite(classifier(adapted), change)
    with pytest.raises(InputError, match=reason):
        resolve(folder).load()


def test_prompts_that_were_learned_are_no_change_of_weights(adapted: Any) -> None:
    folder = configure(classifier(adapted), peft_type="PROMPT_TUNING", num_virtual_tokens=2)
    with pytest.raises(InputError, match="PROMPT_TUNING adds tokens to a text and changes no weights"):
        resolve(folder).load()


def test_a_whole_model_with_an_adapter_beside_it_is_asked_about(adapted: Any) -> None:
    folder = classifier(adapted)
    for file in ("config.json", "model.safetensors"):
        shutil.copy(folder.parent / "base" / file, folder)
    with pytest.raises(InputError, match=r"both config\.json and adapter_config\.json"):
        resolve(folder)


def test_an_adapter_of_an_adapter_and_one_beside_a_model(adapted: Any) -> None:
    folder = classifier(adapted)
    outer = folder.parent / "outer"
    shutil.copytree(folder, outer)
    with pytest.raises(InputError, match="which is one itself; merge that into its base first"):
        resolve(configure(outer, base_model_name_or_path="../adapter"))
    spec = ModelSpec(model=str(folder.parent / "base"), adapter="implicit-dpo", options={"reference": "../adapter"})
    with pytest.raises(InputError, match=r"its reference \.\./adapter is a PEFT adapter; merge"):
        resolve(spec)
