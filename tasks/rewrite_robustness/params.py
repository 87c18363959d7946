"""The task's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from harness.text.transforms import spelled


@dataclass(frozen=True)
class Params:
    """Which rewrites, of how many pairs.

    `transforms` are names of registered transforms or of sets of them (`core`, `noise`, `noise_3`, `stress`, `standard`),
    separated by commas; `draws` of the cluster bootstrap, `seed` of every draw and of every transform, at most `max_pairs`
    items per (dataset, subset), taken by the runner.
    """

    transforms: str = "standard"
    draws: int = 1000
    seed: int = 0
    max_pairs: int | None = 250

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the transforms, sets spelled out, each once, in order."""
        return spelled(self.transforms)
