"""Quantised weights: only where a spec says so, because they are another model than the one that was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import InputError
from harness.models.spec import ModelSpec

METHOD = "quant_method"


def require_consent(spec: ModelSpec, config: Mapping[str, Any]) -> None:
    """Raise InputError where a checkpoint is quantised and the spec does not name its method, or names none at all."""
    own = method(config)
    said = None if spec.quantization is None else spec.quantization.get(METHOD)
    if spec.quantization is not None and not isinstance(said, str):
        raise InputError(
            f"{spec.model}: quantization has no {METHOD}; expected a mapping such as "
            f"{{{METHOD}: bitsandbytes, load_in_8bit: true}}"
        )
    if own is not None and said != own:
        raise InputError(
            f"{spec.model}: its weights are quantised by {own}, so that its scores are not those of the model that was "
            f"trained{'' if said is None else f', and its spec says {said}'}. Use the unquantised checkpoint, or put "
            f"'quantization: {{{METHOD}: {own}}}' into its spec"
        )


def method(config: Mapping[str, Any]) -> str | None:
    """By what method a checkpoint is quantised, by its config; None where it is not."""
    own = config.get("quantization_config")
    return None if not own else str(own.get(METHOD, "an unnamed method"))


def arguments(spec: ModelSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `from_pretrained` is told: the spec's quantisation, or nothing where the checkpoint brings its own.

    Raises InputError where transformers knows no such method or not these settings of it.
    """
    if spec.quantization is None or method(config) is not None:
        return {}
    from transformers.quantizers.auto import AutoQuantizationConfig

    try:
        return {"quantization_config": AutoQuantizationConfig.from_dict(dict(spec.quantization))}
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"{spec.model}: quantization: {str(error).splitlines()[0]}") from error
