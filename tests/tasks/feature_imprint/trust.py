"""Simulated rewards with a known truth on real pairs, through the estimators of feature imprint (corrections 6).

The replies are those of hh-rlhf; the reward of each is what its features earn, an offset of its prompt that goes with the
features, and noise. `python -m tests.tasks.feature_imprint.trust` counts over 2,000 simulations and prints a table.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from harness.tasks.feature_imprint.design import Design
from harness.tasks.feature_imprint.regressors import text_regressors
from threadpoolctl import threadpool_limits

from harness.datasets import load
from harness.preference import PreferenceItem, units
from harness.stats.differences import first_differences, unit
from harness.stats.multiplicity import holm
from harness.stats.pooled import seal_pooled
from harness.text.features import STANDARD, featurize

SIMULATIONS, NO_IMPRINT = 2000, 500
PAIRS = 2000, 500
"""Sizes of the sample, the same number from each subset."""

LEVEL = 0.05
BETA = 0.3
"""SD of the planted coefficients, every third of which is 0; the noise of a reply of mean length has SD 1."""

OFFSET, PROMPT = 1.5, 0.7
"""What a unit of a pair's mean features adds to its offset, and SD of what the preferred replies to a prompt share."""


@dataclass(frozen=True)
class World:
    """A fixed sample of n pairs: features of the chosen replies, then of the rejected ones, (2n, k); prompts (n,).

    `beta` (k,) is what features earn, in reward points; `spread` (2n,) the SD of each reply's noise.
    """

    names: tuple[str, ...]
    texts: np.ndarray
    clusters: np.ndarray
    beta: np.ndarray
    spread: np.ndarray
    refused: dict[str, str]
    effective: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        return np.subtract(*np.split(self.texts, 2))

    def rewards(self, beta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rewards (2n,): offsets that pooling charges to the features, noise with tails that grows with length."""
        n = len(self.clusters)
        groups, codes = np.unique(self.clusters, return_inverse=True)
        offset = OFFSET * sum(np.split(self.texts, 2)).sum(axis=1) / 2 + 3 * rng.normal(size=len(groups))[codes]
        shared = PROMPT * rng.normal(size=len(groups))[codes]
        noise = self.spread * rng.standard_t(5, size=2 * n) * 0.6**0.5
        return self.texts @ beta + np.tile(offset, 2) + np.concatenate([shared, -shared]) / 2 + noise


def texts_of(shared: Path, pairs: int) -> pd.DataFrame:
    """Replies of a fixed sample of hh-rlhf with their features, one row each, as a task has them in its score table."""
    by_subset: dict[str, list[PreferenceItem]] = {}
    for item in load(("hh-rlhf",), shared / "data").items:
        by_subset.setdefault(item.subset, []).append(item)
    rng = np.random.default_rng(6)
    each = pairs // len(by_subset)
    sample = [items[i] for items in by_subset.values() for i in rng.permutation(len(items))[:each]]
    replies = list(units(sample))
    carried = ["unit_id", "item_id", "cluster_id", "dataset", "subset", "side"]
    frame = pd.DataFrame([[getattr(reply, name) for name in carried] for reply in replies], columns=carried)
    return frame.merge(featurize(replies, STANDARD), on="unit_id", validate="one_to_one")


def world(texts: pd.DataFrame) -> World:
    """The design of the task on these replies, and a truth."""
    design = Design.of(texts, text_regressors(STANDARD))
    names = design.names
    features = design.texts(names)
    beta = np.where(np.arange(len(names)) % 3, BETA * np.random.default_rng(12).normal(size=len(names)), 0.0)
    length, asks = (features[:, names.index(name)] for name in ("log_words", "question"))
    spread = np.exp(0.4 * (length - length.mean())) * (1 + 0.5 * asks)
    refused = {name: seen.reason for name, seen in design.diagnoses.items() if seen.reason}
    effective = np.array([design.diagnoses[name].effective_clusters for name in names])
    return World(names, features, design.clusters, beta, spread, refused, effective)


@threadpool_limits.wrap(limits=1)
def coverage(w: World, runs: int) -> pd.DataFrame:
    """By feature: G_eff, and how often the 95 % intervals of first differences and of the pooled fit hold the truth.

    The truth of the first is in units of the sample's s_w, that of the second in reward points.
    """
    hits = np.zeros((2, len(w.names)))
    X, n = w.differences, len(w.clusters)
    for run in range(runs):
        rewards = w.rewards(w.beta, np.random.default_rng([run, n]))
        d = rewards[:n] - rewards[n:]
        s_w = unit(d)
        fits = first_differences(d / s_w, X, w.clusters, w.names), seal_pooled(rewards, w.texts, w.names)
        for which, (fit, truth) in enumerate(zip(fits, (w.beta / s_w, w.beta), strict=True)):
            found = [fit.estimate(name) for name in w.names]
            hits[which] += [e.low <= t <= e.high for e, t in zip(found, truth, strict=True)]
    fd, pooled = hits / runs
    return pd.DataFrame({"g_eff": w.effective, "beta": w.beta, "fd": fd, "pooled": pooled}, index=list(w.names))


@threadpool_limits.wrap(limits=1)
def alarms(w: World, runs: int) -> tuple[int, int]:
    """Simulations without any imprint that have a significant feature: after Holm, and without it."""
    adjusted = plain = 0
    X, n = w.differences, len(w.clusters)
    for run in range(runs):
        rewards = w.rewards(np.zeros(len(w.names)), np.random.default_rng([run, n, 0]))
        d = rewards[:n] - rewards[n:]
        fit = first_differences(d / unit(d), X, w.clusters, w.names)
        ps = [fit.estimate(name).p for name in w.names]
        adjusted += min(holm(ps)) <= LEVEL
        plain += min(ps) <= LEVEL
    return adjusted, plain


def main(runs: int = SIMULATIONS) -> None:
    """Print coverage by feature and false alarms at both sizes."""
    shared = Path(os.environ.get("REWARD_HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    if not (shared / "data").is_dir():
        sys.exit(f"no real data at {shared}: put it there or set REWARD_HARNESS_SHARED")
    for pairs in PAIRS:
        w = world(texts_of(shared, pairs))
        found = coverage(w, runs)
        blind = max(1, runs * NO_IMPRINT // SIMULATIONS)
        adjusted, plain = alarms(w, blind)
        print(f"\n{pairs} pairs, {len(set(w.clusters))} prompts, {runs} simulations; not estimable: {w.refused}")
        print(found.to_string(float_format=lambda x: f"{x:.3f}"))
        print(f"mean over features: fd {found['fd'].mean():.4f}, pooled {found['pooled'].mean():.4f}")
        print(
            f"no imprint, {blind} simulations with a significant feature: {adjusted} (Holm), {plain} (without)",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
