"""Holding some of a model's neurons at fixed values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from harness.condition import Ablation, Condition
from harness.errors import HarnessError, InputError
from harness.models.sites import Change, Site

if TYPE_CHECKING:
    import torch


@contextmanager
def ablated(sites: Mapping[str, Sequence[Site]], condition: Condition) -> Iterator[None]:
    """While this lives, every neuron that `condition` names has its value at every token of every forward pass.

    `sites` are the model's neurons by kind. What is held is a copy of the activations, in their dtype. What is
    hooked later (an accumulator) sees the ablated values. Raises InputError for a kind of site, a layer or a
    neuron that the model does not have; a forward pass raises HarnessError where a site is not what it seemed.
    """
    with hooked([pair for ablation in condition.ablations for pair in _holding(sites[ablation.site], ablation)]):
        yield


@contextmanager
def hooked(pairs: Iterable[tuple[Site, Change]]) -> Iterator[None]:
    """While this lives, apply each change to its site's activations, in the order given."""
    handles = []
    try:
        for site, change in pairs:
            handles.append(site.attach(site.module, change))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _holding(layers: Sequence[Site], ablation: Ablation) -> list[tuple[Site, Change]]:
    """One change a layer that `ablation` names."""
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


def _holder(site: Site, neurons: np.ndarray, values: np.ndarray) -> Change:
    """What replaces the listed neurons' activations."""
    import torch

    mask = np.zeros(site.width, bool)
    held = np.zeros(site.width, np.float32)
    mask[neurons], held[neurons] = True, values

    @cache
    def placed(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(False):  # tensors made under it could not be used where gradients are wanted
            return torch.from_numpy(mask).to(device), torch.from_numpy(held).to(device, dtype)

    def change(activations: torch.Tensor) -> torch.Tensor:
        if activations.shape[-1] != site.width:
            raise HarnessError(
                f"{site.path} works on {activations.shape[-1]} numbers a token, not on the {site.width} neurons that were "
                "located there: neurons of this model cannot be ablated at this site"
            )
        where, what = placed(activations.device, activations.dtype)
        return torch.where(where, what, activations)

    return change
