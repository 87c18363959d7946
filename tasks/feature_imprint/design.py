"""The design: pairs as differences of scaled features, and which of them can carry a coefficient at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.sides import side_means
from harness.stats.differences import Diagnosis, estimability
from harness.task import ScoreTable

from .regressors import LENGTH, Regressor, Scale

MIN_CLEAR = 0.8
"""Share of pairs in which a regressor must be known on both sides: a label that is mostly unclear would leave few pairs to all."""

CARRIED = ["cluster_id", "dataset", "subset"]


@dataclass(frozen=True)
class Design:
    """Items whose features are all known, by id in order: `chosen` and `rejected` are scaled means over an item's replies.

    Nothing here depends on a model, so that all models of a board are measured by the same ruler. `clear` is the share
    of pairs in which a regressor is known; those below `MIN_CLEAR` are in no fit. `incomplete` counts the items left
    out because another one is missing.
    """

    scale: Scale
    items: pd.DataFrame
    chosen: pd.DataFrame
    rejected: pd.DataFrame
    clear: Mapping[str, float]
    diagnoses: Mapping[str, Diagnosis]
    incomplete: int

    @classmethod
    def of(cls, texts: ScoreTable, regressors: Sequence[Regressor]) -> Design:
        """The design of replies: `texts` has one row a unit with the regressors' columns."""
        scale = Scale.of(texts, regressors)
        scaled = texts[["item_id", "side"]].join(scale.apply(texts))
        chosen, rejected = side_means(scaled, [r.name for r in regressors])
        known = (chosen - rejected).notna()
        clear = {r.name: float(known[r.name].mean()) if len(known) else 0.0 for r in regressors}
        complete = known[[name for name, share in clear.items() if share >= MIN_CLEAR]].all(axis=1)
        ids = complete.index[complete].sort_values()
        items = texts.drop_duplicates("item_id").set_index("item_id").loc[ids, CARRIED]
        return cls(scale, items, chosen.loc[ids], rejected.loc[ids], clear, {}, int((~complete).sum())).diagnosed()

    @property
    def regressors(self) -> tuple[Regressor, ...]:
        """Every regressor, those that cannot be estimated included."""
        return self.scale.regressors

    @property
    def kept(self) -> tuple[Regressor, ...]:
        """Those that are in the fits, in order."""
        return tuple(r for r in self.regressors if self.diagnoses[r.name].reason is None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of `kept`."""
        return tuple(r.name for r in self.kept)

    @property
    def clusters(self) -> np.ndarray:
        """Prompt of every item."""
        return self.items["cluster_id"].to_numpy()

    def differences(self, names: Sequence[str]) -> np.ndarray:
        """Chosen minus rejected, (items, features)."""
        return (self.chosen - self.rejected)[list(names)].to_numpy(dtype=float)

    def texts(self, names: Sequence[str]) -> np.ndarray:
        """All chosen sides, then all rejected ones, (2 items, features)."""
        return np.concatenate([side[list(names)].to_numpy(dtype=float) for side in (self.chosen, self.rejected)])

    def where(self, ids: pd.Index) -> Design:
        """The items among `ids`, measured by the same ruler and with the same features."""
        at = self.items.index.intersection(ids).sort_values()
        return replace(self, items=self.items.loc[at], chosen=self.chosen.loc[at], rejected=self.rejected.loc[at])

    def subsets(self) -> dict[tuple[str, str], Design]:
        """The design by (dataset, subset), each with its own answer to which features can be estimated."""
        parts = self.items[["dataset", "subset"]].drop_duplicates().sort_values(["dataset", "subset"])
        return {(str(d), str(s)): self._part(d, s).diagnosed() for d, s in parts.itertuples(index=False)}

    def _part(self, dataset: str, subset: str) -> Design:
        inside = (self.items["dataset"] == dataset) & (self.items["subset"] == subset)
        return self.where(self.items.index[inside])

    def diagnosed(self) -> Design:
        """The design with its own answer to which features can be estimated (corrections 12)."""
        names = [r.name for r in self.regressors if self.clear[r.name] >= MIN_CLEAR]
        found = estimability(self.differences(names), self.clusters, names, forced=(LENGTH,))
        unclear = {
            name: Diagnosis(
                np.nan, np.nan, np.nan, f"known in {100 * share:.3g}% of the pairs, {MIN_CLEAR:.0%} are needed"
            )
            for name, share in self.clear.items()
            if share < MIN_CLEAR
        }
        return replace(self, diagnoses=found | unclear)
