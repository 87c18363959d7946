"""Names of conditions, and what each holds at which value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from harness.condition import Ablation, Condition

from .controls import seeded
from .sets import Chosen


def set_name(name: str, percent: float, mode: str) -> str:
    """The condition that ablates a set: `only_helpful@5/mean`."""
    return f"{name}@{percent:g}/{mode}"


def control_name(of: str, control: str, draw: int, n: int | None = None) -> str:
    """A control draw of a set's condition: `only_helpful@5/mean/rand_layer#03`, with its size where that was searched for."""
    return f"{of}/{control}#{draw:03d}" + (f":{n}" if n is not None else "")


def draw_of(condition: str) -> str:
    """The number of a control draw from its name: `only_helpful@5/mean/damage#003:48` is draw `3`."""
    return str(int(condition.rpartition("#")[2].partition(":")[0]))


@dataclass(frozen=True)
class Held:
    """What ablated neurons are held at: `mean` (layers, columns), `sample` (tokens, layers, columns) or none.

    `heads` a layer turn a set of heads into a set of columns; 0 for neurons.
    """

    site: str
    heads: int
    mean: np.ndarray
    sample: np.ndarray | None = None

    def condition(self, name: str, chosen: Chosen, mode: str, width: int) -> Condition:
        """The condition that holds `chosen` (flat numbers, `width` a layer) as `mode` says."""
        layers, numbers = np.divmod(chosen, width)
        if self.heads:
            columns = self.mean.shape[1] // self.heads
            layers = np.repeat(layers, columns)
            numbers = (numbers[:, None] * columns + np.arange(columns)).ravel()
        values = MODES[mode](self, name)[layers, numbers]
        return Condition(name, (Ablation(layers, numbers, values, self.site),))


def _resampled(held: Held, name: str) -> np.ndarray:
    """The activations at one token of the corpora, drawn by the condition's name: what the neurons said together elsewhere."""
    if held.sample is None:
        raise ValueError("resample ablation needs sampled tokens")
    return held.sample[seeded(name).integers(len(held.sample))]


MODES: Mapping[str, Callable[[Held, str], np.ndarray]] = {
    "mean": lambda held, name: held.mean,
    "zero": lambda held, name: np.zeros_like(held.mean),
    "resample": _resampled,
}
"""Values (layers, columns) by mode of ablation."""
