"""How far training moved a model's neurons: its activations against those of another model at the same tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError, InputError
from harness.models.sites import Site
from harness.models.tally import Accumulator, Counted, Sums, visiting

if TYPE_CHECKING:
    import torch


class Difference(Accumulator):
    """Difference of two models' activations over counted tokens, a of the model and b of its base at the same token.

    At neurons `mean_square`, the mean of (a - b)^2, whose root is N2 of Tanwar and Atanasova (2606.13209); at
    attention heads `norm`, the mean over tokens of the length of a head's difference (N4). With them `abs_mean` and
    `base_abs_mean`, the means of |a| and |b|, of a head over its columns. A pass of the base
    (`before`) belongs inside each `watching`; its activations are kept only until the model reaches the layer.
    """

    name = "change"

    def __init__(self) -> None:
        self._sums = Sums()
        self._name = ""
        self._before: dict[int, torch.Tensor] = {}

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Any mode. Raises HarnessError also where the base has not seen the batch before the model does."""
        self._name = "norm" if sites[0].heads else "mean_square"
        counted = Counted(weights)
        before: dict[int, torch.Tensor] = {}
        self._before = before
        batch: dict[int, torch.Tensor] = {}

        def visit(layer: int, after: torch.Tensor) -> torch.Tensor:
            if layer not in before:
                raise HarnessError(
                    f"{self.name}: the base has not seen this batch; run the model inside `beside` its base"
                )
            pair = after, before.pop(layer).to(after.device)
            batch[layer] = sum(_moved(sites[layer], *chunk) for chunk in counted.chunks(sites[layer], *pair))  # type: ignore[assignment]
            return after

        try:
            with visiting(sites, visit):
                yield
        finally:
            self._before = {}
        self._sums.add(counted.tokens, [batch[i] for i in range(len(sites))])

    @contextmanager
    def before(self, sites: Sequence[Site]) -> Iterator[None]:
        """Context for the forward pass of the base over the batch that is being watched; `sites` are the base's."""
        kept = self._before

        def visit(layer: int, activations: torch.Tensor) -> torch.Tensor:
            kept[layer] = activations
            return activations

        with visiting(sites, visit):
            yield

    def result(self) -> dict[str, np.ndarray]:
        """Keys `tokens`, `mean_square` (layers, neurons) in squared activations or `norm` (layers, heads), `abs_mean`, `base_abs_mean`."""
        tokens, sums = self._sums.arrays()
        names = (self._name, "abs_mean", "base_abs_mean")
        return {"tokens": np.array(tokens), **dict(zip(names, sums / tokens, strict=True))}


@contextmanager
def beside(base: Any, model: Any, site: str, into: Difference) -> Iterator[None]:
    """While this lives, every forward pass of `model` is first made by `base`, on the very same tensors, and seen by `into`.

    Both are adapters around transformers models. Raises InputError where `require_alike` does.
    """
    require_alike(base, model, site)

    def first(module: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        with into.before(base.sites[site]):
            base.model(*args, **inputs)

    handle = model.model.register_forward_pre_hook(first, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def require_alike(base: Any, model: Any, site: str) -> None:
    """Raise InputError, saying what differs, unless two adapters' models take the same inputs and have the same neurons."""
    for adapter in (model, base):
        if not hasattr(adapter, "model"):
            raise InputError(
                f"{type(adapter).__name__} has no neurons that could be compared; expected two transformers models, a reward "
                "model and, with --role base=PATH, the one it was trained from"
            )
    ours, theirs = _traits(model, site), _traits(base, site)
    different = [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name]]
    if different:
        raise InputError(
            f"{base.source} cannot be the base of {model.source}: it has {'; '.join(different)}. Give the pre-trained model "
            "that this reward model was trained from, --role base=PATH, and load both with the same --dtype"
        )


def _traits(adapter: Any, site: str) -> dict[str, str]:
    """What must be the same in two models that see the same tensors and whose neurons are compared one by one."""
    config, layers = adapter.model.config, adapter.sites[site]
    return {
        "model type": config.model_type,
        "a vocabulary of": f"{adapter.model.get_input_embeddings().weight.shape[0]} tokens",
        f"neurons ({site}) in": f"{len(layers)} layers of {_runs(layer.width for layer in layers)}",
        "heads a layer:": _runs(layer.heads for layer in layers),
        "numbers of": str(adapter.model.dtype).removeprefix("torch."),
        "attention": config._attn_implementation,
    }


def _runs(sizes: Iterable[int]) -> str:
    """Sizes of layers in order, each run of equal ones once."""
    return "/".join(str(size) for size, _ in groupby(sizes))


def _moved(site: Site, count: torch.Tensor, after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Sums (3, width) of squared differences, |a| and |b|; at heads (3, heads), lengths of differences and means over columns."""
    import torch

    parts = [after - before, after.abs(), before.abs()]
    if site.heads:
        moved, *sizes = (part.unflatten(1, (site.heads, -1)) for part in parts)
        parts = [moved.norm(dim=2), *(size.mean(dim=2) for size in sizes)]
    else:
        parts[0] = parts[0].square()
    return torch.stack([count @ part for part in parts])
