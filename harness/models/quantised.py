"""Quantised weights: only where a spec says so, because they are another model than the one that was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.errors import InputError
from harness.models.spec import ModelSpec

METHOD = "quant_method"
STORED = ("quantization_config", "compression_config")
"""Config keys of a checkpoint whose weights are quantised."""
FOUR = re.compile(r"(?<!\d)4(?!\d)")


def method(config: Mapping[str, Any]) -> str | None:
    """By what method a checkpoint is quantised, by its config; None where it is not."""
    own = next((config[key] for key in STORED if config.get(key)), None)
    # bitsandbytes once was the only one, and had no name.
    return None if own is None else str(own.get(METHOD) or "bitsandbytes")


def require_consent(spec: ModelSpec, config: Mapping[str, Any]) -> None:
    """Raise InputError where a checkpoint is quantised and the spec does not name its method, or says more than that."""
    own, said = method(config), spec.quantization
    if said is not None and not isinstance(said.get(METHOD), str):
        raise InputError(
            f"{spec.model}: quantization has no {METHOD}; expected a mapping such as "
            f"{{{METHOD}: bitsandbytes, load_in_8bit: true}}"
        )
    if own is not None and said != {METHOD: own}:
        raise InputError(
            f"{spec.model}: its weights are quantised by {own}, so that its scores are not those of the model that was "
            f"trained{'' if said is None else f', and its spec says {said}'}. Use the unquantised checkpoint, or put "
            f"'quantization: {{{METHOD}: {own}}}' into its spec: the rest is in its config"
        )


def require_mergeable(spec: ModelSpec, config: Mapping[str, Any]) -> None:
    """Raise InputError where an adapter would be merged into quantised weights, which rounds it away."""
    if spec.quantization is not None or method(config) is not None:
        raise InputError(
            f"{spec.model}: an adapter is merged into its base, and cannot be into weights quantised by "
            f"{method(config) or spec.quantization}. Name an unquantised base in a copy of its adapter_config.json, and leave "
            "quantization out of its spec"
        )


def arguments(spec: ModelSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `from_pretrained` is told: the spec's quantisation, or nothing where the checkpoint brings its own.

    Raises InputError where transformers knows no such method or not these settings of it.
    """
    if spec.quantization is None or method(config) is not None:
        return {}
    from transformers.quantizers.auto import AutoQuantizationConfig

    try:
        settings = AutoQuantizationConfig.from_dict(dict(spec.quantization))
        known = settings.to_dict()
    except Exception as error:  # Each method has a class of its own, which refuses in its own way.
        raise InputError(
            f"{spec.model}: quantization: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
    unknown = sorted(spec.quantization.keys() - known.keys())
    if unknown:
        raise InputError(
            f"{spec.model}: quantization: {spec.quantization[METHOD]} has no {unknown[0]}; its settings are "
            f"{', '.join(sorted(key for key in known if not key.startswith('_')))}"
        )
    return {"quantization_config": settings}


def bytes_a_weight(settings: Mapping[str, Any]) -> float:
    """How much of memory a weight takes that is quantised while it is loaded: half a byte where a setting speaks of 4 bits, else one."""
    return 0.5 if any(FOUR.search(f"{key}: {value}") for key, value in settings.items() if value) else 1.0


def require_plain_head(spec: ModelSpec, model: Any) -> None:
    """Raise InputError where a layer outside the transformer, such as a head, is quantised, or where nothing is."""
    if spec.quantization is None:
        return
    found = [name for name, tensor in model.named_parameters() if not _is_plain(tensor)]
    found += [name for name, tensor in model.named_buffers() if _is_packed(tensor)]
    if not found:
        raise InputError(
            f"{spec.model}: its spec asks for {spec.quantization}, and no weight was quantised; say in how many bits"
        )
    inside = f"{model.base_model_prefix}."
    outside = [name for name in found if not name.startswith(inside)] if model.base_model is not model else []
    if outside:
        raise InputError(
            f"{spec.model}: {spec.quantization[METHOD]} quantised {outside[0]}, which is no part of the transformer, and what gives a "
            "score must stay as it is: name it in the method's modules_to_not_convert (bitsandbytes: llm_int8_skip_modules)"
        )


def _is_plain(tensor: Any) -> bool:
    """Whether a parameter is an ordinary tensor of numbers of at least 16 bits."""
    import torch

    ordinary = type(tensor) is torch.nn.Parameter and type(tensor.data) is torch.Tensor
    return ordinary and tensor.is_floating_point() and tensor.dtype.itemsize > 1


def _is_packed(tensor: Any) -> bool:
    """Whether a buffer holds weights, packed into integers, as GPTQ and AWQ keep them; positions are longer integers."""
    return tensor.dim() == 2 and not tensor.is_floating_point() and 1 <= tensor.dtype.itemsize <= 4
