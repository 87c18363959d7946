"""Running aggregates of neurons' activations and gradients over tokens, on the device: nothing is kept a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError
from harness.models.change import Difference
from harness.models.sample import Sample
from harness.models.sites import Site
from harness.models.tally import Accumulator, Counted, Sums, visiting

if TYPE_CHECKING:
    import torch

    from harness.models.base import Encoded


class Moments(Accumulator):
    """Per neuron, over counted tokens: `mean`, `abs_mean`, `mean_square`, and `positive`, the share of activations above 0."""

    name = "moments"

    def __init__(self) -> None:
        self._sums = Sums()

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Any mode, `inference_mode` among them."""
        counted = Counted(weights)
        batch: dict[int, torch.Tensor] = {}

        def visit(layer: int, inputs: torch.Tensor) -> torch.Tensor:
            batch[layer] = sum(_moments(count, a) for count, a in counted.chunks(sites[layer], inputs))  # type: ignore[assignment]
            return inputs

        with visiting(sites, visit):
            yield
        self._sums.add(counted.tokens, [batch[i] for i in range(len(sites))])

    def result(self) -> dict[str, np.ndarray]:
        """Keys `tokens`, `mean`, `abs_mean`, `mean_square`, `positive`."""
        return _moment_arrays(*self._sums.arrays())


class Attribution(Accumulator):
    """First-order effects of neurons on total = sum over texts of weight x score, from one forward and one backward pass.

    Per neuron, a its activation and g the derivative of the total by it, summed over tokens with a weight
    above 0 (once each: the gradient of a shared token holds all its texts' parts): `product`, of a g;
    `gradient`, of g; `attribution`, of (a - mean) g, which is how far the total falls, to first order, when
    the neuron is held at its mean at these tokens. With them all that `Moments` gives.
    """

    name = "attribution"
    needs_grad = True

    def __init__(self) -> None:
        self._sums = Sums()
        self._batch: _Batch | None = None

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Needs gradients enabled, not the model's parameters to require any. Without `backward` the batch is dropped."""
        import torch

        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            raise HarnessError(f"{self.name} needs gradients, which are off; run it under torch.enable_grad()")
        # The batch before, and the graph it holds on to, goes here if nobody took its gradients.
        self._batch = batch = _Batch(tuple(sites), Counted(weights))

        def visit(layer: int, inputs: torch.Tensor) -> torch.Tensor:
            # Where nothing before asks for a gradient (frozen parameters) the graph begins here.
            batch.inputs[layer] = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
            return batch.inputs[layer]

        with visiting(sites, visit):
            yield

    def backward(self, total: torch.Tensor) -> None:
        """Add the watched batch, inside `watching` or after it; raises HarnessError without one, or where `total` does not depend on it."""
        import torch

        batch, self._batch = self._batch, None
        if batch is None or not total.requires_grad:
            found = "no forward pass was watched before" if batch is None else "the total has no gradient"
            raise HarnessError(
                f"{self.name}: {found}; compute the total from a watched forward pass and call backward once"
            )
        inputs = [batch.inputs[layer] for layer in range(len(batch.sites))]
        gradients = torch.autograd.grad(total, inputs, materialize_grads=True)
        sums: list[Any] = [
            sum(_effects(*chunk) for chunk in batch.counted.chunks(site, activation, gradient))
            for site, activation, gradient in zip(batch.sites, inputs, gradients, strict=True)
        ]
        self._sums.add(batch.counted.tokens, sums)

    def result(self) -> dict[str, np.ndarray]:
        """The keys of `Moments`, and `product`, `gradient`, `attribution` in units of the total."""
        tokens, sums = self._sums.arrays()
        found, (product, gradient) = _moment_arrays(tokens, sums[:-2]), sums[-2:]
        return {
            **found,
            "product": product,
            "gradient": gradient,
            "attribution": product - found["mean"] * gradient,
        }


ACCUMULATORS: dict[str, type[Accumulator]] = {kind.name: kind for kind in (Moments, Attribution, Difference, Sample)}
"""What a `Reading` can ask of neurons, by name."""


def _response(text: Encoded, read: int, skip: int) -> np.ndarray:
    return np.arange(max(skip, text.response_start), len(text))


SPANS: dict[str, Callable[[Encoded, int, int], np.ndarray]] = {
    "judged": lambda text, read, skip: np.union1d(_response(text, read, skip), [read]),
    "response": _response,
    "text": lambda text, read, skip: np.arange(skip, len(text)),
}
"""Positions of a text that count, ascending, by name, from the one where its score is read and how many at its start do not.

`judged` is the response and where the score is read: an encoder's first token lies outside of the response, and all
that its last layer does is done there.
"""


# --- one batch ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Batch:
    """What `Attribution` keeps between the two passes: every layer's input, with the graph behind it."""

    sites: tuple[Site, ...]
    counted: Counted
    inputs: dict[int, torch.Tensor] = field(default_factory=dict)


# --- sums ------------------------------------------------------------------------------------------


def _moments(count: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Sums (4, width) of a, |a|, a squared and a > 0, over tokens that count `count` times each."""
    import torch

    return torch.stack([count @ a, count @ a.abs(), count @ a.square(), count @ (a > 0).double()])


def _effects(count: torch.Tensor, a: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Sums (6, width): those of `_moments`, then of a g and of g over tokens, each once."""
    import torch

    return torch.cat([_moments(count, a), torch.stack([(a * g).sum(0), g.sum(0)])])


def _moment_arrays(tokens: float, sums: np.ndarray) -> dict[str, np.ndarray]:
    names = ("mean", "abs_mean", "mean_square", "positive")
    return {"tokens": np.array(tokens), **dict(zip(names, sums / tokens, strict=True))}
