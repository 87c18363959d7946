"""A member's regressions, over the mean of its seeds and for each seed, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats.differences import first_differences
from harness.stats.estimate import Estimate
from harness.stats.fit import Fit
from harness.stats.over_seeds import seeded

Read = Callable[[Fit], Estimate]


@dataclass(frozen=True)
class Fits:
    """The fit of what the seeds say on average, and the fits of the single seeds."""

    mean: Fit
    seeds: tuple[Fit, ...]

    @classmethod
    def of(cls, outcomes: np.ndarray, fit: Callable[[np.ndarray], Fit]) -> Fits:
        """`fit` of the mean of `outcomes` (seeds, items) and, where there are several, of each."""
        return cls(fit(outcomes.mean(axis=0)), tuple(fit(o) for o in outcomes) if len(outcomes) > 1 else ())

    @classmethod
    def linear(
        cls, d: np.ndarray, X: np.ndarray, clusters: np.ndarray, names: Sequence[str], scale: str = "sw"
    ) -> Fits:
        """First differences of margins `d` (seeds, items) on X (items, features)."""
        return cls.of(d, lambda one: first_differences(one, X, clusters, tuple(names), scale))

    def read(self, read: Read) -> Estimate:
        """What `read` finds in the mean's fit, with the spread of the seeds in its interval; null where a seed has no fit."""
        found, each = read(self.mean), [read(seed) for seed in self.seeds]
        missing = next((e for e in each if e.value is None), None)
        return missing or seeded(found, [e.value for e in each if e.value is not None])

    def coefficient(self, name: str) -> Estimate:
        """The coefficient of one feature."""
        return self.read(lambda fit: fit.estimate(name))

    def covariance(self) -> np.ndarray:
        """Of the coefficients, (k, k): over items, and over seeds where there are several."""
        if not self.seeds:
            return self.mean.covariance
        spread = np.atleast_2d(np.cov(np.stack([s.coef for s in self.seeds]), rowvar=False)) / len(self.seeds)
        return self.mean.covariance + spread
