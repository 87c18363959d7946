"""Model folders: the shared encoder, and decoders with random weights and a tokenizer trained on the texts at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.preference import Unit
from harness.testing.tiny import CHAT, tiny_model

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 12,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "intermediate_size": 1536,
    "max_position_embeddings": 2048,
}
"""The decoder of the CPU rows."""
VOCABULARY = 8000
SPECIAL = {"pad_token": "<pad>", "eos_token": "<|end|>"}
PAIR = "model: .\nadapter: sequence-classification\ntemplate: {pair: hh}\ndtype: float32\n"


def encoder(shared: Path, scratch: Path) -> Path:
    """The shared MiniLM reward model, or a random one of the same shape: 6 layers, 384 wide, 512 positions."""
    real = shared / "models" / "minilm-hh-helpful-s0"
    if real.is_dir():
        return real
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return tiny_encoder(scratch / "encoder", positions=512, initializer_range=0.02, **shape)


def tiny_encoder(path: Path, positions: int = 128, **shape: Any) -> Path:
    """A random encoder that reads pairs of at most `positions` tokens; by default two layers, 32 wide."""
    from transformers import AutoTokenizer

    folder = tiny_model(path, "bert", max_position_embeddings=positions, **shape)
    AutoTokenizer.from_pretrained(folder, model_max_length=positions).save_pretrained(folder)
    (folder / "reward_model.yaml").write_text(PAIR)
    return folder


def decoder(
    path: Path, units: Iterable[Unit], shape: Mapping[str, Any], dtype: str = "float32", device: str = "cpu"
) -> Path:
    """A random one-label decoder of this shape (`model_type` and its config's keys) with its tokenizer; returns `path`.

    The weights are drawn on `device`, where a large model is drawn in seconds.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = byte_level(m.content for u in units for m in u.conversation)
    settings = {"vocab_size": len(tokenizer), "num_labels": 1, "pad_token_id": tokenizer.pad_token_id, **shape}
    config = AutoConfig.for_model(**settings)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def byte_level(texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer of at most 8,000 entries trained on `texts`, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<|start|>", "<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
    wrapped.chat_template = CHAT
    return wrapped
