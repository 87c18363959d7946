"""A score never depends on its batch: any budget, any order, alone or behind a shared prefix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.models.adapters.sequence_classification import SequenceClassifier
from harness.models.base import Resolved
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.tree import grow
from harness.testing.tiny import tiny_model
from tests.engine.fakes import unit

WINDOW = {"sliding_window": 64}
MODELS: dict[str, tuple[object, dict[str, int]]] = {
    "bert": ({"pair": "plain"}, {}),
    "llama": ("tokenizer", {}),
    "gpt2": ("tokenizer", {}),
    "qwen3": ("tokenizer", {}),
    "gpt-neox": ("tokenizer", {}),
    "mistral": ("tokenizer", WINDOW),
    "gemma2": ("tokenizer", WINDOW),
}
WORDS = [
    "how",
    "do",
    "i",
    "bake",
    "bread",
    "at",
    "home",
    "mix",
    "flour",
    "water",
    "yeast",
    "and",
    "salt",
    "hello",
    "no",
    "yes",
    "rain",
]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, 1 + (7 * i) % 45)) for i in range(20)]
BRANCHES = [f"{text} {more}" for text in TEXTS[1::2] for more in ("and then home", "and salt no")]
"""Texts that continue others, so that prefixes are shared at several depths."""
UNITS = [unit(text, item=str(i)) for i, text in enumerate(TEXTS + BRANCHES)]


@dataclass
class Model:
    """A tiny model with the scores stock transformers gives one text at a time."""

    family: str
    adapter: SequenceClassifier
    resolved: Resolved
    expected: np.ndarray

    def engine(self, place: Path, budget: int) -> Engine:
        return Engine(replace(self.resolved, instance=self.adapter), ScoreStore(place / "s.sqlite"), budget=budget)

    def score(self, units, place: Path, budget: int) -> np.ndarray:
        engine = self.engine(place, budget)
        engine.ensure(Job(u) for u in units)
        return np.array([engine.outputs(Job(u)).outputs[0] for u in units])


@pytest.fixture(scope="module", params=list(MODELS))
def model(request, tmp_path_factory) -> Model:
    template, settings = MODELS[request.param]
    path = tiny_model(tmp_path_factory.mktemp(request.param) / "model", request.param, **settings)
    resolved = resolve(ModelSpec(model=str(path), template=template), device="cpu")
    adapter = resolved.load()
    attention = adapter.model.config._attn_implementation
    plain = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation=attention)
    expected = []
    for e in adapter.encode(UNITS):
        types = {} if e.type_ids is None else {"token_type_ids": torch.tensor(e.type_ids.astype(int))[None]}
        with torch.no_grad():
            logits = plain.eval()(input_ids=torch.tensor(e.ids.astype(int))[None], **types).logits
        expected.append(logits[0, 0].item())
    return Model(request.param, adapter, resolved, np.array(expected))


@settings(max_examples=10, deadline=None)
@given(st.integers(8, 3000), st.randoms(use_true_random=False))
def test_scores_agree_with_one_text_at_a_time(model, tmp_path_factory, budget, random):
    order = list(range(len(UNITS)))
    random.shuffle(order)
    found = model.score([UNITS[i] for i in order], tmp_path_factory.mktemp("s"), budget)
    assert np.abs(found - model.expected[order]).max() < 1e-5
    assert model.expected.std() > 0.01


def test_a_batch_in_bits_and_a_batch_at_once_agree(model, tmp_path):
    whole = model.score(UNITS, tmp_path, 3000)
    encoded = model.adapter.encode(UNITS)
    alone = np.concatenate([model.adapter.forward([e]).outputs[:, 0] for e in encoded])
    assert np.abs(whole - alone).max() < 1e-5
    assert np.abs(model.adapter.forward(encoded).outputs[:, 0] - alone).max() < 1e-5


def test_prefixes_are_shared_by_causal_models_within_their_window(model, tmp_path):
    engine = model.engine(tmp_path, 3000)
    engine.ensure(Job(u) for u in UNITS)
    lengths = [engine.request(Job(u)).n_tokens for u in UNITS]
    if model.family == "bert":
        assert engine.timing.packed == engine.timing.tokens
    else:
        assert max(lengths) > WINDOW["sliding_window"]
        assert engine.timing.packed < 0.9 * engine.timing.tokens == 0.9 * sum(lengths)
    assert model.adapter.shares == {"bert": 0, "mistral": 64, "gemma2": 64}.get(model.family, 128)


def test_a_text_longer_than_the_window_would_be_wrong_in_a_shared_row_and_is_refused(model):
    if not MODELS[model.family][1]:
        pytest.skip("this family has no sliding window")
    encoded = [e for e in model.adapter.encode(UNITS) if len(e) > WINDOW["sliding_window"]][:2]
    tree = grow(encoded)
    with pytest.raises(ValueError, match="exact only up to 64"):
        model.adapter.forward_trees([tree])
    model.adapter.shares, kept = 128, model.adapter.shares
    wrong = model.adapter.forward_trees([tree]).outputs[:, 0]
    model.adapter.shares = kept
    alone = [model.adapter.forward([e]).outputs[0, 0] for e in tree.texts]
    assert np.abs(wrong - alone).max() > 0.1


def test_only_what_is_read_is_computed_in_the_last_layer(model, tmp_path):
    assert model.adapter.last_layer
    inside = model.adapter.last_layer[-1]
    rows = []
    hook = inside.register_forward_hook(lambda _, args, out: rows.append(args[0].shape[:-1].numel()))
    model.adapter.forward(model.adapter.encode(UNITS[:4]))
    hook.remove()
    assert rows == [4]
