"""Where weights go: straight to one GPU, spread over all, or into the CPU's memory; and whether they fit there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import InputError
from harness.models import sniff
from harness.models.base import Resolved
from harness.models.files import ModelFiles
from harness.models.memory import available, require_room
from harness.models.quantised import bytes_a_weight, method

ALONE = 0.85
"""Part of a GPU's free memory that weights may take if others could take some of them: a batch needs the rest."""

TOGETHER = 0.95
"""Part of all free memory that weights may take where there is nowhere else to go."""

ONE_DEVICE = frozenset({"flex_attention"})
"""Attention implementations that cannot run in a model that lies on several GPUs."""


def places(resolved: Resolved) -> dict[str, Any]:
    """Where weights go, as arguments of `from_pretrained`: straight to one GPU, spread over all, or (none) to the CPU.

    Device `cuda` stands for the first GPU, or all of them where it is too small; `cuda:N` for that one alone.
    Raises InputError where the weights do not fit.
    """
    import torch

    if resolved.backend != "cuda":
        require_room(weight_bytes(resolved), available(), resolved.name)
        return {}
    _, _, number = resolved.device.partition(":")
    gpus = [int(number)] if number else list(range(torch.cuda.device_count()))
    try:
        room = placement(weight_bytes(resolved), gpus, lambda gpu: torch.cuda.mem_get_info(gpu)[0])
    except InputError as error:
        raise InputError(f"{resolved.name}: {error}") from error
    if len(room) == 1:
        return {"device_map": {"": next(iter(room))}}
    if resolved.spec.attn_implementation in ONE_DEVICE:
        raise InputError(
            f"{resolved.name} needs {len(room)} GPUs, and {resolved.spec.attn_implementation} works on one: its mask is a "
            "function of tensors that stay where they are; use attn_implementation: sdpa, or a larger GPU"
        )
    return {"device_map": "auto", "max_memory": room}


def placement(weights: int, gpus: Sequence[int], free: Callable[[int], int]) -> dict[int, int]:
    """Which GPUs take weights of so many bytes, and how many bytes each may take: the first if it has room, else all.

    `free` says how many bytes a GPU has left; it is asked of the others only where the first is too small.
    Raises InputError where all of them are.
    """
    first = gpus[0]
    if weights <= ALONE * free(first):
        return {first: int(ALONE * free(first))}
    room = {gpu: int(TOGETHER * free(gpu)) for gpu in gpus}
    if weights > sum(room.values()):
        raise InputError(
            f"the weights take {weights / 1e9:.1f} GB and {len(gpus)} GPU(s) have {sum(map(free, gpus)) / 1e9:.1f} GB free, "
            f"of which weights may fill {TOGETHER:.0%}; use more or larger GPUs, --dtype bfloat16, or --device cpu"
        )
    return room


def weight_bytes(resolved: Resolved) -> int:
    """Bytes of the weights once loaded: the files' size, converted from the number format the config names.

    Weights that are stored quantised stay as they are; those that are quantised while they are loaded take what that leaves.
    """
    import torch

    files, spec = ModelFiles.of(resolved), resolved.spec
    size = sum(path.stat().st_size for path in files.weights())
    if method(files.config()) is not None:
        return size
    loaded = getattr(torch, spec.dtype)
    stored = getattr(torch, sniff.stored_dtype(files.config()), loaded)
    return int(size * (bytes_a_weight(spec.quantization) if spec.quantization else loaded.itemsize)) // stored.itemsize


def require_resident(resolved: Resolved, model: Any) -> None:
    """Layers are not divisible: where they leave gaps, transformers would quietly read the last ones from disk for every batch."""
    spilled = [name for name, place in getattr(model, "hf_device_map", {}).items() if place in ("cpu", "disk")]
    if resolved.backend == "cuda" and spilled:
        raise InputError(
            f"{resolved.name}: the GPUs' free memory holds all but {', '.join(spilled[:3])}; expected all of it: use more or "
            "larger GPUs, or --device cpu"
        )
