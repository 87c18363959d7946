"""Cosines of a tiny sentence encoder made here, and what becomes of them."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError, InputError
from harness.llm.ask import Reply
from harness.llm.kinds import kinds
from harness.llm.rewriter import Rewriter, rewrite
from harness.llm.similarity import compare, encoder
from tests.llm.rewriting import Scripted, items, reply, reworded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Random weights, mean of the token vectors."""
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel

    from harness.testing.tiny import _wordpiece

    path = tmp_path_factory.mktemp("encoder")
    tokenizer = _wordpiece()
    tokenizer.save_pretrained(path / "bert")
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(path / "bert")
    transformer = models.Transformer(str(path / "bert"), max_seq_length=64)
    pooling = models.Pooling(transformer.get_word_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(path / "st"))
    return path / "st"


def test_cosines_are_those_of_the_encoders_vectors_in_order(folder):
    from sentence_transformers import SentenceTransformer

    pairs = [("bake bread", "the cat sat"), ("the cat sat", "bake bread"), ("rain", "rain"), ("half \ud83d", "rain")]
    found = encoder(str(folder))(pairs)
    model = SentenceTransformer(str(folder), device="cpu")
    for (a, b), cosine in zip(pairs[:3], found, strict=False):
        u, v = model.encode([a, b])
        assert cosine == pytest.approx(float(u @ v / np.linalg.norm(u) / np.linalg.norm(v)), abs=1e-5)
    assert found[0] == pytest.approx(found[1])
    assert found[2] == pytest.approx(1.0)
    assert -1 <= found[3] <= 1
    assert encoder(str(folder))([]) == []


def test_what_is_no_encoder_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for name in (str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(InputError, match="cannot load the sentence encoder"):
            encoder(name)


def test_pickled_weights_are_never_loaded(folder, tmp_path):
    import shutil

    import torch
    from safetensors.torch import load_file

    shutil.copytree(folder, tmp_path / "st")
    for weights in (tmp_path / "st").rglob("*.safetensors"):
        torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
        weights.unlink()
    with pytest.raises(InputError, match="safetensors"):
        encoder(str(tmp_path / "st"))


def test_a_missing_library_is_one_line_with_what_to_type(monkeypatch):
    real = builtins.__import__

    def without(name, *more, **named):
        if name == "sentence_transformers":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HarnessError, match=r"pip install 'reward-harness\[rewrites\]'"):
        encoder("any")


def test_each_rewrite_gets_the_cosine_with_what_it_was_made_of_and_falls_below_the_floor_by_name():
    def answer(ask):
        text = reply(ask.turns[1].content)
        return Reply(ask.id, None, "cut") if "bad reply of number 1" in text else reworded(ask.turns[1].content)

    made = rewrite(items(2), Rewriter("m", Scripted(answer)), kinds("style:formal"))
    asked = []

    def similar(pairs):
        asked.extend(pairs)
        return [None if "number 1" in a else 0.69 if "good" in a else 0.7 for a, _ in pairs]

    found = compare(made, similar)
    assert [m.job for m in found] == [m.job for m in made]
    assert sorted(asked) == sorted((m.job.reply, m.row.rewritten) for m in made if m.row.rewritten is not None)
    for m in found:
        if m.row.rewritten is None or "number 1" in m.job.reply:
            assert (m.row.similarity, m.row.problems) == (None, ())
        elif "good" in m.job.reply:
            assert (m.row.similarity, m.row.problems) == (0.69, ("similarity",))
        else:
            assert (m.row.similarity, m.row.problems) == (0.7, ())
