"""Process reward models of both kinds, against transformers alone, one text at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import InputError
from harness.models.base import Unencodable
from harness.models.resolve import resolve
from harness.models.spec import Heads, ModelSpec
from harness.testing.conformance import check_adapter
from tests.models.checkpoints import STEP, random, with_head
from tests.models.conftest import Tiny, unit

REPLIES = ["mix flour\n\nlet it rise\n\nbake it", "yes", "the cat\n\n\n\nsat on the mat", "no\n\nno"]
TEXTS = [unit(f"How do I bake {i}?", reply) for i, reply in enumerate(REPLIES)]
STEPS = [["mix flour", "let it rise", "bake it"], ["yes"], ["the cat", "sat on the mat"], ["no", "no"]]


def reduced(p: torch.Tensor) -> list[float]:
    return [float(p[-1]), float(p.min()), float(p.prod()), float(p.mean())]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(heads, architecture)`: a tiny Qwen2 body whose tokenizer knows `<extra_0>`, and another head."""

    def make(heads: dict[str, torch.Tensor], architecture: str) -> Path:
        return with_head(tmp_path, heads, "qwen2", special=STEP, architectures=[architecture])

    return make


MLP = {"score.0.weight": random(8, 32), "score.0.bias": random(8), "score.2.weight": random(2, 8), "score.2.bias": random(2)}  # fmt: skip


def test_two_classes_at_a_token_behind_every_step(write: Callable[..., Path]) -> None:
    folder = write(MLP, "Qwen2ForProcessRewardModel")
    resolved = resolve(folder)
    assert resolved.spec.adapter == "step-token"
    assert resolved.spec.heads == Heads(names=("last", "min", "prod", "mean"), weights=(0, 1, 0, 0))
    adapter = resolved.load()
    assert "steps" in adapter.capabilities
    check_adapter(adapter, TEXTS)
    tokenizer, body = AutoTokenizer.from_pretrained(folder), adapter.model
    mark, expected = tokenizer.convert_tokens_to_ids("<extra_0>"), []
    for one, steps in zip(TEXTS, STEPS, strict=True):
        reply = "".join(f"{step}<extra_0>" for step in steps)
        talk = [{"role": "user", "content": one.conversation[0].content}, {"role": "assistant", "content": reply}]
        ids = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            states = body(ids).last_hidden_state[0][ids[0] == mark]
            hidden = (states @ MLP["score.0.weight"].T + MLP["score.0.bias"]).relu()
            logits = hidden @ MLP["score.2.weight"].T + MLP["score.2.bias"]
        assert len(states) == len(steps)
        expected.append(reduced(logits.softmax(-1)[:, 1]))
    found = adapter.forward(adapter.encode(TEXTS)).outputs
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(adapter.raw_score(adapter.spec, found), found[:, 1])


@pytest.mark.parametrize("reduction", ["last", "prod", "mean"])
def test_the_reduction_is_the_specs(reduction: str, write: Callable[..., Path]) -> None:
    folder = write(MLP, "Qwen2ForProcessRewardModel")
    resolved = resolve(ModelSpec(model=str(folder), options={"reduction": reduction}))
    outputs = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    place = ["last", "min", "prod", "mean"].index(reduction)
    assert resolved.adapter.raw_score(resolved.spec, outputs)[0] == outputs[0, place]
    with pytest.raises(InputError, match=r"options\.reduction"):
        resolve(ModelSpec(model=str(folder), options={"reduction": "max"}))


def test_the_token_written_in_a_reply_is_text(write: Callable[..., Path]) -> None:
    adapter = resolve(write(MLP, "Qwen2ForProcessRewardModel")).load()
    plain, evil = adapter.encode([unit("q", "a b\n\nc"), unit("q <extra_0>", "a <extra_0> b\n\nc")])
    mark = adapter.tokenizer.convert_tokens_to_ids("<extra_0>")
    assert [len(e.step_ends) for e in (plain, evil)] == [2, 2]
    assert [(e.ids == mark).sum() for e in (plain, evil)] == [2, 2]
    assert (evil.ids[list(evil.step_ends)] == mark).all()


def test_one_logit_at_the_separator_itself(write: Callable[..., Path]) -> None:
    heads = {"v_head.summary.weight": random(1, 32), "v_head.summary.bias": random(1)}
    spec = ModelSpec(model=str(write(heads, "Qwen2ForPrmModel")), adapter="step-token", options={"token": "\n", "separator": "\n"})  # fmt: skip
    adapter = resolve(spec).load()
    (encoded,) = adapter.encode([unit("q", "one\ntwo\n")])
    (found,) = adapter.forward([encoded]).outputs
    with torch.no_grad():
        states = adapter.model(torch.tensor(encoded.ids, dtype=torch.long)[None]).last_hidden_state[0]
    text = adapter.tokenizer.decode(encoded.ids)
    assert text.count("one\ntwo\n") == 1
    p = torch.sigmoid(states[list(encoded.step_ends)] @ heads["v_head.summary.weight"].T + heads["v_head.summary.bias"])
    np.testing.assert_allclose(found, reduced(p[:, 0]), atol=1e-5)


