"""PEFT adapters: what lies in such a folder, what it makes of its base's config, and how it is merged into the base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.models.sniff import HEADS, read_json, tensor_shapes

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PREFIX = "base_model.model."
LAYER = re.compile(r"\.lora_A\.weight$|\.lora_embedding_A$")
CLASSIFIER = "ForSequenceClassification"


def is_adapter(root: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (root / CONFIG).is_file() and not (root / "config.json").is_file()


def base_of(root: Path) -> tuple[str, str | None]:
    """The base model an adapter names, a folder or a Hub id, and its revision; a folder may be relative to the adapter's.

    Raises InputError where it names none.
    """
    config = read_json(root / CONFIG)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InputError(
            f"{root / CONFIG}: base_model_name_or_path is {base!r}; expected the folder or Hub id of the model it was trained on"
        )
    near = root / base
    return (str(near) if near.is_dir() else base), config.get("revision")


def plain_name(name: str) -> str:
    """A tensor's name in the model the adapter is put on."""
    return name.removeprefix(PREFIX)


def over(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The base's config as the adapter changes it: a classifier, with as many outputs as the head it brings.

    Raises InputError for a classifier's adapter that brings no head where the base has none either.
    """
    if read_json(root / CONFIG).get("task_type") != "SEQ_CLS":
        return dict(config)
    named = [str(a) for a in config.get("architectures") or ()]
    if any(a.endswith(CLASSIFIER) for a in named):
        return dict(config)
    head = _head(root)
    if head is None:
        kept = sorted({plain_name(n) for n in tensor_shapes([root / WEIGHTS])} if (root / WEIGHTS).is_file() else ())
        raise InputError(
            f"{root}: an adapter of a classifier without its head: neither it nor its base ({', '.join(named) or 'no architecture'}) "
            f"has one; it holds {', '.join(kept[:3]) or 'no safetensors'} … Train it again with modules_to_save=['score'] (TRL's "
            "trainer may have saved lm_head instead), or merge it into its base with its head and give the merged folder"
        )
    family = re.sub(r"(ForCausalLM|LMHeadModel|Model|ForMaskedLM)$", "", named[0]) if named else "Base"
    labels = {str(i): f"LABEL_{i}" for i in range(head)}
    return {**config, "architectures": [f"{family}{CLASSIFIER}"], "id2label": labels, "num_labels": head}


def _names(root: Path) -> set[str]:
    if (root / WEIGHTS).is_file():
        return set(tensor_shapes([root / WEIGHTS]))
    import torch

    return set(torch.load(root / PICKLED, map_location="cpu", weights_only=True))


def _head(root: Path) -> int | None:
    """How many outputs the classifier's head among the adapter's tensors has; None where there is none."""
    path = root / WEIGHTS
    shapes = tensor_shapes([path]) if path.is_file() else {}
    heads = [shape for name, shape in shapes.items() if set(name.split(".")) & HEADS and name.endswith("weight")]
    return heads[-1][0] if heads else None


def merged(model: Any, root: Path, name: str) -> tuple[Any, set[str]]:
    """The model with an adapter merged into its weights, and the names of its tensors that the adapter brought whole.

    Raises InputError where peft is not installed or the adapter does not fit the model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise InputError(f"{name} is a PEFT adapter; type: pip install 'reward-harness[peft]'") from error
    stored = {plain_name(name) for name in _names(root)}
    modules = dict(model.named_modules())
    strangers = sorted(n for n in stored if LAYER.search(n) and LAYER.sub("", n) not in modules)
    if strangers:
        raise InputError(
            f"{name}: the adapter changes {strangers[0]}, which its base does not have; give the right base"
        )
    try:
        whole = PeftModel.from_pretrained(model, str(root), autocast_adapter_dtype=False).merge_and_unload()
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as error:
        raise InputError(f"{name}: the adapter cannot be put on its base: {str(error).splitlines()[0]}") from error
    return whole.eval().requires_grad_(False), {n for n in stored if ".lora_" not in n}
