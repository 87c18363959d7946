"""Scores made of a language model's logits, against transformers alone, one text at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harness.condition import Ablation, Condition
from harness.errors import InputError
from harness.models.base import Unencodable
from harness.models.resolve import resolve
from harness.models.spec import Heads, ModelSpec
from harness.testing.conformance import check_adapter
from tests.models.conftest import Tiny, unit

FAMILIES = ["llama", "gpt2", "gpt-neox", "qwen3", "gemma2"]
TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that."),
    unit("Hello", "Yes."),
]
ASK = "[CONTEXT] {{ prompt }} [RESPONSE A] {{ response_a }} [RESPONSE B] {{ response_b }} \n"


def messages(one: Any) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in one.conversation]


def plain(path: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(path)


# --- D1: the logit of a token ---------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_score_is_the_logit_that_generation_begins_with(family: str, tiny_lm: Tiny) -> None:
    path = tiny_lm(family)
    adapter = resolve(ModelSpec(model=str(path), adapter="causal-logit", options={"token_id": 7})).load()
    check_adapter(adapter, TEXTS)
    model, tokenizer = plain(path)
    expected = []
    for one in TEXTS:
        inputs = tokenizer.apply_chat_template(
            messages(one), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            expected.append(
                model.generate(**inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True).logits[0][0, 7]
            )  # fmt: skip
    found = adapter.forward(adapter.encode(TEXTS)).outputs[:, 0]
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), atol=1e-5)


def test_a_soft_cap_matters_and_is_kept(tiny_lm: Tiny) -> None:
    capped, free = (
        resolve(ModelSpec(model=str(tiny_lm("gemma2", final_logit_softcapping=cap)), adapter="causal-logit")).load()
        for cap in (0.5, None)
    )
    small, large = (a.forward(a.encode(TEXTS)).outputs for a in (capped, free))
    assert np.abs(small).max() < 0.5 < np.abs(large).max()


def test_a_cap_that_is_its_familys_default_need_not_be_in_the_config(tiny_lm: Tiny, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_lm("gemma2"), tmp_path / "bare"))
    config = json.loads((path / "config.json").read_text())
    assert config.pop("final_logit_softcapping") == 30
    (path / "config.json").write_text(json.dumps(config))
    stored = load_file(path / "model.safetensors")
    stored["model.norm.weight"] = stored["model.norm.weight"] + 30  # logits so large that the cap is felt
    save_file(stored, path / "model.safetensors", metadata={"format": "pt"})
    adapter = resolve(ModelSpec(model=str(path), adapter="causal-logit")).load()
    (text,) = adapter.encode(TEXTS[:1])
    with torch.no_grad():
        model = plain(path)[0]
        ids = torch.tensor(text.ids[None].astype("int64"))
        expected, free = model(ids).logits[0, -1, 0], model.lm_head(model.model(ids).last_hidden_state)[0, -1, 0]
    assert abs(expected - free) > 1e-2
    np.testing.assert_allclose(adapter.forward([text]).outputs[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize(("family", "twist"), [("cohere", {"logit_scale": 0.25}), ("granite", {"logits_scaling": 4.0})])
def test_scales_of_logits_are_those_of_the_family(
    family: str, twist: dict[str, float], tiny_lm: Tiny, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(tiny_lm("llama"), tmp_path / family))
    kept = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "pad_token_id",
    )
    config = json.loads((path / "config.json").read_text())
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **{k: config[k] for k in kept}, **twist, initializer_range=0.3)
    ).save_pretrained(path)
    adapter = resolve(ModelSpec(model=str(path), adapter="causal-logit", options={"token_id": 7})).load()
    (text,) = adapter.encode(TEXTS[:1])
    with torch.no_grad():
        expected = plain(path)[0](torch.tensor(text.ids[None].astype("int64"))).logits[0, -1, 7]
    np.testing.assert_allclose(adapter.forward([text]).outputs[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("adapter", "found"),
    [
        ("causal-logit", "does something to them that is not known here"),
        ("implicit-dpo", "not what the models' last layers give"),
    ],
)
def test_a_twist_that_is_not_known_is_an_error(
    adapter: str, found: str, tiny_lm: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("harness.models.language_model", fromlist=["TWISTS"]).TWISTS, "final_logit_softcapping")  # fmt: skip
    spec = ModelSpec(model=str(tiny_lm("gemma2", final_logit_softcapping=0.5)), adapter=adapter)
    with pytest.raises(InputError, match=found):
        resolve(spec).load()


def test_a_language_model_is_never_recognised_and_needs_a_template(tiny_lm: Tiny) -> None:
    with pytest.raises(InputError, match=r"a language model, which has no reward head.*causal-logit \("):
        resolve(tiny_lm("llama"))
    with pytest.raises(InputError, match="no chat template"):
        resolve(ModelSpec(model=str(tiny_lm("bert", is_decoder=True)), adapter="causal-logit"))
    with pytest.raises(InputError, match=r"options\.token: .*its options are token_id"):
        resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="causal-logit", options={"token": 1}))
    size = json.loads((tiny_lm("llama") / "config.json").read_text())["vocab_size"]
    with pytest.raises(InputError, match=rf"options\.token_id is {size}; expected one of its {size} tokens"):
        resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="causal-logit", options={"token_id": size}))
    assert resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="causal-logit", options={"token_id": size - 1}))


# --- D2, D4: labels -------------------------------------------------------------------------------


def preference(path: Path, **options: Any) -> ModelSpec:
    return ModelSpec(model=str(path), adapter="token-preference", options={"prompt": ASK, **options})


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_a_preference_is_the_softmax_over_both_labels(family: str, answer: bool, tiny_lm: Tiny) -> None:
    path = tiny_lm(family)
    adapter = resolve(preference(path, answer=answer)).load()
    assert adapter.capabilities == {"compares"}
    pair = [unit("Hello you", "No.", side="chosen"), unit("Hello you", "Yes, the cat sat.", side="rejected")]
    other = [unit("What is it?", "x", item="2"), unit("What is it?", "a star " * 5, item="2", side="rejected")]
    check_adapter(adapter, [*pair, *other, *(unit("a", t, item="3", side=s) for t, s in (("b", "chosen"), ("c", "rejected")))])  # fmt: skip
    model, tokenizer = plain(path)
    a, b = (tokenizer.convert_tokens_to_ids(x) for x in "AB")
    asked, expected = [pair, pair[::-1], other], []
    for first, second in asked:
        text = (
            f"[CONTEXT] {first.conversation[0].content} [RESPONSE A] {first.conversation[1].content} "
            f"[RESPONSE B] {second.conversation[1].content} \n"
        )
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=answer, return_tensors="pt", return_dict=True
        )["input_ids"]
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        expected.append(float(torch.sigmoid(logits[a] - logits[b])))
    found = adapter.forward(adapter.encode_pairs(asked)).outputs[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_label_must_be_one_token(tiny_lm: Tiny) -> None:
    with pytest.raises(InputError, match=r"the label 'Alpha' is \d tokens of its tokenizer .*expected one"):
        resolve(preference(tiny_lm("llama"), labels=["Alpha", "B"])).load()
    with pytest.raises(InputError, match=r"options\.prompt: Field required"):
        resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="token-preference"))
    with pytest.raises(InputError, match=r"options\.labels are both 'A'"):
        resolve(preference(tiny_lm("llama"), labels=["A", "A"]))


def test_a_label_is_the_token_that_it_is_behind_the_question(tiny_lm: Tiny) -> None:
    # Alone, this tokenizer writes a space in front of "no", which it does not behind a line feed.
    path = tiny_lm("llama-sp")
    with pytest.raises(
        InputError, match=r"the label 'no' is 2 tokens of its tokenizer \('n', 'o'\) behind .*expected one"
    ):
        resolve(preference(path, labels=["no", "yes"])).load()
    adapter = resolve(preference(path, labels=[" no", " yes"])).load()
    asked = unit("Hello you", "No.", side="chosen"), unit("Hello you", "Yes, the cat sat.", side="rejected")
    model, tokenizer = plain(path)
    (text,) = adapter.encode_pairs([asked])
    with torch.no_grad():
        logits = model(torch.tensor(text.ids[None].astype("int64"))).logits[0, -1]
    no, yes = tokenizer.convert_tokens_to_ids(["▁no", "▁yes"])
    found = adapter.forward([text]).outputs[0, 0]
    np.testing.assert_allclose(found, float(torch.sigmoid(logits[no] - logits[yes])), atol=1e-5)


# --- E: implicit rewards --------------------------------------------------------------------------


def reply_logs(path: Path, adapter: Any, one: Any) -> torch.Tensor:
    """Log-probability of every token from the reply's first one on, the prompt being what two replies share."""
    model, tokenizer = plain(path)
    ids = tokenizer.apply_chat_template(messages(one), return_tensors="pt", return_dict=True)["input_ids"]
    other = [*messages(one)[:-1], {"role": "assistant", "content": "zz" if messages(one)[-1]["content"][0] != "z" else "q"}]  # fmt: skip
    alternative = tokenizer.apply_chat_template(other)["input_ids"]
    start = next(i for i, (a, b) in enumerate(zip(ids[0].tolist(), alternative, strict=False)) if a != b)
    with torch.no_grad():
        logs = model(ids).logits[0].log_softmax(-1)
    return torch.stack([logs[i - 1, ids[0, i]] for i in range(start, ids.shape[1])])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt-neox", "gemma2"])