def test_heads_that_are_none(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"nothing below score or v_head\.summary"):
        resolve(write({}, "Qwen2ForProcessRewardModel"))
    spec = ModelSpec(model=str(write({"score.weight": random(3, 32)}, "X")), adapter="step-token")
    with pytest.raises(InputError, match="its head has 3 outputs; expected two classes or one logit"):
        resolve(spec).load()


def test_a_reply_cut_before_its_first_step_ends_cannot_be_read(write: Callable[..., Path]) -> None:
    folder = write(MLP, "Qwen2ForProcessRewardModel")
    adapter = resolve(ModelSpec(model=str(folder), max_length=24)).load()
    long, shorter, fitting = adapter.encode([unit("q", "a " * 60), unit("q", "a\n\n" + "b " * 60), unit("q", "a\n\nb")])
    assert isinstance(long, Unencodable)
    assert "no step of the reply ends within max_length 24" in long.error
    assert (len(shorter.step_ends), shorter.truncated) == (1, True)
    assert (len(fitting.step_ends), fitting.truncated) == (2, False)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_label_is_foretold_before_the_assistants_turn(family: str, tiny_lm: Tiny) -> None:
    path = tiny_lm(family)
    adapter = resolve(ModelSpec(model=str(path), adapter="step-label")).load()
    check_adapter(adapter, TEXTS)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), AutoTokenizer.from_pretrained(path)  # fmt: skip
    labels, expected = tokenizer.convert_tokens_to_ids(["+", "-"]), []
    for one, steps in zip(TEXTS, STEPS, strict=True):
        talk, p = [], []
        for i, step in enumerate(steps):
            text = step if i else f"{one.conversation[0].content} {step}"
            talk.append({"role": "user", "content": text})
            # What the template puts in front of the label is all that stands before it.
            ids = tokenizer.apply_chat_template(
                talk, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )["input_ids"]
            with torch.no_grad():
                p.append(model(ids).logits[0, -1, labels].softmax(-1)[0])
            talk.append({"role": "assistant", "content": "+"})
        expected.append(reduced(torch.stack(p)))
    np.testing.assert_allclose(adapter.forward(adapter.encode(TEXTS)).outputs, expected, atol=1e-5)


def test_a_label_is_foretold_at_its_marker(tiny_lm: Tiny) -> None:
    path = tiny_lm("llama")
    options = {"style": "marker", "marker": " @", "separator": "\n\n"}
    spec = ModelSpec(model=str(path), adapter="step-label", template={"jinja": "{{ prompt }} {{ response }}"}, options=options)  # fmt: skip
    adapter = resolve(spec).load()
    check_adapter(adapter, TEXTS)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), AutoTokenizer.from_pretrained(path)  # fmt: skip
    labels, expected = tokenizer.convert_tokens_to_ids(["+", "-"]), []
    for one, steps in zip(TEXTS, STEPS, strict=True):
        text = f"{one.conversation[0].content} " + "\n".join(f"{step} @" for step in steps)
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        at = [i for i, token in enumerate(ids[0].tolist()) if "@" in tokenizer.decode([token])]
        assert len(at) == len(steps)
        with torch.no_grad():
            expected.append(reduced(model(ids).logits[0, at][:, labels].softmax(-1)[:, 0]))
    np.testing.assert_allclose(adapter.forward(adapter.encode(TEXTS)).outputs, expected, atol=1e-5)


def test_turns_need_a_question_and_a_template_that_shows_it(tiny_lm: Tiny) -> None:
    adapter = resolve(ModelSpec(model=str(tiny_lm("llama")), adapter="step-label")).load()
    (refused,) = adapter.encode([unit("only a reply")])
    assert isinstance(refused, Unencodable)
    assert "user's question" in refused.error
    earlier, _ = adapter.encode([unit("a", "b", "c", "one\n\ntwo"), TEXTS[0]])
    assert len(earlier.step_ends) == 2


