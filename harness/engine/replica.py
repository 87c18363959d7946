"""One loaded model and everything an engine asks of it; the same object in this process or inside a worker."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from harness.engine.work import Work, forward
from harness.models.base import (
    Adapter,
    BatchTooLargeError,
    Cost,
    Encoded,
    Forwarded,
    PairwiseAdapter,
    Resolved,
    Unencodable,
)
from harness.preference import Unit
from harness.reading import Reading

Side = tuple[Unit, Unit | None]
"""A unit to score, or a unit and the one it is compared with."""


@dataclass(frozen=True)
class Traits:
    """What planning needs to know of a loaded model."""

    cost: Cost
    shares: int
    description: dict[str, object]


class Pool(Protocol):
    """Where an engine's work is done."""

    traits: Traits

    def encode(self, sides: Sequence[Side]) -> list[Encoded | Unencodable]:
        """Token ids of units or pairs, in order. May be called from another thread than `map`."""

    def map(self, works: Iterable[Work]) -> Iterator[tuple[Work, Forwarded, float]]:
        """Every work with its answer and the seconds its forward pass took, in the order they are done."""

    def accumulate(
        self, works: Iterable[tuple[Work, list[float]]], reading: Reading, against: Resolved | None = None
    ) -> dict[str, np.ndarray]:
        """Running sums over all works, whose texts have these weights; of a difference to `against` where that is given."""

    def close(self) -> None:
        """Let go of what the pool holds."""


class Replica:
    """One loaded model: a pool of its own, and what each worker of a larger pool holds."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.traits = Traits(adapter.cost, adapter.shares, adapter.describe())
        self._others: dict[str, Adapter] = {}

    @classmethod
    def load(cls, resolved: Resolved) -> Replica:
        """Load the model here."""
        return cls(resolved.load())

    def encode(self, sides: Sequence[Side]) -> list[Encoded | Unencodable]:
        """Token ids of units or pairs, in order."""
        if isinstance(self.adapter, PairwiseAdapter):
            return self.adapter.encode_pairs([(unit, against or unit) for unit, against in sides])
        return self.adapter.encode([unit for unit, _ in sides])

    def answer(self, work: Work) -> tuple[Forwarded, float]:
        """Head outputs and captures of a work, and the seconds they took."""
        began = time.perf_counter()
        self.adapter.replicate = work.replicate
        with self.adapter.under(work.condition):
            found = forward(self.adapter, work)
        return found, time.perf_counter() - began

    def map(self, works: Iterable[Work]) -> Iterator[tuple[Work, Forwarded, float]]:
        """Answers one after the other, in the order of the works."""
        for work in works:
            yield work, *self.answer(work)

    def accumulate(
        self, works: Iterable[tuple[Work, list[float]]], reading: Reading, against: Resolved | None = None
    ) -> dict[str, np.ndarray]:
        """Running sums over all works; a work too large for the device's memory is halved."""
        from harness.models.accumulate import ACCUMULATORS

        sums = ACCUMULATORS[reading.what]()
        for work, weights in works:
            parts = [(work, weights)]
            while parts:
                work, weights = parts.pop()
                trial: Any = copy.deepcopy(sums)  # what a failed pass has added must not count
                try:
                    with self._beside(against, reading, trial):
                        self.adapter.accumulate(work.batch, weights, reading, trial)
                except BatchTooLargeError:
                    first, second = work.halves()
                    n = len(first.texts)
                    parts += [(second, weights[n:]), (first, weights[:n])]
                    continue
                sums = trial
        heads = self.adapter.heads(reading.site)
        return sums.result() | ({} if heads is None else {"heads": heads})

    def _beside(self, against: Resolved | None, reading: Reading, into: Any) -> AbstractContextManager[None]:
        """Every forward pass made by `against`, too, which is loaded once; nothing where there is no such model."""
        from harness.models.change import beside

        if against is None:
            return nullcontext()
        if against.fingerprint not in self._others:
            self._others[against.fingerprint] = against.load()
        return beside(self._others[against.fingerprint], self.adapter, reading.site, into)

    def close(self) -> None:
        """Nothing to let go: whoever loaded the model owns it."""
