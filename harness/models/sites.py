"""Where a model's neurons are, found by structure: one rule a kind of neuron, for every family."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.experts import at_experts, fused_experts

if TYPE_CHECKING:
    import torch

Change = Callable[["torch.Tensor"], "torch.Tensor"]
"""Gets the activations of a site's neurons in a forward pass and returns those it is to go on with."""

ATTENTION = re.compile("attn|attention", re.IGNORECASE)
RESIDUAL_WIDTH = ("hidden_size", "d_model", "n_embd", "dim")
"""What configurations call the width of the residual stream; the first one that is there counts."""
HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head")
"""What configurations call the number of attention heads; the first one that is there counts."""
TOKENS_FIRST = frozenset({"xlnet"})
"""Model types whose layers work on (tokens, rows, width); all others on (rows, tokens, width)."""


def at_input(module: Any, change: Change) -> Any:
    """Have `change` applied to the first argument of every call of `module`; returns what removes it again."""
    return module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))


def at_output(module: Any, change: Change) -> Any:
    """Have `change` applied to what every call of `module` returns; returns what removes it again."""
    return module.register_forward_hook(lambda _, args, output: change(output))


@dataclass(frozen=True)
class Site:
    """The `width` neurons of one layer, at one end (`attach`) of the module at `path`.

    `heads` is the number of attention heads that share the width: head h is columns [h*d, (h+1)*d) with
    d = width / heads; 0 where the neurons are no heads'. `tokens_first` says that activations are
    (tokens, rows, width) instead of (rows, tokens, width).
    """

    path: str
    module: torch.nn.Module
    width: int
    tokens_first: bool = False
    heads: int = 0
    attach: Callable[[Any, Change], Any] = at_input


def locate(model: Any) -> tuple[Site, ...]:
    """The MLP down-projection of every layer, in order: its input is one number a neuron, also in gated MLPs.

    One rule for all families: among the linear modules in an item of a `ModuleList` that write to the
    residual stream (outputs as many as it is wide) and are not beneath attention, the one with most
    inputs, the last of several. A layer's experts are a site of their own, beside an MLP that all tokens share:
    neuron j of expert e is number e * width + j (`harness.models.experts`). An encoder-decoder gives the
    encoder's layers, then the decoder's (where position t holds the token before the encoder's t). Raises
    InputError where there is none, and for experts that are no such module.
    """
    modules = dict(model.named_modules())
    experts = fused_experts(model)
    sites = {path: Site(path, modules[path], n, attach=at_experts) for path, n in experts.items()}
    sites |= {site.path: site for site in _mlps(model, experts).values()}
    if not sites:
        sizes = _linear_sizes(modules)
        raise InputError(
            f"{type(model).__name__}: no layer has an MLP whose last linear module writes to the residual stream of "
            f"{_residual_width(model, sizes)}; linear modules outside attention: {_seen(sizes, beneath=False)}. Neurons "
            "need another model"
        )
    return tuple(sites[path] for path in modules if path in sites)


def locate_attention(model: Any) -> tuple[Site, ...]:
    """The output projection of every attention module, in order: its input is the heads' outputs side by side.

    One rule for all families: of the linear modules beneath an attention module of a layer, the last that
    writes to the residual stream. A decoder's layer that also looks at an encoder has two. Raises
    InputError where there is none, or where the configured number of heads does not divide its inputs.
    """
    modules = dict(model.named_modules())
    sizes, layer_of = _linear_sizes(modules), _layers(modules)
    width, tokens_first = _residual_width(model, sizes), model.config.model_type in TOKENS_FIRST
    found: dict[tuple[str, str], Site] = {}
    for path, (inputs, outputs) in sizes.items():
        layer, attention = layer_of(path), _attention(path)
        if layer is not None and attention is not None and outputs == width:
            found[layer, attention] = Site(path, modules[path], inputs, tokens_first, _heads(model, path, inputs))
    if not found:
        raise InputError(
            f"{type(model).__name__}: no attention of a layer ends in a linear module that writes to the residual stream "
            f"of {width}; linear modules beneath attention: {_seen(sizes, beneath=True)}. Heads need another model"
        )
    return tuple(found.values())


def locate_activations(model: Any) -> tuple[Site, ...]:
    """The activation function of every layer's MLP, in order: its output, which in a gated MLP is the gate before the product.

    One rule for all families: of the modules of a layer that are not beneath attention and act on as many
    numbers as the MLP has neurons each by itself, the one nearest to the down-projection (`locate`).
    Raises what `locate` raises, and InputError for a layer whose MLP calls a plain function, and for experts.
    """
    if any(site.attach is at_experts for site in locate(model)):
        raise InputError(
            f"{type(model).__name__} is a mixture of experts, whose activation function runs once an expert; use the "
            "neurons at 'mlp' instead"
        )
    modules = dict(model.named_modules())
    layer_of, found = _layers(modules), []
    inside: dict[str, list[str]] = {}
    for path, module in modules.items():
        if not any(module.children()) and (layer := layer_of(path)) is not None and _attention(path) is None:
            inside.setdefault(layer, []).append(path)
    for layer, mlp in _mlps(model).items():
        device = next(mlp.module.parameters()).device
        acting = [path for path in inside[layer] if _is_elementwise(modules[path], mlp.width, device)]
        if not acting:
            raise InputError(
                f"{type(model).__name__}: the MLP of {layer} has no module for its activation function, only "
                f"{', '.join(p.removeprefix(f'{layer}.') for p in inside[layer])}; use the neurons at 'mlp' instead"
            )
        path = max(acting, key=lambda path: _shared(path, mlp.path))
        found.append(Site(path, modules[path], mlp.width, mlp.tokens_first, attach=at_output))
    return tuple(found)


