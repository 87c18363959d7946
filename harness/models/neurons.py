"""Where a model's MLP neurons are, found by structure, and holding some of them at fixed values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.condition import Ablation, Condition
from harness.errors import InputError

if TYPE_CHECKING:
    import torch

Hook = Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]
"""What runs before a module: gets it and its arguments, returns the arguments it is to have."""

ATTENTION = re.compile("attn|attention", re.IGNORECASE)
RESIDUAL_WIDTH = ("hidden_size", "d_model", "n_embd", "dim")
"""What configurations call the width of the residual stream; the first one that is there counts."""
TOKENS_FIRST = frozenset({"xlnet"})
"""Model types whose layers work on (tokens, rows, width); all others on (rows, tokens, width)."""


@dataclass(frozen=True)
class Site:
    """The neurons of one layer: the `width` inputs of the linear module at `path`.

    `kind` is the name in `SITES` it was found under. `tokens_first` says that its input is
    (tokens, rows, width) instead of (rows, tokens, width).
    """

    path: str
    module: torch.nn.Module
    width: int
    kind: str = "mlp"
    tokens_first: bool = False


def locate(model: Any) -> tuple[Site, ...]:
    """The MLP down-projection of every layer, in order: its input is one number a neuron, also in gated MLPs.

    One rule for all families: among the linear modules in an item of a `ModuleList` that write to the
    residual stream (outputs as many as it is wide) and are not beneath attention, the one with most
    inputs, the last of several. An encoder-decoder gives the encoder's layers, then the decoder's (where
    position t holds the token before the encoder's t). Raises InputError where there is none, and for
    mixtures of experts, whose neurons are not inputs of one linear module.
    """
    modules = dict(model.named_modules())
    if any("experts" in path.split(".") for path in modules):
        raise InputError(
            f"{type(model).__name__} is a mixture of experts; neurons can be captured and ablated in models with one MLP a layer"
        )
    sizes = _linear_sizes(modules)
    width, layer_of = _residual_width(model.config), _layers(modules)
    tokens_first = model.config.model_type in TOKENS_FIRST
    found: dict[str, Site] = {}
    for path, (inputs, outputs) in sizes.items():
        layer = layer_of(path)
        if layer is None or outputs != width or ATTENTION.search(path.rpartition(".")[0]):
            continue
        if layer not in found or inputs >= found[layer].width:
            found[layer] = Site(path, modules[path], inputs, tokens_first=tokens_first)
    if not found:
        seen = [f"{path} ({i} to {o})" for path, (i, o) in sizes.items() if not ATTENTION.search(path)]
        raise InputError(
            f"{type(model).__name__}: no layer has an MLP whose last linear module writes to the residual stream of "
            f"{width}; linear modules outside attention: {', '.join(seen[:5]) or 'none'}. Neurons need another model"
        )
    return tuple(found.values())


SITES: dict[str, Callable[[Any], tuple[Site, ...]]] = {"mlp": locate}
"""Kinds of neurons a condition can name, and how they are found in a model."""


@contextmanager
def ablated(sites: Sequence[Site], condition: Condition) -> Iterator[None]:
    """While this lives, every neuron that `condition` names has its value at every token of every forward pass.

    Hooks work on a copy of the module's input, in its dtype. What is hooked later (an accumulator) sees the
    ablated values. Raises InputError for a kind of site, a layer or a neuron that the model does not have.
    """
    with hooked([pair for ablation in condition.ablations for pair in _holding(sites, ablation)]):
        yield


@contextmanager
def hooked(pairs: Iterable[tuple[Site, Hook]]) -> Iterator[None]:
    """While this lives, run each hook before its site's module, in the order given."""
    handles = []
    try:
        for site, hook in pairs:
            handles.append(site.module.register_forward_pre_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- finding --------------------------------------------------------------------------------------


def _residual_width(config: Any) -> int:
    text = config.get_text_config()
    for name in RESIDUAL_WIDTH:
        if getattr(text, name, None) is not None:
            return int(getattr(text, name))
    raise InputError(
        f"{type(text).__name__} has none of {', '.join(RESIDUAL_WIDTH)}, so its MLPs cannot be told from other layers"
    )


def _linear_sizes(modules: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every linear module, by path."""
    import torch
    from transformers.pytorch_utils import Conv1D

    names = {torch.nn.Linear: ("in_features", "out_features"), Conv1D: ("nx", "nf")}
    return {
        path: (getattr(module, inputs), getattr(module, outputs))
        for path, module in modules.items()
        for kind, (inputs, outputs) in names.items()
        if isinstance(module, kind)
    }


def _layers(modules: dict[str, Any]) -> Callable[[str], str | None]:
    """From a module's path to the layer it lies in: an item of an outermost `ModuleList`; None outside of all."""
    import torch

    # named_modules goes from the outside inwards, so the first list that contains a path is the outermost.
    lists = [path for path, module in modules.items() if isinstance(module, torch.nn.ModuleList)]

    def layer(path: str) -> str | None:
        outer = next((x for x in lists if path.startswith(f"{x}.")), None)
        return None if outer is None else f"{outer}.{path[len(outer) + 1 :].partition('.')[0]}"

    return layer


# --- holding --------------------------------------------------------------------------------------


def _holding(sites: Sequence[Site], ablation: Ablation) -> list[tuple[Site, Hook]]:
    """One hook a layer that `ablation` names."""
    if ablation.site not in SITES:
        raise InputError(f"unknown site {ablation.site!r} in an ablation; known: {', '.join(SITES)}")
    layers = [site for site in sites if site.kind == ablation.site]
    _require_present(layers, ablation)
    return [
        (layers[i], _holder(layers[i], ablation.neurons[ablation.layers == i], ablation.values[ablation.layers == i]))
        for i in np.unique(ablation.layers)
    ]


def _require_present(layers: Sequence[Site], ablation: Ablation) -> None:
    widths = np.array([site.width for site in layers])
    has_layer = ablation.layers < len(widths)
    has_neuron = has_layer.copy()
    has_neuron[has_layer] = ablation.neurons[has_layer] < widths[ablation.layers[has_layer]]
    if not has_neuron.all():
        i = int(np.argmin(has_neuron))
        raise InputError(
            f"neuron {ablation.neurons[i]} of layer {ablation.layers[i]} cannot be ablated: the model has {len(widths)} layers "
            f"of {'/'.join(map(str, sorted(set(widths.tolist()))))} neurons, both counted from 0"
        )


def _holder(site: Site, neurons: np.ndarray, values: np.ndarray) -> Hook:
    """A hook that replaces the listed columns of the module's input."""
    import torch

    mask = np.zeros(site.width, bool)
    held = np.zeros(site.width, np.float32)
    mask[neurons], held[neurons] = True, values
    device = next(site.module.parameters()).device
    with torch.inference_mode(False):  # tensors made under it could not be used where gradients are wanted
        where, what = torch.from_numpy(mask).to(device), torch.from_numpy(held).to(device)

    def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.where(where, what.to(args[0].dtype), args[0]), *args[1:])

    return hook
