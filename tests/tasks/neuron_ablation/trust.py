"""Simulated ablations with a known truth, run through the whole pipeline of statistics.

Every neuron adds its part to the margin of every item; ablating a set takes its parts away. Corrections 14 says how
often what is called may be wrong. `python -m tests.tasks.neuron_ablation.trust` counts over its 400 seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from harness.tasks.neuron_ablation.antagonism import Antagonism, antagonism, called, growth
from harness.tasks.neuron_ablation.damage import fidelity, gain
from harness.tasks.neuron_ablation.retention import retention
from scipy.stats import norm

from harness.stats.bootstrap import cluster_weights, row_weights
from harness.stats.controls import Control, against

SEEDS = 400
NEURONS, SIZE, CONTROLS = 400, 20, 20
"""Neurons of the model, of a set (5 %), and control draws of each kind: the `default` profile."""

PROFILES = {
    "equal": (0.8, 0.8, 0.8),
    "own high": (1.2, 0.5, 0.5),
    "other high": (0.5, 1.2, 1.2),
    "other below chance": (0.8, -0.5, -0.5),
    "half refuse half comply": (0.8, 0.9, -0.6),
}
"""Mean over SD of the intact margins of helpful, refuse and comply items."""

GROUPS = ("helpful", "refuse", "comply")
SUBTASKS = {"helpful": (150, 150), "refuse": (75, 75), "comply": (75, 75)}
"""Items of each sub-task."""

SPREAD = 0.5
"""SD of the log size of a neuron's contributions: the largest 5 % of neurons make up an eighth of a mean margin."""

TAU = 0.01
"""SD of a neuron's own contribution to the mean of an objective, in SDs of the margin: .045 for a random set of 5 %."""

COST, TENSION, FADED = 0.1, 0.4, 0.4
"""What a planted set costs its own objective in accuracy, gives the other in SDs of its margin, and takes from both."""

SCALES = 1.0, 0.9, 1.1
"""What scores may be multiplied by after an ablation without a call."""


@dataclass(frozen=True)
class Table:
    """Contributions (n, N) to the oriented margins of n items, what the items are, and the two sets (k,) judged."""

    parts: np.ndarray
    groups: np.ndarray
    subtasks: np.ndarray
    clusters: np.ndarray
    only_h: np.ndarray
    only_a: np.ndarray

    @cached_property
    def intact(self) -> np.ndarray:
        return self.parts.sum(axis=1)

    def without(self, masks: np.ndarray) -> np.ndarray:
        """Margins (n, C) without the neurons of each mask (N, C)."""
        return self.intact[:, None] - self.parts @ masks

    def of(self, objective: str) -> np.ndarray:
        return (self.groups == "helpful") == (objective == "helpful")


