"""PEFT adapters: what lies in such a folder, what it makes of its base's config, and how it is merged into the base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.sniff import HEADS, read_json, tensor_shapes, text_config

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PREFIX = "base_model.model."
"""What peft writes in front of the names of the model it was put on."""

CLASSES = {"SEQ_CLS": "ForSequenceClassification", "TOKEN_CLS": "ForTokenClassification"}
"""What a model of a `task_type` is called that has a head of its own."""

CHANGES = {"ADALORA": "lora_", "LOHA": "hada_"}
"""How names of changes begin where that is not the `peft_type`."""

EMBEDDINGS = frozenset({"embed_tokens", "word_embeddings", "wte", "embed_in"})
"""What models call the table of their tokens, one row a token."""

TOLD = ("num_labels", "pad_token_id")
"""Entries of the config that transformers is told, because the base's does not say them."""


def is_adapter(root: Path) -> bool:
    """Whether a folder holds an adapter; raises InputError where it also holds a whole model, onto which transformers would put it."""
    found = (root / CONFIG).is_file()
    if found and (root / "config.json").is_file():
        raise InputError(
            f"{root} has both config.json and {CONFIG}, so it is not clear whether the adapter is already part of the model; "
            f"give a folder without {CONFIG} for the whole model as it is, or one without config.json for the adapter on its base"
        )
    return found


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
    if near.is_dir():
        return str(near), None
    return base, None if Path(base).is_dir() else config.get("revision")


def plain_name(name: str) -> str:
    """A tensor's name in the model the adapter is put on."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".")


def whole_shapes(root: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that an adapter brings whole, such as a head, by their names in the model."""
    if (root / WEIGHTS).is_file():
        shapes = tensor_shapes([root / WEIGHTS])
    else:
        shapes = {name: tuple(tensor.shape) for name, tensor in _read(root).items()}
    starts = _starts(root)
    return {plain_name(name): shape for name, shape in shapes.items() if not _is_change(name, starts)}


