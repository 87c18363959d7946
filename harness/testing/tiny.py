"""Tiny random reward models of many families, written to a folder: what tests of adapters and engine run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError

WORDS = (
    "how do i bake bread at home mix flour water yeast and salt let the dough rise for an hour then bake it hello "
    "what is a good way to learn the names of stars please tell me more about it sorry i can not help with that no yes "
    "human assistant system user the cat sat on the mat while rain fell on red and green leaves in early spring wet two"
)
CHAT = (
    "{% if bos_token %}{{ bos_token }}{% endif %}{% for m in messages %}"
    "{{ '<|start|>' + m['role'] + '\n' + m['content'] | trim + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
"""A chat template in the manner of real ones: BOS, a header token, trimmed contents, an end token."""


def _wordpiece() -> Any:
    """BERT's kind: lower case, [CLS] A [SEP] B [SEP] with segment ids."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    # A list of our own: the library's WordPiece trainer gives another order every time.
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    pieces = [*sorted(set(WORDS.split()) - set(characters)), *characters, *(f"##{c}" for c in characters)]
    vocabulary = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return _wrap(tokenizer, inputs, pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")


def _bytes(*, bos: bool = False, pair_end: bool = False, end: bool = False, chat: bool = True) -> Any:
    """GPT-2's kind: byte-level BPE. `bos` puts <s> in front, `end` </s> at the end, `pair_end` is RoBERTa's form."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<|start|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    front, back = ("<s> " if bos else ""), (" </s>" if end else "")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{front}$A{back}",
        pair=f"{front}$A </s> </s> $B </s>" if pair_end else f"{front}$A {front}$B{back}",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")],
    )
    wrapped = _wrap(tokenizer, pad="<pad>", eos="</s>", **({"bos": "<s>"} if bos else {}))
    wrapped.chat_template = CHAT if chat else None
    return wrapped


def _metaspace() -> Any:
    """Llama-2's kind: BPE on `▁` words with byte fallback and <s> in front."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    special = ["<unk>", "<s>", "</s>", "<|start|>", "<|end|>"]
    words = [f"▁{word}" for word in sorted(set(WORDS.split()))]
    merges = dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word)))
    pieces = [*(chr(c) for c in range(33, 127)), "▁", *("".join(pair) for pair in merges)]
    everything = dict.fromkeys([*special, *(f"<0x{i:02X}>" for i in range(256)), *pieces])
    vocabulary = {piece: i for i, piece in enumerate(everything)}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges), unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Replace("▁", " "), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    bos = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=bos)
    wrapped = _wrap(tokenizer, bos="<s>", eos="</s>", unk="<unk>")
    wrapped.chat_template = CHAT
    return wrapped


def _corpus() -> list[str]:
    return [
        WORDS,
        WORDS.title(),
        "\n\nHuman: What is it?\n\nAssistant: It is a cat, no? \n\nSystem: 0123456789 <>|[]/#",
    ]


def _wrap(tokenizer: Any, inputs: Sequence[str] = ("input_ids", "attention_mask"), **tokens: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    named = {f"{k}_token": v for k, v in tokens.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, model_input_names=list(inputs), **named
    )


@dataclass(frozen=True)
class Family:
    """A model type, the tokenizer that goes with it, and settings beyond the common ones."""

    model_type: str
    tokenizer: Callable[[], Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_positions: bool = True


COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}


def _llama_bytes() -> Any:
    return _bytes(bos=True)


FAMILIES: dict[str, Family] = {
    "bert": Family("bert", _wordpiece),
    "electra": Family("electra", _wordpiece, {"embedding_size": 32}),
    "distilbert": Family(
        "distilbert", _wordpiece, {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "sinusoidal_pos_embds": False}
    ),
    "deberta-v2": Family(
        "deberta-v2",
        _wordpiece,
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0},
    ),
    "modernbert": Family("modernbert", _wordpiece, {"global_attn_every_n_layers": 2, "local_attention": 16}),
    "xlnet": Family("xlnet", _wordpiece, {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}, False),
    "roberta": Family(
        "roberta", lambda: _bytes(bos=True, end=True, pair_end=True, chat=False), {"max_position_embeddings": 130}
    ),
    "llama": Family("llama", _llama_bytes, GROUPED),
    "llama-sp": Family("llama", _metaspace, GROUPED),
    "mistral": Family("mistral", _llama_bytes, {**GROUPED, "sliding_window": 16}),
    "qwen2": Family("qwen2", _bytes, {"num_key_value_heads": 2}),
    "qwen3": Family("qwen3", _bytes, GROUPED),
    "gemma2": Family("gemma2", _llama_bytes, {**GROUPED, "query_pre_attn_scalar": 8, "sliding_window": 16}),
    "gpt2": Family("gpt2", _bytes, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "gpt-neox": Family("gpt_neox", _bytes),
    "opt": Family("opt", lambda: _bytes(bos=True), {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "t5": Family(
        "t5", lambda: _bytes(end=True, chat=False), {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 1}
    ),
    "bart": Family(
        "bart",
        lambda: _bytes(bos=True, end=True, pair_end=False, chat=False),
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "init_std": 0.3},
    ),
}  # fmt: skip


def tiny_model(path: Path, family: str = "bert", num_labels: int = 1, seed: int = 0, **config: Any) -> Path:
    """Write a random sequence classifier of a family with its tokenizer to `path` (made if absent); returns `path`.

    `config` overrides settings of the model, `pad_token_id=None` among them. The same arguments give
    the same weights. Weights are large enough for scores of different texts to differ in the first
    digits. No network. Raises InputError for a family that is not in `FAMILIES`.
    """
    from transformers import AutoModelForSequenceClassification

    return _write(AutoModelForSequenceClassification, path, family, seed, num_labels=num_labels, **config)


def tiny_language_model(path: Path, family: str = "llama", seed: int = 0, **config: Any) -> Path:
    """The same as a causal language model, of a family that has one, or as T5's encoder-decoder."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    return _write(kind, path, family, seed, **config)


def _write(architecture: Any, path: Path, family: str, seed: int, **config: Any) -> Path:
    import torch
    from transformers import AutoConfig

    if family not in FAMILIES:
        raise InputError(f"no tiny model {family!r}; known: {', '.join(FAMILIES)}")
    kind = FAMILIES[family]
    tokenizer = kind.tokenizer()
    ids = {f"{t}_token_id": getattr(tokenizer, f"{t}_token_id") for t in ("bos", "eos", "pad", "cls", "sep")}
    common = {k: v for k, v in COMMON.items() if kind.has_positions or k != "max_position_embeddings"}
    settings = {**common, **ids, "vocab_size": len(tokenizer), **kind.settings, **config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = architecture.from_config(AutoConfig.for_model(kind.model_type, **settings))
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