def table(profile: str, truth: str, rng: np.random.Generator, tau: float = TAU) -> Table:
    """A model of the profile and sets of which `truth` (a key of `TRUTHS`) holds."""
    sizes = [(g, n) for g in GROUPS for n in SUBTASKS[g]]
    groups = np.repeat([g for g, _ in sizes], [n for _, n in sizes])
    subtasks = np.repeat([f"{g}-{i}" for i, (g, _) in enumerate(sizes)], [n for _, n in sizes])
    clusters = np.arange(len(groups)) // 2
    weight = np.exp(rng.normal(0, SPREAD, NEURONS))
    names, at = np.unique(subtasks, return_inverse=True)
    home = np.array([GROUPS.index(name.split("-")[0]) for name in names])
    levels = np.array(PROFILES[profile])[home] + rng.normal(0, 0.1, len(names))
    own = rng.normal(0, tau * 0.5**0.5, (2, NEURONS))[np.minimum(home, 1)]
    own += rng.normal(0, tau * 0.5**0.5, (len(names), NEURONS))
    means = levels[:, None] * weight / weight.sum() + own - own.mean(axis=1, keepdims=True)
    sets = TRUTHS[truth](profile, means, home, weight, rng)
    noise = rng.normal(size=(len(groups) // 2, NEURONS))[clusters] * 0.3**0.5
    noise += rng.normal(size=(len(groups), NEURONS)) * 0.7**0.5
    parts = means[at] + noise * weight / np.sqrt((weight**2).sum())
    return Table(parts, groups, subtasks, clusters, *sets)


Sets = tuple[np.ndarray, np.ndarray]


def _random(profile: str, means: np.ndarray, home: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Sets:
    """Any neurons at all."""
    both = rng.choice(NEURONS, 2 * SIZE, replace=False)
    return both[:SIZE], both[SIZE:]


def _uniform(profile: str, means: np.ndarray, home: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Sets:
    """The neurons that contribute most to everything."""
    both = rng.permutation(np.argsort(-weight)[: 2 * SIZE])
    return both[:SIZE], both[SIZE:]


def _planted(profile: str, means: np.ndarray, home: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Sets:
    """only_h carries `COST` of the helpful accuracy, and nothing else of note."""
    sets = _random(profile, means, home, weight, rng)
    level = PROFILES[profile][0]
    _move(means, home == 0, sets[0], level - norm.ppf(norm.cdf(level) - COST))
    return sets


def _tense(profile: str, means: np.ndarray, home: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Sets:
    """As `_planted`, and only_h also holds the harmless margins down by `TENSION` of their SD."""
    sets = _planted(profile, means, home, weight, rng)
    _, refuse, comply = PROFILES[profile]
    _move(means, home > 0, sets[0], -TENSION * (1 + ((refuse - comply) / 2) ** 2) ** 0.5)
    return sets


def _faded(profile: str, means: np.ndarray, home: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Sets:
    """Each set carries `FADED` of the mean margin of every sub-task, but no more of the differences between items.

    The known limit of G: where the other objective is below chance, its mean fades towards 0 while the slope of
    margins on margins stays near 1, and that is called a tension. No line is drawn for it.
    """
    sets = _random(profile, means, home, weight, rng)
    for chosen in sets:
        for task, level in enumerate(means.sum(axis=1)):
            _move(means, np.arange(len(means)) == task, chosen, FADED * level)
    return sets


def _move(means: np.ndarray, where: np.ndarray, chosen: np.ndarray, amount: float) -> None:
    """Let `chosen` carry `amount` of the mean margin that all neurons carried."""
    means[where] -= amount / NEURONS
    means[np.ix_(where, chosen)] += amount / len(chosen)


TRUTHS: dict[str, Callable[..., Sets]] = {
    "random": _random,
    "uniform": _uniform,
    "planted": _planted,
    "tension": _tense,
    "faded": _faded,
}


def random_masks(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random set of each of the sizes (R,): masks (N, R)."""
    return (rng.random((NEURONS, len(sizes))).argsort(axis=0) < sizes).astype(float)


def matched_masks(t: Table, target: float, rng: np.random.Generator) -> np.ndarray:
    """`CONTROLS` random sets, each bisected in size until its fidelity is within .01 of `target`; masks (N, R')."""
    ranks = rng.random((NEURONS, CONTROLS)).argsort(axis=0)
    low, high = np.zeros(CONTROLS, dtype=int), np.full(CONTROLS, NEURONS)
    while (high - low > 1).any():
        middle = (low + high) // 2
        milder = fidelity(t.intact, t.without((ranks < middle).astype(float)), t.groups) > target
        low, high = np.where(milder, middle, low), np.where(milder, high, middle)
    masks = (ranks < high).astype(float)
    return masks[:, np.abs(fidelity(t.intact, t.without(masks), t.groups) - target) <= 0.01]


@dataclass(frozen=True)
class Verdict:
    """What the pipeline says of only_h, and whether it calls a tension of either set, at each factor of scale."""

    specificity: Control
    called: dict[float, bool]


def judge(t: Table, rng: np.random.Generator, factors: tuple[float, ...] = (1.0,), draws: int = 1000) -> Verdict:
    """Both sets through the statistics; `factors` multiply all scores after the ablation of only_h."""
    masks = [np.isin(np.arange(NEURONS), chosen).astype(float)[:, None] for chosen in (t.only_h, t.only_a)]
    ablated = [t.without(mask) for mask in masks]
    controls = [_controls(t, after, rng) for after in ablated]
    other = [t.of("harmless"), t.of("helpful")]

    def tension(which: int, factor: float) -> Antagonism:
        rows, (same, matched) = other[which], controls[which]
        after = ablated[which][rows, 0] * factor
        return antagonism(t.intact[rows], after, same[rows], matched[rows], t.clusters[rows], rng, draws)

    second, second_gain = tension(1, 1.0), gain(t.intact, ablated[1])[0]
    first = {f: tension(0, f) for f in factors}
    sizes = {f: f * gain(t.intact, ablated[0])[0] for f in factors}
    calls = {f: any(called([first[f].p, second.p], [sizes[f], second_gain])) for f in factors}
    return Verdict(specificity(t, ablated[0], controls[0][1], rng), calls)


def _controls(t: Table, after: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Margins under sets of the same size and of the same damage, (n, R) each."""
    same = t.without(random_masks(np.full(CONTROLS, SIZE), rng))
    return same, t.without(matched_masks(t, fidelity(t.intact, after, t.groups)[0], rng))


def specificity(t: Table, after: np.ndarray, matched: np.ndarray, rng: np.random.Generator) -> Control:
    """kappa of helpful minus kappa of harmless under only_h (n, 1), against damage-matched sets (n, R)."""
    for objective in ("helpful", "harmless"):
        rows = t.of(objective)
        unique, counts = cluster_weights(t.clusters[rows], 200, rng)
        weights = row_weights(t.clusters[rows], unique, counts)
        check = retention(t.intact[rows], after[rows, :0], t.subtasks[rows], t.clusters[rows], rng, weights)
        if check.reason:
            return Control(reason=check.reason)
    difference = kappa_difference(t, np.column_stack([after, matched]), rng)
    return against(difference[0], difference[1:], "below")


def kappa_difference(t: Table, ablated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """kappa of helpful minus kappa of harmless (C,) of ablated margins (n, C)."""
    parts = [t.of(objective) for objective in ("helpful", "harmless")]
    first, second = (retention(t.intact[p], ablated[p], t.subtasks[p], t.clusters[p], rng).values for p in parts)
    return first - second


@dataclass(frozen=True)
class Counts:
    """Of `runs` simulations: specificity significant at .05, its group at chance, and tension called, by factor."""

    runs: int
    specific: int
    at_chance: int
    called: dict[float, int]


def count(profile: str, truth: str, runs: int, factors: tuple[float, ...] = (1.0,), tau: float = TAU) -> Counts:
    """`runs` seeded simulations of one profile and truth."""
    verdicts = []
    for seed in range(runs):
        rng = np.random.default_rng([seed, *map(ord, profile + truth)])
        verdicts.append(judge(table(profile, truth, rng, tau), rng, factors))
    ps = [v.specificity.p for v in verdicts]
    specific = sum(p is not None and p <= 0.05 for p in ps)
    return Counts(runs, specific, ps.count(None), {f: sum(v.called[f] for v in verdicts) for f in factors})


STATISTICS: dict[str, tuple[str, Callable[[Table, np.ndarray, np.random.Generator], np.ndarray]]] = {
    "margin": ("below", lambda t, a, rng: (a - t.intact[:, None])[t.of("helpful")].mean(axis=0)),
    "kappa": ("below", kappa_difference),
    "G": ("above", lambda t, a, rng: growth(t.intact[t.of("harmless")], a[t.of("harmless")])),
}
"""What controls are asked about, and the side of the claim: a number for each column of ablated margins."""


def random_against_random(runs: int, draws: int) -> dict[str, np.ndarray]:
    """By statistic, one random set and `draws` more a run: (1 + draws, runs). Twenty runs share a model."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in STATISTICS}
    for run in range(runs):
        if run % 20 == 0:
            rng = np.random.default_rng([run, 14])
            t = table(list(PROFILES)[run // 20 % len(PROFILES)], "random", rng)
        ablated = t.without(random_masks(np.full(1 + draws, SIZE), rng))
        for name, (_, of) in STATISTICS.items():
            found[name].append(of(t, ablated, rng))
    return {name: np.column_stack(values) for name, values in found.items()}


def main(runs: int = SEEDS) -> None:
    """Print the counts of every truth and profile; planted sets also with another scale after ablation."""
    for truth in TRUTHS:
        for profile in PROFILES:
            factors = SCALES if truth == "planted" else (1.0,)
            print(f"{truth:8} {profile:24} {count(profile, truth, runs, factors)}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
