"""What kind of model lies in a folder: read from its config and the names of its tensors, never from its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from harness.errors import InputError

HEADS = frozenset({"score", "classifier", "classification_head", "logits_proj", "sequence_summary"})
"""Parts of tensor names that are a sequence classifier's head."""

OTHER_HEADS = {
    "v_head": "a value head, which 'adapter: value-head' reads",
    "value_head": "a value head, which 'adapter: linear-head' reads",
    "regression_head": "a regression head, which 'adapter: ultra-rm' reads",
    "regression_layer": "a multi-objective regression layer, which 'adapter: armo-rm' reads",
    "score_head": "a score head, which 'adapter: beaver' reads",
    "lm_head": "a language-model head, which 'adapter: causal-logit' reads where a token's logit is the score",
}
"""Parts of tensor names that are another kind's head, and what to write for it."""

POSITIONS_AFTER_PAD = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text", "longformer",
     "ibert", "mpnet", "xmod"}
)  # fmt: skip
"""Model types whose first position is the one after the pad id: that many fewer fit."""

WITHOUT_SDPA = frozenset(
    {"big_bird", "bigbird_pegasus", "bloom", "canine", "convbert", "deberta", "deberta-v2", "flaubert", "fnet", "funnel",
     "gemma2", "gpt_neo", "gpt_oss", "gptj", "ibert", "lilt", "longformer", "luke", "markuplm", "megatron-bert", "mpnet",
     "mpt", "mra", "mvp", "nystromformer", "openai-gpt", "perceiver", "reformer", "rembert", "roformer", "squeezebert",
     "t5gemma", "xlm", "xlnet", "yoso"}
)  # fmt: skip
"""Model types for which transformers has no scaled-dot-product attention (soft-capped or relative scores)."""


WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window", "local_attention")
"""Config keys that bound how far back a layer sees."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises InputError where the file cannot be read or holds something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a classifier's outputs, in order; transformers means two where a config says nothing."""
    names = config.get("id2label")
    if isinstance(names, dict) and names:
        return tuple(str(names[k]) for k in sorted(names, key=int))
    return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2)))


def stored_dtype(config: Mapping[str, Any]) -> str:
    """Number format of the checkpoint by its config, `float32` where it says nothing."""
    inner = text_config(config)
    found = (c.get(key) for c in (config, inner) for key in ("dtype", "torch_dtype"))
    return str(next((f for f in found if f), "float32")).removeprefix("torch.")


def position_limit(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int | None:
    """Longest input in tokens by the config and the tokenizer's config, the smaller of the two; None if neither says."""
    inner = text_config(config)
    keys = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    limits = [next((int(inner[k]) for k in keys if isinstance(inner.get(k), int) and inner[k] > 0), None)]
    if limits[0] is not None and config.get("model_type") in POSITIONS_AFTER_PAD:
        limits[0] -= int(config.get("pad_token_id") or 0) + 1
    # Tokenizers without a limit carry a huge number.
    stated = tokenizer.get("model_max_length")
    limits.append(int(stated) if isinstance(stated, int | float) and stated < 1e9 else None)
    return min((n for n in limits if n), default=None)


def default_attention(config: Mapping[str, Any]) -> str:
    """`sdpa`, or `eager` for families that have no scaled-dot-product form."""
    types = {config.get("model_type"), text_config(config).get("model_type")}
    return "eager" if types & WITHOUT_SDPA else "sdpa"


def attention_window(config: Mapping[str, Any]) -> int | None:
    """How many tokens back every layer of a model sees: the smallest window of any layer, 0 where one is no attention at all.

    None where all layers see everything. A text no longer than the window is attended to whole.
    """
    inner = text_config(config)
    if set(inner.get("layer_types") or ()) - {"full_attention", "sliding_attention", "chunked_attention"}:
        return 0
    windows = [inner.get(key) for key in WINDOWS]
    return min((w for w in windows if isinstance(w, int)), default=None)


def tensor_names(weights: list[Path]) -> set[str]:
    """Names of the tensors in safetensors files, from their headers alone; raises InputError for a broken file."""
    return set(tensor_shapes(weights))


def tensor_shapes(weights: list[Path]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in safetensors files by name, from their headers alone; raises InputError for a broken file."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in weights:
        try:
            with safe_open(path, framework="numpy") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a whole safetensors file ({error}); download it again") from error
    return found


def has_other_head(names: Set[str]) -> bool:
    """Whether another kind's head is stored, and none of a classifier; a language model's says nothing."""
    parts = {part for name in names for part in name.split(".")}
    return not parts & HEADS and bool(parts & OTHER_HEADS.keys() - {"lm_head"})


def require_head(names: Set[str], source: str) -> None:
    """Raise InputError, naming the tensors that are absent and what is there instead, if no classifier head is stored."""
    parts = {part for name in names for part in name.split(".")}
    if parts & HEADS:
        return
    others = [f"{name} ({what})" for name, what in OTHER_HEADS.items() if name in parts]
    instead = f"it has {', '.join(others)} instead" if others else "it has no other head either"
    raise InputError(
        f"{source}: no head: neither score.weight nor classifier.weight is in the checkpoint, so its scores would be "
        f"random; {instead}. Use the checkpoint that was saved with its reward head"
    )
