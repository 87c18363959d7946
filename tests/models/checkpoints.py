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
    tokenizer.add_tokens([*MARKS, "<|candidate|>"])  # ordinary words to the tokenizer, as in the real one
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


def internlm2(folder: Path) -> Path:
    """A tiny InternLM2 reward model, its tensors named and fused as in internlm/internlm2-1_8b-reward."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(folder / "source", "llama"))
    tokenizer.save_pretrained(folder)
    shapes = {
        "attention.wqkv": (64, 32), "attention.wo": (32, 32), "feed_forward.w1": (48, 32), "feed_forward.w3": (48, 32),
        "feed_forward.w2": (32, 48), "attention_norm": (32,), "ffn_norm": (32,),
    }  # fmt: skip
    tensors = {
        f"model.layers.{i}.{name}.weight": 3 * random(*shape, seed=10 * i + j)
        for i in range(2)
        for j, (name, shape) in enumerate(shapes.items())
    }
    tensors |= {"model.tok_embeddings.weight": random(len(tokenizer), 32), "model.norm.weight": torch.ones(32)}
    save_file({**tensors, "v_head.weight": random(1, 32)}, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["InternLM2ForRewardModel"], "model_type": "internlm2", "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": len(tokenizer), "rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 128,
        "bias": False, "hidden_act": "silu", "reward_token_id": tokenizer.convert_tokens_to_ids("<|start|>"),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


CODE = """
from dataclasses import dataclass
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.utils import ModelOutput

class OwnConfig(LlamaConfig):
    model_type = "own"

@dataclass
class OwnOutput(ModelOutput):
    score: torch.Tensor = None
    parts: torch.Tensor = None
    states: torch.Tensor = None

class OwnModel(LlamaPreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = torch.nn.Linear(config.hidden_size, 2, bias=False)
        self.post_init()

    def forward(self, input_ids, attention_mask):
        states = self.model(input_ids, attention_mask).last_hidden_state
        parts = self.score(states.mean(1))  # of padding, too
        return OwnOutput(score=parts.sum(1), parts=parts, states=states)
"""


def own_code(folder: Path) -> Path:
    """A tiny Llama whose folder holds the class that runs it."""
    tiny_model(folder, "llama", num_labels=2)
    (folder / "own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    own = {"architectures": ["OwnModel"], "model_type": "own"}
    names = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | own | {"auto_map": names}))
    return folder
