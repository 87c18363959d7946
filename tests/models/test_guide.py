"""What CONTRIBUTING says of adding a model and a kind of model, done word for word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from harness.config import LoadOptions
from harness.models.adapters.sequence_classification import SequenceClassifier
from harness.models.base import ADAPTERS
from harness.models.resolve import resolve
from harness.registry import load_plugin
from harness.score import score_file
from harness.testing.conformance import check_adapter
from tests.models.conftest import Tiny, unit

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
UNITS = [unit("Hello", "No."), unit("What is a star?", "I do not know."), unit("Hi", "The cat sat on the mat. " * 3)]


def example(language: str, mark: str) -> str:
    """The one block of the guide in a language that holds `mark`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if mark in block]
    return found


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    """The kind of the guide, registered for one test."""
    text = example("python", "@ADAPTERS.register")
    assert len(text.splitlines()) <= 50
    path = tmp_path / "mean_head.py"
    path.write_text(text, encoding="utf-8")
    load_plugin(path)
    yield path
    del ADAPTERS._objects["mean-head"]


def test_a_strangers_model_takes_a_file_of_ten_lines(tiny: Tiny, tmp_path: Path) -> None:
    text = example("yaml", "adapter: sequence-classification")
    assert len(text.splitlines()) <= 10
    spec, pairs, scores = (tmp_path / name for name in ("name.yaml", "pairs.jsonl", "scores.jsonl"))
    spec.write_text(text, encoding="utf-8")
    pairs.write_text(json.dumps({"prompt": "Hello", "chosen": "Yes.", "rejected": "No."}) + "\n", encoding="utf-8")
    score_file(str(tiny("llama")), pairs, scores, options=LoadOptions(spec=spec), store=tmp_path / "store.sqlite")
    row = json.loads(scores.read_text(encoding="utf-8"))
    adapter = resolve(tiny("llama"), spec=spec).load()
    assert isinstance(adapter, SequenceClassifier)
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    ids = tokenizer("<|user|>Hello<|end|><|assistant|>Yes.<|end|>")["input_ids"]
    with torch.no_grad():
        states = adapter.model.model(torch.tensor([ids])).last_hidden_state
        assert row["chosen_score"] == pytest.approx(float(adapter.model.score(states)[0, -1, 0]), abs=1e-5)


def test_a_new_kind_takes_a_file_of_fifty_lines(
    plugin: Path, load: Callable[..., Any], tiny: Tiny, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    body, tokenizer = load("llama").model, AutoTokenizer.from_pretrained(tiny("llama"))
    body.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weight = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    save_file({**body.state_dict(), "reward.weight": weight}, folder / "model.safetensors", metadata={"format": "pt"})
    resolved = resolve(folder)
    assert resolved.spec.adapter == "mean-head"
    adapter = resolved.load()
    check_adapter(adapter, UNITS)
    plain, expected = AutoModel.from_pretrained(folder, dtype=torch.float32), []
    for one in UNITS:
        messages = [{"role": m.role, "content": m.content} for m in one.conversation]
        inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            expected.append(float(plain(**inputs).last_hidden_state[0].mean(0) @ weight[0]))
    np.testing.assert_allclose(adapter.forward(adapter.encode(UNITS)).outputs[:, 0], expected, atol=1e-5)
