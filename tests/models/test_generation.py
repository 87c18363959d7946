"""Answers of a language model in a folder against a loop of plain forward passes, one question at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from harness.errors import InputError
from harness.models.adapters.judge_pairwise import JudgePairwise
from harness.models.base import BatchTooLargeError, Encoded
from harness.models.generation import Generator
from harness.models.judge import Prompted
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.preference import Message
from tests.models.judging import usable
from tests.models.speaking import LENGTH, random_speaker

TALKS = [
    tuple(Message("user" if i % 2 == 0 else "assistant", f"{word} " * (3 * k + 1)) for i in range(2))
    for k, word in enumerate(["What", "is", "a cat", "no", "it", "<s> ok", "é", "Human"])
]
MOST = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A speaker whose checkpoint recommends to sample, and to avoid what was said."""
    recommended = {
        "do_sample": True,
        "temperature": 5.0,
        "top_k": 3,
        "repetition_penalty": 9.0,
        "no_repeat_ngram_size": 1,
    }
    return random_speaker(tmp_path_factory.mktemp("speaker"), ends=60, **recommended)


@pytest.fixture(scope="module")
def voice(folder: Path) -> Generator:
    return speaker(folder)


def speaker(folder: Path, **spec: Any) -> Generator:
    said = ModelSpec(model=str(folder), adapter="judge-pairwise", options={"max_new_tokens": MOST}, **spec)
    return Generator(resolve(said), Prompted("Grade {{ prompt }}: {{ response }}", pairs=False), MOST)


@pytest.fixture(scope="module")
def expected(folder: Path, voice: Generator) -> list[str | None]:
    """What a plain loop says to each question; None where it has not ended."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = set(GenerationConfig.from_pretrained(folder).eos_token_id)
    from tests.models.speaking import greedy

    found = []
    for text in usable(voice.encode(TALKS)):
        new, ended = greedy(model, text.ids.tolist(), ends, MOST)
        found.append(tokenizer.decode(new, skip_special_tokens=True) if ended else None)
    return found


def said(voice: Generator, batch: Any) -> list[str | None]:
    return [reply.text if reply.failure != "empty" else "" for reply in voice.answers(batch)]


def test_answers_are_those_of_a_plain_loop_padded_alone_and_in_any_order(voice, expected):
    texts = usable(voice.encode(TALKS))
    assert len({len(t) for t in texts}) > 4
    assert None in expected, "one is cut"
    assert len({len(text) for text in expected if text}) > 2, "they end at different places"
    assert voice.pads
    assert said(voice, texts) == expected
    assert said(voice, texts[::-1]) == expected[::-1]
    assert [said(voice, [t])[0] for t in texts] == expected


def test_a_model_that_minds_padding_gets_questions_of_one_length(folder, expected, monkeypatch):
    from transformers.generation import GenerationMixin

    generate, seen = GenerationMixin.generate, []

    def blind(self: Any, inputs: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        seen.append(bool(attention_mask.all()))
        return generate(self, inputs, attention_mask=torch.ones_like(attention_mask), **more)

    monkeypatch.setattr(GenerationMixin, "generate", blind)
    voice = speaker(folder)
    assert not voice.pads
    assert voice.describe()["pads_questions"] is False
    seen.clear()
    texts = usable(voice.encode([*TALKS, *TALKS]))
    assert said(voice, texts) == [*expected, *expected]
    assert all(seen)
    assert len(seen) == len({len(t) for t in texts})


def test_a_question_is_the_users_turn_and_an_answer_begins_behind_it(folder, voice):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (text,) = usable(voice.encode(TALKS[:1]))
    asked = [{"role": "user", "content": "Grade What : What "}]
    plain = tokenizer.apply_chat_template(asked, tokenize=True, add_generation_prompt=True)["input_ids"]
    assert text.ids.tolist() == plain
    special = usable(voice.encode(TALKS[5:6]))[0].ids.tolist()
    assert special.count(tokenizer.bos_token_id) == 1, "what a reply writes is no special token"


def test_without_a_chat_template_a_plain_question_is_asked(folder):
    voice = speaker(folder, template="raw")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (text,) = usable(voice.encode(TALKS[:1]))
    assert text.ids.tolist() == tokenizer("Grade What : What ").input_ids


def test_the_probability_of_a_first_token(folder, voice):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    texts = usable(voice.encode(TALKS))
    groups = [[11, 12], [13], [14, 200, 300]]
    with torch.no_grad():
        p = [model(torch.tensor([t.ids.tolist()])).logits[0, -1].softmax(-1) for t in texts]
    expected = np.array([[float(row[g].sum()) for g in groups] for row in p])
    assert np.abs(voice.first_token(texts, groups) - expected).max() < 1e-6


def test_room_is_left_for_an_answer_and_a_longer_question_is_cut(folder):
    voice = speaker(folder)
    assert voice.spec.max_length == LENGTH - MOST
    long = (Message("user", "What is it? " * 900), Message("assistant", "It is a cat."))
    (text,) = usable(voice.encode([long]))
    assert (len(text), text.truncated) == (LENGTH - MOST, True)
    assert speaker(folder, max_length=80).spec.max_length == 80
    with pytest.raises(InputError, match=r"1024 tokens in all; put a smaller 'max_new_tokens'"):
        JudgePairwise.prepare(
            ModelSpec(model="m", template="tokenizer", options={"max_new_tokens": LENGTH}),
            {"max_position_embeddings": LENGTH},
            None,
        )


def test_a_model_without_a_chat_template_says_so():
    with pytest.raises(InputError, match="no chat template"):
        JudgePairwise.prepare(ModelSpec(model="m"), {}, None)


def test_a_model_that_names_no_end_is_refused(folder, monkeypatch):
    voice = speaker(folder)
    voice.model.generation_config.eos_token_id = None
    voice.tokenizer.eos_token = None
    with pytest.raises(InputError, match="a token that ends an answer"):
        voice._ends()


def test_a_batch_too_large_for_memory_is_told(voice, monkeypatch):
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(voice.model, "generate", fail)
    with pytest.raises(BatchTooLargeError, match="planted"):
        voice.answers([Encoded(np.arange(5))])