def test_the_reward_is_what_the_policy_gained_over_its_reference(family: str, tiny_lm: Tiny) -> None:
    policy, reference = tiny_lm(family), tiny_lm(family, seed=1)
    spec = ModelSpec(model=str(policy), adapter="implicit-dpo", options={"reference": str(reference), "beta": 0.5})
    resolved = resolve(spec)
    assert resolved.spec.heads is not None
    assert resolved.spec.heads.names == ("sum", "mean")
    adapter = resolved.load()
    check_adapter(adapter, TEXTS, atol=2e-5)
    found = adapter.forward(adapter.encode(TEXTS)).outputs
    for row, one in zip(found, TEXTS, strict=True):
        gain = 0.5 * (reply_logs(policy, adapter, one) - reply_logs(reference, adapter, one))
        np.testing.assert_allclose(row, [float(gain.sum()), float(gain.mean())], atol=2e-5)
    np.testing.assert_array_equal(adapter.raw_score(adapter.spec, found), found[:, 0])
    by_mean = resolve(spec.model_copy(update={"heads": Heads(weights=(0, 1))}))
    np.testing.assert_array_equal(by_mean.adapter.raw_score(by_mean.spec, found), found[:, 1])


def test_without_a_reference_the_reward_is_the_policys_own(tiny_lm: Tiny) -> None:
    adapter = resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="implicit-dpo")).load()
    (row,) = adapter.forward(adapter.encode(TEXTS[:1])).outputs
    logs = 0.1 * reply_logs(tiny_lm("llama"), adapter, TEXTS[0])
    np.testing.assert_allclose(row, [float(logs.sum()), float(logs.mean())], atol=2e-5)