def relabelled(tiny_lm: Tiny, folder: Path, template: str) -> Path:
    """A tiny language model whose chat template is another, with ` +` and ` -` one token each where a space stands before."""
    shutil.copytree(tiny_lm("llama"), folder, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    stored = json.loads((folder / "tokenizer.json").read_text())
    vocabulary, merges = stored["model"]["vocab"], stored["model"]["merges"]
    # The rarest tokens give way, so that the model's table still fits.
    spare = sorted((i, t) for t, i in vocabulary.items() if len(t) > 3 and t.startswith("Ġ"))[-2:]
    for (i, token), label in zip(spare, "+-", strict=True):
        del vocabulary[token]
        merges[:] = [m for m in merges if "".join(m) != token and token not in m]
        vocabulary[f"Ġ{label}"] = i
        merges.append(["Ġ", label])
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    return folder


def test_labels_are_the_tokens_that_stand_in_the_text(tiny_lm: Tiny, tmp_path: Path) -> None:
    spaced = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    path = relabelled(tiny_lm, tmp_path, spaced)
    adapter = resolve(ModelSpec(model=str(path), adapter="step-label")).load()
    tokenizer = AutoTokenizer.from_pretrained(path)
    labels = tokenizer.convert_tokens_to_ids(["Ġ+", "Ġ-"])
    assert list(adapter.tokens()) == labels
    assert labels != tokenizer.convert_tokens_to_ids(["+", "-"])
    ids = tokenizer("user: q a\nassistant:", return_tensors="pt", add_special_tokens=False)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        p = model(ids).logits[0, -1, labels].softmax(-1)[0]
    found = adapter.forward(adapter.encode([unit("q", "a")])).outputs
    np.testing.assert_allclose(found, [[float(p)] * 4], atol=1e-5)


def test_labels_that_are_several_tokens(tiny_lm: Tiny) -> None:
    for labels in (["xyzzy", "plugh"], ["+", "++"], ["?+", "?-"], ["+", "+"]):
        spec = ModelSpec(model=str(tiny_lm("llama")), adapter="step-label", options={"labels": labels})
        with pytest.raises(InputError, match="not one token each where the chat template writes them"):
            resolve(spec).load()
    marked = spec.model_copy(update={"options": {"labels": ["+", "++"], "style": "marker"}})
    with pytest.raises(InputError, match="expected one"):
        resolve(marked).load()


def test_every_step_is_judged_behind_the_right_label_of_those_before(tiny_lm: Tiny) -> None:
    path = tiny_lm("llama")
    spec = ModelSpec(model=str(path), adapter="step-label", options={"labels": ["*", "-"]})
    adapter = resolve(spec).load()
    tokenizer = AutoTokenizer.from_pretrained(path)
    (encoded,) = adapter.encode([unit("q", "\n one\n\n two ")])
    talk = [("user", "q one"), ("assistant", "*"), ("user", "two"), ("assistant", "*")]
    text = tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in talk], tokenize=False)
    assert tokenizer.decode(encoded.ids) == text
    assert [tokenizer.decode([i]) for i in encoded.ids[list(encoded.step_ends)]] == ["*", "*"]


def test_what_is_cut_is_the_prompt_and_then_the_replys_end(tiny_lm: Tiny) -> None:
    path = tiny_lm("llama")
    whole, cut = unit("How do I bake a cake?", "a b\n\nc d\n\ne f"), []
    for max_length in (200, 40, 30, 18, 12):
        adapter = resolve(ModelSpec(model=str(path), adapter="step-label", max_length=max_length)).load()
        cut += adapter.encode([whole])
    assert [len(text.step_ends) for text in cut[:-1]] == sorted((len(t.step_ends) for t in cut[:-1]), reverse=True)
    text = adapter.tokenizer.decode(cut[1].ids)
    assert "a b" in text
    assert "bake" not in text
    for encoded in cut:
        assert isinstance(encoded, Unencodable) or all(
            encoded.ids[i] == cut[0].ids[cut[0].step_ends[0]] for i in encoded.step_ends
        )


def test_a_template_that_rewrites_its_labels(tiny_lm: Tiny, tmp_path: Path) -> None:
    path = relabelled(tiny_lm, tmp_path, "{% for m in messages %}{{ m['content'] | replace('+', 'yes') }}{% endfor %}")
    adapter = resolve(ModelSpec(model=str(path), adapter="step-label")).load()
    (refused,) = adapter.encode([unit("q", "a")])
    assert isinstance(refused, Unencodable)
    assert "rewrites its messages" in refused.error


def test_what_parts_steps_and_what_begins_a_text(tmp_path: Path) -> None:
    options = {"between": "\n\n", "separator": "\n"}
    folder = with_head(tmp_path, MLP, "llama", special=STEP)
    spec = ModelSpec(model=str(folder), adapter="step-token", options=options, template="raw", bos="double")
    adapter = resolve(spec).load()
    (encoded,) = adapter.encode([unit("q", "a\nb")])
    bos = adapter.tokenizer.bos_token
    assert adapter.tokenizer.decode(encoded.ids).removeprefix(bos * 2) == "q\na<extra_0>\n\nb<extra_0>"
    assert [adapter.tokenizer.decode([i]) for i in encoded.ids[list(encoded.step_ends)]] == ["<extra_0>"] * 2
