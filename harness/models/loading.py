"""Weights into memory through transformers, with every tensor accounted for."""

from __future__ import annotations

from typing import Any

from harness.errors import InputError
from harness.models.base import Resolved


def load_tokenizer(resolved: Resolved) -> Any:
    """The model's tokenizer; raises InputError where its files are absent or broken."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolved.path, trust_remote_code=resolved.trust_remote_code)
    except Exception as error:  # Many kinds, from three libraries: all mean that the files are no tokenizer.
        raise InputError(f"{resolved.name}: its tokenizer cannot be loaded: {_first_line(error)}") from error


def load_classifier(resolved: Resolved) -> Any:
    """The model as a sequence classifier in evaluation mode, in the resolved dtype, on the resolved device.

    Raises InputError where tensors are missing or have another shape (a head that would be random),
    where the files cannot be read, or where the attention implementation does not exist for it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    spec = resolved.spec
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            str(resolved.path),
            dtype=getattr(torch, spec.dtype),
            attn_implementation=spec.attn_implementation,
            trust_remote_code=resolved.trust_remote_code,
            use_safetensors=None if resolved.allow_pickle else True,
            weights_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (ValueError, ImportError, OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{resolved.name} cannot be loaded: {_first_line(error)}") from error
    finally:
        if bar:
            logging.enable_progress_bar()
    _require_whole(resolved.name, info)
    model = model.to(resolved.device).eval().requires_grad_(False)
    assert model.dtype == getattr(torch, spec.dtype), f"asked for {spec.dtype}, loaded {model.dtype}"
    return model


def _require_whole(name: str, info: dict[str, Any]) -> None:
    """Every tensor of the model must come from the checkpoint: what does not would be random."""
    missing = sorted(info["missing_keys"])
    odd = sorted(str(k[0] if isinstance(k, tuple) else k) for k in info["mismatched_keys"])
    if not missing and not odd:
        return
    unused = sorted(info["unexpected_keys"])
    found = f"{', '.join(missing[:3])} missing" if missing else f"{', '.join(odd[:3])} of another shape"
    hint = f"; unused in the checkpoint: {', '.join(unused[:3])}" if unused else ""
    raise InputError(
        f"{name}: {found}, so scores would come from random weights{hint}. "
        "Use the checkpoint that was saved with its reward head, or an adapter of its kind"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
