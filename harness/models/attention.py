"""Which attention kernel a forward pass really runs: torch picks one by mask, dtype and head size, and scores follow it."""

from __future__ import annotations

import re
from collections.abc import Callable

COMPILED = {"flex_attention": "flex"}
"""Implementations that are one compiled kernel: watching its operators would switch the compiler off."""

KERNELS = {
    "efficient_attention": "efficient",
    "cudnn_attention": "cudnn",
    "flash|fmha": "flash",
    "attention_math|_safe_softmax": "math",
}
"""Kernel by a part of its operator's name, the first that fits; `_safe_softmax` is the last step of torch's plain form."""

WRITTEN_OUT = "eager"
"""Attention a model writes out as products and a softmax of its own."""


def kernels(attention: str, run: Callable[[], object]) -> list[str]:
    """The attention kernels of one forward pass, sorted: `flash`, `efficient`, `cudnn`, `math`, `eager` or `flex`.

    `run` does the pass, in inference mode; `attention` is the model's attention implementation. Empty where
    the pass runs nothing that is attention, and not watched where the implementation is compiled.
    """
    if attention in COMPILED:
        return [COMPILED[attention]]
    names = _operators(run)
    found = {kernel for name in names if (kernel := _kernel(name)) is not None}
    if not found and any("softmax" in name for name in names):
        return [WRITTEN_OUT]
    return sorted(found)


def _kernel(operator: str) -> str | None:
    return next((kernel for part, kernel in KERNELS.items() if re.search(part, operator)), None)


def _operators(run: Callable[[], object]) -> set[str]:
    """Names of the operators that a call dispatches, the one that picks a kernel taken apart."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    chooser = torch.ops.aten.scaled_dot_product_attention.default
    seen: set[str] = set()

    class Watch(TorchDispatchMode):
        supports_higher_order_operators = True

        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.add(operator.name())
            if operator is not chooser:
                return operator(*args, **(kwargs or {}))
            with self:  # Its parts come back here.
                return operator.decompose(*args, **(kwargs or {}))

    with torch.inference_mode(), Watch():
        run()
    return seen