def over(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The base's config as the adapter changes it: its class, as many outputs and tokens as it brings, its pad token.

    Raises InputError where it was trained on a class with a head, and neither it nor its base brings one.
    """
    changes: dict[str, Any] = {}
    brought, kind = whole_shapes(root), _kind(root)
    named = [str(a) for a in config.get("architectures") or ()]
    heads = [s for n, s in brought.items() if len(s) == 2 and set(n.split(".")) & HEADS]
    if kind is not None:
        if not heads and not any(a.endswith(kind) for a in named):
            raise InputError(_headless(root, named, brought))
        family = re.sub(r"(For\w+|LMHeadModel|Model)$", "", named[0]) if named else "Base"
        changes["architectures"] = [f"{family}{kind}"]
        pad = _pad_token(root) if text_config(config).get("pad_token_id") is None else None
        changes |= {} if pad is None else {"pad_token_id": pad}
    if heads:
        changes["num_labels"] = min(shape[0] for shape in heads)
    tables = [
        shape[0] for name, shape in brought.items() if name.split(".")[-2:-1] and name.split(".")[-2] in EMBEDDINGS
    ]
    if tables and "vocab_size" in config:
        changes["vocab_size"] = tables[0]
    stale = {"id2label", "label2id"} if heads else set()
    return {key: value for key, value in config.items() if key not in stale} | changes


def hint(root: Path) -> str:
    """What to do about an adapter of which nothing shows that it is a reward model's."""
    task = read_json(root / CONFIG).get("task_type")
    return (
        f". {root} is a PEFT adapter with task_type {task}, and neither it nor its base brings a reward head. If it was "
        "trained with one, that was not saved: peft saves it where task_type is SEQ_CLS or modules_to_save names it"
    )


def merged(model: Any, root: Path, name: str) -> set[str]:
    """Put an adapter into a model's weights; returns the names of the model's tensors that it brought whole.

    What it brings whole replaces the model's own; its changes are added by the peft library. A head that the model does not
    have is left where it is. Raises InputError where peft is not installed, where its kind of adapter is no change of
    weights, or where a tensor of it finds no place.
    """
    try:
        from peft import PeftConfig, PeftModel, set_peft_model_state_dict
    except ImportError as error:
        raise InputError(f"{name} is a PEFT adapter; type: pip install 'reward-harness[peft]'") from error
    try:
        config = PeftConfig.from_pretrained(str(root))
        if config.is_prompt_learning:
            raise InputError(
                f"{name}: {config.peft_type.value} adds tokens to a text and changes no weights; it is not supported"
            )
        tensors, starts = {plain_name(n): t for n, t in _read(root).items()}, _starts(root)
        changes = {PREFIX + n: t for n, t in tensors.items() if _is_change(n, starts)}
        part, before = _part(model, changes)
        brought = _put(part, {n: t for n, t in tensors.items() if not _is_change(n, starts)}, name)
        config.modules_to_save, config.inference_mode = None, True
        adapted = PeftModel(part, config)
        account: Any = set_peft_model_state_dict(adapted, changes)
        _require_all_used(account.unexpected_keys, [k for k in account.missing_keys if _is_change(k, starts)], name)
        adapted.merge_and_unload()
    except (ValueError, RuntimeError, KeyError, OSError, TypeError, AttributeError) as error:
        raise InputError(f"{name}: the adapter cannot be put on its base: {str(error).splitlines()[0]}") from error
    return {before + n for n in brought}


def _kind(root: Path) -> str | None:
    """How the class ends that an adapter was trained on, where that has a head."""
    return CLASSES.get(str(read_json(root / CONFIG).get("task_type")))


def _starts(root: Path) -> tuple[str, ...]:
    """How a part of the name of a tensor begins that is a change of the base's, and not a whole one."""
    kind = str(read_json(root / CONFIG).get("peft_type"))
    return CHANGES.get(kind, f"{kind.lower()}_"), "trainable_tokens_"


def _is_change(name: str, starts: tuple[str, ...]) -> bool:
    return any(part.startswith(starts) for part in name.split("."))


def _read(root: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors; that a pickled file may be read was seen to before."""
    import torch
    from safetensors.torch import load_file

    if (root / WEIGHTS).is_file():
        return load_file(root / WEIGHTS)
    found: dict[str, torch.Tensor] = torch.load(root / PICKLED, map_location="cpu", weights_only=True)
    return found


def _headless(root: Path, named: list[str], brought: Mapping[str, Any]) -> str:
    kept = ", ".join(sorted(brought)[:3]) or "nothing but changes of its base"
    return (
        f"{root}: an adapter of a classifier without its head: neither it nor its base ({', '.join(named) or 'no architecture'}) "
        f"has one; beside changes it holds {kept}. Train it again with modules_to_save=['score'] (TRL's trainer may have "
        "saved lm_head instead), or merge it into its base with its head and give the merged folder"
    )


def _pad_token(root: Path) -> int | None:
    """The pad token of the tokenizer beside an adapter: a trainer tells it the model, and an adapter does not keep that."""
    config, tokenizer = root / "tokenizer_config.json", root / "tokenizer.json"
    if not (config.is_file() and tokenizer.is_file()):
        return None
    token = read_json(config).get("pad_token")
    text = token.get("content") if isinstance(token, dict) else token
    added = read_json(tokenizer).get("added_tokens") or []
    return next((int(t["id"]) for t in added if t.get("content") == text), None)


def _part(model: Any, changes: Mapping[str, Any]) -> tuple[Any, str]:
    """The part of a model whose names an adapter uses, itself or the transformer in it, and what the model puts in front of them."""
    first = {name.removeprefix(PREFIX).split(".")[0] for name in changes}
    if first & dict(model.named_children()).keys() or model.base_model is model:
        return model, ""
    return model.base_model, f"{model.base_model_prefix}."


def _put(part: Any, tensors: Mapping[str, torch.Tensor], name: str) -> set[str]:
    """Replace tensors of a model; returns which were there to be replaced. A longer table of tokens makes room for itself."""
    import torch

    table = part.get_input_embeddings()
    rows = next(
        (len(tensors[f"{n}.weight"]) for n, m in part.named_modules() if m is table and f"{n}.weight" in tensors), None
    )
    if rows not in (None, table.num_embeddings):
        part.resize_token_embeddings(rows, mean_resizing=False)
    own, children = part.state_dict(), dict(part.named_children())
    strangers = sorted(n for n in tensors if n not in own and n.split(".")[0] in children)
    _require_all_used(strangers, [], name)
    with torch.no_grad():
        for n in own.keys() & tensors.keys():
            if own[n].shape != tensors[n].shape:
                raise InputError(
                    f"{name}: the adapter brings {n} as {tuple(tensors[n].shape)}, its base has {tuple(own[n].shape)}"
                )
            own[n].copy_(tensors[n])
    return own.keys() & tensors.keys()


def _require_all_used(strangers: list[str], missing: list[str], name: str) -> None:
    """Raise InputError for the first tensor that found no place, or that a place is without."""
    if strangers:
        raise InputError(
            f"{name}: the adapter changes {plain_name(strangers[0])}, which its base does not have; give the right base"
        )
    if missing:
        raise InputError(f"{name}: the adapter lacks {plain_name(missing[0])}, which its {CONFIG} says it has")