def test_a_long_reply_is_summed_in_parts(tiny_lm: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="implicit-dpo")).load()
    whole = adapter.forward(adapter.encode(TEXTS)).outputs
    monkeypatch.setattr("harness.models.adapters.implicit_dpo.CHUNK", 3)
    np.testing.assert_allclose(adapter.forward(adapter.encode(TEXTS)).outputs, whole, atol=1e-5)


def test_the_reference_is_part_of_what_the_model_is(tiny_lm: Tiny, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(tiny_lm("llama"), tmp_path / "policy"))
    shutil.copytree(tiny_lm("llama", seed=1), tmp_path / "base")

    def fingerprint(reference: str | None) -> str:
        options = {} if reference is None else {"reference": reference}
        return resolve(ModelSpec(model=str(policy), adapter="implicit-dpo", options=options)).content

    beside = fingerprint("../base")
    assert beside == fingerprint(str(tmp_path / "base"))
    assert len({beside, fingerprint(None), fingerprint(str(tiny_lm("llama", seed=2)))}) == 3
    with pytest.raises(InputError, match=r"no model '\.\./nowhere'"):
        fingerprint("../nowhere")


def test_another_vocabulary_is_an_error_before_any_weight_is_loaded(tiny_lm: Tiny, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_lm("llama"), tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 9}))
    spec = ModelSpec(model=str(tiny_lm("llama")), adapter="implicit-dpo", options={"reference": str(other)})
    with pytest.raises(InputError, match=r"vocabulary of \d+ tokens and its reference .* one of 9"):
        resolve(spec).load()


def test_another_tokenizer_of_the_same_size_is_an_error_before_any_weight_is_loaded(
    tiny_lm: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(tiny_lm("llama"), tmp_path / "other"))
    spec = ModelSpec(model=str(tiny_lm("llama")), adapter="implicit-dpo", options={"reference": str(other)})
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"] += [{**tokenizer["added_tokens"][0], "id": 499, "content": "<one more>"}]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    resolve(spec).load()  # A token of its own does not change how words are read.
    words = tokenizer["model"]["vocab"]
    words["a"], words["e"] = words["e"], words["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with monkeypatch.context() as patch:
        patch.setattr("harness.models.adapters.implicit_dpo.load_model", lambda *_: pytest.fail("weights are loaded"))
        with pytest.raises(InputError, match=r"reads '.*' as the tokens .*expected the model it was trained from"):
            resolve(spec).load()
    for file in other.glob("tokenizer*"):
        file.unlink()
    resolve(spec).load()  # Nothing to compare with: a reference needs no tokenizer.


def test_a_reply_without_tokens_has_no_reward(tiny_lm: Tiny) -> None:
    spec = ModelSpec(model=str(tiny_lm("qwen3")), adapter="implicit-dpo", template={"jinja": "{{ response }}"})
    (refused, kept) = resolve(spec).load().encode([unit("a", ""), unit("a", "two words")])
    assert isinstance(refused, Unencodable)
    assert not isinstance(kept, Unencodable)


def test_an_intervention_is_on_the_policy(tiny_lm: Tiny) -> None:
    spec = ModelSpec(model=str(tiny_lm("llama")), adapter="implicit-dpo", options={"reference": str(tiny_lm("llama"))})
    adapter = resolve(spec).load()
    texts = adapter.encode(TEXTS)
    assert np.abs(adapter.forward(texts).outputs).max() < 1e-5, "a policy that is its reference has gained nothing"
    with adapter.under(Condition("zero", (Ablation(layers=[0], neurons=[3], values=[0.0]),))):
        assert np.abs(adapter.forward(texts).outputs).max() > 1e-3


def test_texts_share_a_row_only_up_to_the_shorter_window(tiny_lm: Tiny) -> None:
    policy, reference = tiny_lm("mistral", sliding_window=90), tiny_lm("mistral", seed=1, sliding_window=60)
    spec = ModelSpec(model=str(policy), adapter="implicit-dpo", options={"reference": str(reference)})
    assert resolve(spec).load().shares == 60
    assert resolve(spec.model_copy(update={"options": {}})).load().shares == 90
