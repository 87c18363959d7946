"""What a member made of the pairs: score differences in its own unit, by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.sides import side_means
from harness.stats.differences import unit
from harness.task import ScoreTable

from .design import Design

NO_UNIT = "every pair ties: the margins have no unit"


@dataclass(frozen=True)
class Margins:
    """One member on the items of a design that all its seeds scored.

    `chosen` and `rejected` (seeds, items) are mean scores over an item's replies; `units` (seeds,) is s_w of all that
    was scored, sqrt(mean(d^2)/2), the same whichever side is called chosen (corrections 11), and stays that of the whole
    in a part. `failed` counts items of the design that some seed could not score.
    """

    design: Design
    seeds: tuple[int, ...]
    chosen: np.ndarray
    rejected: np.ndarray
    units: np.ndarray
    failed: int

    @classmethod
    def of(cls, rows: ScoreTable, design: Design) -> Margins:
        """Margins from the rows of one member: one a unit and seed."""
        seeds = sorted(int(seed) for seed in rows["seed"].unique())
        by_seed = {seed: side_means(rows[rows["seed"] == seed], ["score"]) for seed in seeds}
        chosen, rejected = (
            pd.concat([pair[k]["score"] for pair in by_seed.values()], axis=1).reindex(design.items.index)
            for k in (0, 1)
        )
        scored = (chosen.notna() & rejected.notna()).all(axis=1)
        ids = scored.index[scored]
        first, second = (frame.loc[ids].to_numpy(dtype=float).T for frame in (chosen, rejected))
        units = np.array([unit(d) for d in first - second])
        return cls(design.where(ids), tuple(by_seed), first, second, units, failed=int((~scored).sum()))

    @property
    def raw(self) -> np.ndarray:
        """Reward points, (seeds, items)."""
        return self.chosen - self.rejected

    @property
    def reason(self) -> str | None:
        """Why there is nothing to regress, or None."""
        if not self.raw.shape[1]:
            return "no item was scored"
        return None if self.units.all() else NO_UNIT

    @property
    def scaled(self) -> np.ndarray:
        """Margins in units of s_w, (seeds, items); only where there is no `reason`."""
        return self.raw / self.units[:, None]

    @property
    def agreed(self) -> np.ndarray:
        """Whether each seed prefers the chosen side, ties one half, (seeds, items)."""
        return np.sign(self.raw) / 2 + 0.5

    def within(self, part: Design) -> Margins:
        """The items of a part of the design that were scored, with the part's own features and the unit of the whole."""
        mask = self.design.items.index.isin(part.items.index)
        design = part.where(self.design.items.index)
        return replace(self, design=design, chosen=self.chosen[:, mask], rejected=self.rejected[:, mask])

    def remeasured(self) -> Margins:
        """The same in the unit of these items alone, where a part is to stand for itself."""
        return replace(self, units=np.array([unit(d) for d in self.raw]))
