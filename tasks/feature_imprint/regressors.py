"""What the reward is regressed on: text features and labels in one form, and their scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from harness.llm.schema import LABELS, NUMBERED
from harness.text.feature import Kind
from harness.text.features import FEATURES

LENGTH = "log_words"
"""The control that is in every regression: length is the best-known confound of a reward."""

LENGTHS = frozenset({LENGTH, "sentence_count"})
TAILS = (0.01, 0.99)


@dataclass(frozen=True)
class Regressor:
    """One column of the design. `player` is the part it plays when R² is shared out: its kind, or `length`."""

    name: str
    column: str
    kind: Kind
    desired_sign: int
    form: Literal["binary", "log", "bounded", "open"]

    @property
    def player(self) -> str:
        """`target`, `spoiler`, `control`, or `length` for the controls that measure it."""
        return "length" if self.name in LENGTHS else self.kind

    @property
    def dims(self) -> dict[str, str]:
        """What a row about it is of."""
        return {"feature": self.name, "kind": self.kind}


def text_regressors(names: Sequence[str]) -> tuple[Regressor, ...]:
    """Regressors of these registered features, length first and always. Raises UnknownNameError for a name nobody registered."""
    known = [FEATURES.get(name) for name in dict.fromkeys((LENGTH, *names))]
    return tuple(Regressor(f.name, f.column, f.kind, f.desired_sign, f.form) for f in known)


def label_regressors() -> tuple[Regressor, ...]:
    """Length, then every label field that has numbers."""
    fields = [LABELS[name] for name in NUMBERED]
    forms: dict[bool, Literal["binary", "bounded"]] = {True: "binary", False: "bounded"}
    labels = [Regressor(f.name, f.column, f.kind, f.desired_sign, forms[-1.0 not in f.values.values()]) for f in fields]
    return (*text_regressors(()), *labels)


@dataclass(frozen=True)
class Scale:
    """How values become regressors: binary ones stay 0/1, others are divided by the SD over all replies of the sample;
    open-ended ones are winsorised at its 1 and 99 % before (corrections 12: a few outliers must not carry a coefficient).
    """

    regressors: tuple[Regressor, ...]
    limits: Mapping[str, tuple[float, float]]
    units: Mapping[str, float]

    @classmethod
    def of(cls, texts: pd.DataFrame, regressors: Sequence[Regressor]) -> Scale:
        """The scale of a sample: `texts` has one row a reply. A column without spread gets the unit 1."""
        limits, units = {}, {}
        for r in regressors:
            values = texts[r.column].to_numpy(dtype=float)
            known = values[np.isfinite(values)]
            ends = np.quantile(known, TAILS) if r.form == "open" and known.size else (-np.inf, np.inf)
            limits[r.name] = float(ends[0]), float(ends[1])
            spread = float(np.std(np.clip(known, *ends))) if known.size else 0.0
            units[r.name] = spread if r.form != "binary" and spread > 0 else 1.0
        return cls(tuple(regressors), limits, units)

    def apply(self, texts: pd.DataFrame) -> pd.DataFrame:
        """Scaled columns named by feature, indexed like `texts`; what is missing stays missing."""
        scaled = {
            r.name: texts[r.column].astype(float).clip(*self.limits[r.name]) / self.units[r.name]
            for r in self.regressors
        }
        return pd.DataFrame(scaled, index=texts.index)
