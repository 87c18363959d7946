"""Tiny checkpoints as their authors write them: a body, another head, config entries, a tokenizer of their kind."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DebertaV2Model,
    DebertaV2Tokenizer,
    T5Tokenizer,
)

from harness.testing.tiny import COMMON, tiny_model

WORDS = ["the", "cat", "sat", "on", "mat", "yes", "no", "what", "is", "it"]
PIECES = [("▁", -3.0), *((f"▁{word}", -5.0) for word in WORDS), *((c, -8.0) for c in (*string.printable[:95], "\n"))]
MARKS = ["<|source|>", "<|candidate1|>", "<|candidate2|>"]
STEP = "<extra_0>"


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, the same every time."""
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_head(
    folder: Path,
    heads: dict[str, torch.Tensor],
    family: str = "llama",
    side: str = "",
    tokens: dict[str, str | None] | None = None,
    special: str = "",
    **config: object,
) -> Path:
    """A tiny model's body with other tensors, in `side` if that names a file, and config entries; its tokenizer changed.

    `tokens` are attributes of the tokenizer, `special` a token that it learns beside its own.
    """
    source = tiny_model(folder / "source", family)
    tokenizer = AutoTokenizer.from_pretrained(source)
    for name, value in (tokens or {}).items():
        setattr(tokenizer, name, value)
    if special:
        tokenizer.add_special_tokens({"additional_special_tokens": [special]})
    tokenizer.save_pretrained(folder)
    stored = load_file(source / "model.safetensors")
    body = {name: tensor for name, tensor in stored.items() if not name.startswith("score.")}
    table = body["model.embed_tokens.weight"]
    body["model.embed_tokens.weight"] = torch.cat([table, random(len(tokenizer) - len(table), 32)])
    settings = json.loads((source / "config.json").read_text()) | {"vocab_size": len(tokenizer)}
    (folder / "config.json").write_text(json.dumps(settings | config))
    files = {"model.safetensors": body if side else body | heads} | ({side: heads} if side else {})
    for name, tensors in files.items():
        save_file(tensors, folder / name, metadata={"format": "pt"})
    return folder


def pair_rm(folder: Path) -> Path:
    """A tiny PairRM, its tensors named as in llm-blender/PairRM-hf."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    tokenizer = DebertaV2Tokenizer(vocab=[*((p, 0.0) for p in special), *PIECES], unk_id=3)
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    tokenizer.save_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(MARKS)
    config = AutoConfig.for_model(
        "deberta-v2", **COMMON, vocab_size=len(tokenizer), relative_attention=True, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, type_vocab_size=0, n_tasks=2, drop_out=0.05,
        source_prefix_id=ids[0], cand1_prefix_id=ids[1], cand2_prefix_id=ids[2],
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = DebertaV2Model(config)
        head = torch.nn.ModuleDict({"1": torch.nn.Linear(64, 32), "4": torch.nn.Linear(32, 2)})
    config.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text()) | {"architectures": ["DebertaV2PairRM"]}
    (folder / "config.json").write_text(json.dumps(settings))
    tensors = {f"pretrained_model.{n}": t for n, t in body.state_dict().items()}
    tensors |= {f"head_layer.{n}": t for n, t in head.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def steam_shp(folder: Path, tied: bool = True) -> Path:
    """A tiny Flan-T5."""
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = T5Tokenizer(vocab=[*((p, 0.0) for p in special), *PIECES, ("▁A", -5.0), ("▁B", -5.0)], extra_ids=0)
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(
        "t5", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=1, vocab_size=len(tokenizer), tie_word_embeddings=tied, feed_forward_proj="gated-gelu",
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder
