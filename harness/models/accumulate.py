"""Running aggregates of neurons' activations and gradients over tokens, on the device: nothing is kept a token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.errors import HarnessError
from harness.models.neurons import Hook, Site, hooked

if TYPE_CHECKING:
    import torch

    from harness.models.base import Encoded

CHUNK = 1024
"""Tokens converted to float64 at a time: bounds the memory that summing needs."""


class Accumulator(ABC):
    """Adds up something over the counted tokens of any number of batches.

    One `watching` is one forward pass of one batch; with `needs_grad`, `backward` follows it. A batch enters
    the sums only when it is complete, so that one that failed (out of memory) can be repeated.
    """

    name: ClassVar[str]
    needs_grad: ClassVar[bool] = False

    @abstractmethod
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> AbstractContextManager[None]:
        """Context for one forward pass over a batch.

        `weights` (rows, tokens) is how often each token counts: 0 not at all (padding, prompt), 2 a token
        that two texts share. Raises HarnessError where the model's layers do not see one input of that
        shape each.
        """

    def backward(self, total: torch.Tensor) -> None:
        """Take the gradients of `total`, a scalar computed from the watched forward pass; only with `needs_grad`."""
        raise NotImplementedError(f"{self.name} needs no gradients")

    @abstractmethod
    def result(self) -> dict[str, np.ndarray]:
        """Arrays (layers, neurons), float64, NaN where a layer has fewer neurons than the widest, and `tokens`, a scalar.

        Raises HarnessError where no token was counted, or where a sum is not finite.
        """


class Moments(Accumulator):
    """Per neuron, over counted tokens: `mean`, `abs_mean`, `mean_square`, and `positive`, the share of activations above 0."""

    name = "moments"

    def __init__(self) -> None:
        self._sums = _Sums()

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Any mode, `inference_mode` among them."""
        counted = _Counted(weights)
        batch: dict[int, torch.Tensor] = {}

        def visit(layer: int, inputs: torch.Tensor) -> torch.Tensor:
            batch[layer] = sum(_moments(count, a) for count, a in counted.chunks(sites[layer], inputs))  # type: ignore[assignment]
            return inputs

        with _visiting(sites, visit):
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
        self._sums = _Sums()
        self._batch: _Batch | None = None

    @contextmanager
    def watching(self, sites: Sequence[Site], weights: torch.Tensor) -> Iterator[None]:
        """Needs gradients enabled, not the model's parameters to require any. Without `backward` the batch is dropped."""
        import torch

        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            raise HarnessError(f"{self.name} needs gradients, which are off; run it under torch.enable_grad()")
        # The batch before, and the graph it holds on to, goes here if nobody took its gradients.
        self._batch = batch = _Batch(tuple(sites), _Counted(weights))

        def visit(layer: int, inputs: torch.Tensor) -> torch.Tensor:
            # Where nothing before asks for a gradient (frozen parameters) the graph begins here.
            batch.inputs[layer] = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
            return batch.inputs[layer]

        with _visiting(sites, visit):
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


ACCUMULATORS: dict[str, type[Accumulator]] = {kind.name: kind for kind in (Moments, Attribution)}
"""What a `Reading` can ask of neurons, by name."""

SPANS: dict[str, Callable[[Encoded], int]] = {"response": lambda text: text.response_start, "text": lambda text: 0}
"""Which tokens of a text count, by name: from which position on."""


# --- one batch ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Batch:
    """What `Attribution` keeps between the two passes: every layer's input, with the graph behind it."""

    sites: tuple[Site, ...]
    counted: _Counted
    inputs: dict[int, torch.Tensor] = field(default_factory=dict)


class _Counted:
    """Which tokens of a batch count and how often. Others are never touched: theirs may be NaN."""

    def __init__(self, weights: torch.Tensor) -> None:
        self._weights = weights
        self._places: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        self.tokens = float(weights.clamp(min=0).double().sum())

    def chunks(self, site: Site, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Counts (n,) of up to `CHUNK` counted tokens, and their rows (n, width) of each tensor, float64.

        A tensor is (rows, tokens, width), or flat, (rows x tokens, width).
        """
        weights = self._weights.T if site.tokens_first else self._weights
        for tensor in tensors:
            if tensor.shape[:-1] not in (weights.shape, (weights.numel(),)):
                raise HarnessError(
                    f"{site.path} sees an input of shape {tuple(tensor.shape)}, not {tuple(weights.shape)} tokens of width "
                    f"{site.width}: neurons of this model cannot be captured"
                )
        place, count = self._on(tensors[0].device, site.tokens_first, weights)
        flat = [t.detach().reshape(-1, t.shape[-1]) for t in tensors]
        for p, c in zip(place.split(CHUNK), count.split(CHUNK), strict=True):
            yield c, *(t.index_select(0, p).double() for t in flat)

    def _on(self, device: Any, transposed: bool, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Places and counts on a device: found and copied once a batch, whatever the number of layers."""
        if (device, transposed) not in self._places:
            flat = weights.reshape(-1)
            place = (flat > 0).nonzero().squeeze(1)
            self._places[device, transposed] = place.to(device), flat[place].double().to(device)
        return self._places[device, transposed]


@contextmanager
def _visiting(sites: Sequence[Site], visit: Callable[[int, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Replace each layer's input by what `visit` makes of it; raises HarnessError unless every layer runs exactly once."""
    runs = [0] * len(sites)

    def hook(layer: int) -> Hook:
        def visited(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            runs[layer] += 1
            return (visit(layer, args[0]), *args[1:])

        return visited

    with hooked([(site, hook(i)) for i, site in enumerate(sites)]):
        yield
    odd = [i for i, n in enumerate(runs) if n != 1]
    if odd:
        raise HarnessError(
            f"{sites[odd[0]].path} ran {runs[odd[0]]} times in one watched forward pass, not once: watch one forward pass "
            "at a time; neurons of a model that uses one layer several times cannot be captured"
        )


# --- sums -----------------------------------------------------------------------------------------


class _Sums:
    """Running sums, float64: one tensor (statistics, width) a layer, on that layer's device, and the number of tokens."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._layers: list[torch.Tensor] = []

    def add(self, tokens: float, layers: list[torch.Tensor]) -> None:
        self._tokens += tokens
        # Out of place: tensors made under inference_mode cannot be changed outside of it.
        self._layers = [a + b for a, b in zip(self._layers, layers, strict=True)] if self._layers else layers

    def arrays(self) -> tuple[float, np.ndarray]:
        """The number of tokens, and the sums as (statistics, layers, widest), NaN beyond a layer's width."""
        if not self._tokens:
            raise HarnessError("no token was counted, so there is nothing to average: every text was empty or left out")
        widest = max(layer.shape[1] for layer in self._layers)
        sums = np.full((self._layers[0].shape[0], len(self._layers), widest), np.nan)
        for i, layer in enumerate(self._layers):
            sums[:, i, : layer.shape[1]] = layer.cpu().numpy()
            if not np.isfinite(sums[:, i, : layer.shape[1]]).all():
                raise HarnessError(
                    f"activations or gradients of layer {i} are not finite, so their sums say nothing; try --dtype float32"
                )
        return self._tokens, sums


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
