"""Texts, their ids and their last states by plain transformers, one text at a time: what adapters of heads are held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from harness.testing.conformance import check_adapter
from tests.models.conftest import unit

TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that. " * 2),
    unit("Hello", "Yes."),
]
TIGHT = {"atol": 1e-5, "rtol": 0}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(folder: Path) -> LlamaModel:
    """The transformer of a checkpoint in float32, tensor by tensor."""
    model = LlamaModel(LlamaConfig.from_pretrained(folder))
    stored = {n: t.float() for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}
    model.load_state_dict({n.removeprefix("model."): t for n, t in stored.items() if n.startswith("model.")})
    return model.float().eval()


def chats(folder: Path, texts: Any = TEXTS) -> list[str]:
    """Texts as the tokenizer's chat template writes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [[{"role": m.role, "content": m.content} for m in u.conversation] for u in texts]
    return [str(tokenizer.apply_chat_template(turn, tokenize=False)) for turn in turns]


def ids_of(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def last_states(model: LlamaModel, ids: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([model(torch.tensor([row])).last_hidden_state[0, -1] for row in ids])


def scores(adapter: Any) -> np.ndarray:
    check_adapter(adapter, TEXTS)
    return np.asarray(adapter.forward(adapter.encode(TEXTS)).outputs[:, 0])
