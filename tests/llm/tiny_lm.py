"""A language model of a few thousand weights that answers one label whatever it is asked, and its untrained twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from harness.llm.schema import LABELS
from harness.testing.tiny import _bytes
from harness.testing.train import _one_thread

TEMPLATE = "{% for m in messages %}<|start|>{{ m['role'] + '\n' + m['content'] }}<|end|>{% endfor %}<|start|></s><s>"
"""Ends in as many fixed tokens as the model looks back: the window of its one layer never reaches the messages."""
WINDOW = 2

LABEL: dict[str, str | list[str]] = {
    name: [] if field.several else next(value for value in reversed(field.values) if value != "unclear")
    for name, field in reversed(LABELS.items())
}
"""A valid label, its fields in another order than the schema's."""


def write_models(folder: Path) -> tuple[Path, Path]:
    """Writes a model that always answers `LABEL` and one with random weights; returns their folders."""
    pieces = [f'"{name}": {json.dumps(value)}, ' for name, value in LABEL.items()]
    pieces = ["{" + pieces[0], *pieces[1:-1], pieces[-1].removesuffix(", ") + "}"]
    tokenizer = _bytes(chat=False)
    tokenizer.add_tokens(pieces)
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = 16384
    model = _untrained(len(tokenizer), tokenizer.convert_tokens_to_ids("<|end|>"))
    untrained = _save(folder / "untrained", model, tokenizer)
    with _one_thread():
        _train(model, tokenizer(f"<|start|></s><s>{''.join(pieces)}<|end|>", return_tensors="pt").input_ids)
    return _save(folder / "trained", model, tokenizer), untrained


def _untrained(vocabulary: int, end: int) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=16384, sliding_window=WINDOW,
        bos_token_id=None, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MistralForCausalLM(config)


def _train(model: Any, ids: torch.Tensor, most: int = 400) -> None:
    """Every token of the answer follows from the one before it; the header (three tokens) is given, not learned."""
    labels = ids.clone()
    labels[:, :3] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(most):
        loss = model(input_ids=ids, labels=labels).loss
        if loss < 1e-3:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError(f"the tiny model has not learned its answer in {most} steps: loss {loss:.3g}")


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
