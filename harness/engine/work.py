"""A batch on its way through a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.condition import NONE, Condition
from harness.errors import HarnessError
from harness.models.base import Adapter, BatchTooLargeError, Encoded, Forwarded
from harness.models.tree import Tree, grow


@dataclass(frozen=True)
class Work:
    """Rows to forward, what to capture on the way, under which intervention, and which time."""

    batch: tuple[Tree, ...]
    capture: frozenset[str] = frozenset()
    condition: Condition = NONE
    replicate: int = 0

    @property
    def texts(self) -> list[Encoded]:
        """The texts of all rows, in the order of the answers."""
        return [text for tree in self.batch for text in tree.texts]

    @property
    def packed(self) -> int:
        """Tokens of all rows: a shared prefix counts once, padding not at all."""
        return sum(len(tree) for tree in self.batch)

    @property
    def padded(self) -> int:
        """Tokens that go through the model, padding included."""
        return len(self.batch) * max(len(tree) for tree in self.batch)

    def halves(self) -> tuple[Work, Work]:
        """The same work in two parts: half of the rows each, or half of the texts of the only row.

        Raises HarnessError where there is only one text left, which the device's memory cannot hold.
        """
        if len(self.batch) > 1:
            middle = len(self.batch) // 2
            return replace(self, batch=self.batch[:middle]), replace(self, batch=self.batch[middle:])
        texts = self.batch[0].texts
        if len(texts) == 1:
            raise HarnessError(
                f"a single text of {len(texts[0])} tokens does not fit into the device's memory; "
                "lower --max-length or use a larger device"
            )
        middle = len(texts) // 2
        return replace(self, batch=(grow(texts[:middle]),)), replace(self, batch=(grow(texts[middle:]),))


def forward(adapter: Adapter, work: Work) -> Forwarded:
    """Head outputs and captures of all texts of a work, in order; halved until it fits into the device's memory."""
    try:
        return adapter.forward_trees(work.batch, work.capture)
    except BatchTooLargeError:
        # The two halves are computed after this handler, when nothing holds on to the failed pass any more.
        halves = work.halves()
    parts = [forward(adapter, half) for half in halves]
    outputs = np.concatenate([p.outputs for p in parts])
    captures = {k: np.concatenate([p.captures[k] for p in parts]) for k in parts[0].captures}
    second = {i + len(parts[0].outputs): why for i, why in parts[1].errors.items()}
    return Forwarded(outputs, captures, {**parts[0].errors, **second})