SITES: dict[str, Callable[[Any], tuple[Site, ...]]] = {
    "mlp": locate,
    "attention": locate_attention,
    "activation": locate_activations,
}
"""Kinds of neurons a condition or a reading can name, and how they are found in a model."""


class Sites(dict[str, tuple[Site, ...]]):
    """The neurons of a model by kind, found when first asked for.

    Raises InputError for a kind that is not in `SITES`, and where the structure does not show these neurons.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __missing__(self, kind: str) -> tuple[Site, ...]:
        if kind not in SITES:
            raise InputError(f"unknown site {kind!r} of neurons; known: {', '.join(SITES)}")
        self[kind] = SITES[kind](self.model)
        return self[kind]


# --- the structure of a model ---------------------------------------------------------------------


def _mlps(model: Any, experts: Iterable[str] = ()) -> dict[str, Site]:
    """The last linear module of the MLP of every layer, by the layer's path; beside experts only what is in their block."""
    modules = dict(model.named_modules())
    sizes, layer_of = _linear_sizes(modules), _layers(modules)
    width, tokens_first = _residual_width(model, sizes), model.config.model_type in TOKENS_FIRST
    blocks = {layer_of(path): path.rpartition(".")[0] for path in experts}
    found: dict[str, Site] = {}
    for path, (inputs, outputs) in sizes.items():
        layer = layer_of(path)
        if layer is None or outputs != width or _attention(path) is not None:
            continue
        if not path.startswith(f"{blocks.get(layer, layer)}."):
            continue
        if layer not in found or inputs >= found[layer].width:
            found[layer] = Site(path, modules[path], inputs, tokens_first)
    return found


def _residual_width(model: Any, sizes: dict[str, tuple[int, int]]) -> int:
    text = model.config.get_text_config()
    for name in RESIDUAL_WIDTH:
        if getattr(text, name, None) is not None:
            return int(getattr(text, name))
    raise InputError(
        f"{type(text).__name__} has none of {', '.join(RESIDUAL_WIDTH)}, so its MLPs cannot be told from other layers; "
        f"linear modules outside attention: {_seen(sizes, beneath=False)}. Neurons need another model"
    )


def _heads(model: Any, path: str, width: int) -> int:
    """How many heads the attention that ends at `path` has; an encoder-decoder says it for either side."""
    text = model.config.get_text_config()
    names = [*(f"{part}_attention_heads" for part in path.split(".")), *HEADS]
    heads = next((n for name in names if isinstance(n := getattr(text, name, None), int)), None)
    if not heads or width % heads:
        raise InputError(
            f"{type(model).__name__}: {path} has {width} inputs and its configuration says {heads} heads; expected a "
            f"number that divides them under one of {', '.join(HEADS)}. Heads need another model"
        )
    return heads


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


def _seen(sizes: dict[str, tuple[int, int]], beneath: bool) -> str:
    """Some linear modules beneath attention, or some outside of it, for a message."""
    seen = [f"{path} ({i} to {o})" for path, (i, o) in sizes.items() if (_attention(path) is not None) == beneath]
    return ", ".join(seen[:5]) or "none"


def _layers(modules: dict[str, Any]) -> Callable[[str], str | None]:
    """From a module's path to the layer it lies in: an item of an outermost `ModuleList`; None outside of all."""
    import torch

    # named_modules goes from the outside inwards, so the first list that contains a path is the outermost.
    lists = [path for path, module in modules.items() if isinstance(module, torch.nn.ModuleList)]

    def layer(path: str) -> str | None:
        outer = next((x for x in lists if path.startswith(f"{x}.")), None)
        return None if outer is None else f"{outer}.{path[len(outer) + 1 :].partition('.')[0]}"

    return layer


def _attention(path: str) -> str | None:
    """The outermost attention module that a module lies beneath, or None."""
    parts = path.split(".")
    depth = next((i for i, part in enumerate(parts[:-1]) if ATTENTION.search(part)), None)
    return None if depth is None else ".".join(parts[: depth + 1])


def _shared(a: str, b: str) -> int:
    """How many of the modules that two modules lie in are the same."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a.split("."), b.split("."), strict=False))))


def _is_elementwise(module: Any, width: int, device: Any) -> bool:
    """Whether a module makes of each of `width` numbers another one by itself: not so dropout, norms and linear modules."""
    import torch

    if any(True for _ in module.parameters()):
        return False
    x = torch.linspace(-3, 3, width, device=device)
    half = torch.where(torch.arange(width, device=device) % 2 == 0, x, 0.5)
    try:
        with torch.inference_mode():
            whole, part = module(x[None, None]), module(half[None, None])
        return (
            whole.shape == (1, 1, width)
            and not torch.allclose(whole[0, 0], x)
            and torch.allclose(whole[..., ::2], part[..., ::2])
        )
    except Exception:  # noqa: BLE001 - a module that is no activation function may fail at such an input in any way
        return False
