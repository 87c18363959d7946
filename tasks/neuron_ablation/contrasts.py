"""A set against its controls: excess damage, specificity, antagonism. No delta without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.objectives import GROUPS
from harness.stats.bootstrap import percentile
from harness.stats.controls import Control, against
from harness.stats.estimate import Estimate, student
from harness.stats.multiplicity import holm
from harness.task import Metric

from .accuracy import PP, difference, subtasks
from .antagonism import Antagonism, antagonism, called
from .columns import plain, row
from .conditions import draw_of
from .controls import CONTROLS
from .damage import fidelity, gain
from .effects import OBJECTIVE_GROUPS, of_objective
from .sets import OBJECTIVES
from .sweep import INTACT, Sweep

ENOUGH = 10
"""Draws of a control from which its p is printed (corrections, 14)."""

ONLY = {"only_helpful": "helpful", "only_harmless": "harmless"}
OTHER = {"helpful": "harmless", "harmless": "helpful"}


@dataclass(frozen=True)
class Headline:
    """A headline set: its condition, the conditions of its controls by kind, its share of all neurons in per cent."""

    name: str
    condition: str
    controls: Mapping[str, Sequence[str]]
    percent: float
    unmatched: int
    sizes: Sequence[int]


def contrasts(sweep: Sweep, head: Headline, measure: str, dims: Mapping[str, str]) -> Iterator[Metric]:
    """Excess damage over every kind of control, by group, and what the controls were."""
    credit = sweep.values[measure]
    groups = sweep.items["group"].to_numpy(dtype=str)
    for kind in CONTROLS:
        conditions, where = list(head.controls.get(kind, ())), dict(dims) | {"control": kind}
        missing = _missing(head, kind, conditions)
        yield row("controls", plain(len(conditions), reason=missing if not conditions else None), where)
        if conditions:
            spared = fidelity(sweep.margins([INTACT])[:, 0], sweep.margins(conditions), groups)
            yield row("control_fidelity", plain(float(np.mean(spared)), len(conditions)), where)
        for group in GROUPS:
            yield from _excess(sweep, head, credit, conditions, group, where, missing)
    if head.sizes:
        yield row("control_k", plain(float(np.mean(head.sizes)), len(head.sizes)), dict(dims) | {"control": "damage"})


def _excess(
    sweep: Sweep,
    head: Headline,
    credit: pd.DataFrame,
    conditions: list[str],
    group: str,
    dims: Mapping[str, str],
    missing: str,
) -> Iterator[Metric]:
    shares = subtasks(sweep.items, group)
    names = [f"excess_{group}", f"z_{group}"]
    if not shares or not conditions:
        reason = missing if not conditions else f"no items of {group}"
        yield from (row(name, plain(None, reason=reason), dims) for name in names)
        return
    weights = np.array(list(shares.values())) @ sweep.weights.loc[list(shares)].to_numpy()
    own, others = credit[head.condition].to_numpy(dtype=float), credit[conditions].to_numpy(dtype=float)
    test = against(PP * float(weights @ own), PP * (weights @ others), "below")
    items = difference(sweep.items, own - others.mean(axis=1), group)
    estimate = _widened(items, test)
    yield row(names[0], replace(estimate, p=printed(test), reason=estimate.reason or _unprinted(test)), dims)
    yield row(names[1], plain(test.z, test.n, test.reason), dims)
    if test.p_emp is not None:
        yield row(f"p_emp_{group}", plain(test.p_emp, test.n), dims)
    if estimate.value is not None:
        yield row(f"effect_per_1pct_{group}", estimate.scaled(1 / head.percent), dims)


def _widened(items: Estimate, test: Control) -> Estimate:
    """The difference to the controls' mean with the error of that mean added: R draws know it only so well."""
    if items.value is None or items.se is None or test.sd is None:
        return items
    se = float(np.hypot(items.se, test.sd / test.n**0.5))
    found = student(
        items.value, se, items.df or float("inf"), items.n, items.n_clusters, f"{items.method}; control draws"
    )
    return replace(found, p=None)


def printed(test: Control) -> float | None:
    """The p of a control test, kept back where the draws are too few for it to be read alone."""
    return test.p if test.n >= ENOUGH else None


def _unprinted(test: Control) -> str | None:
    return f"{test.n} control draws: a p needs {ENOUGH}" if test.n < ENOUGH else None


def specificity(sweep: Sweep, head: Headline, draws: int, seed: int, dims: Mapping[str, str]) -> Iterator[Metric]:
    """(kappa_own - kappa_other) under an only-set minus its mean over damage-matched controls; negative is objective-specific.

    Source: corrections, 2. p is one-sided from the control draws; the interval is the cluster bootstrap's. Beside it
    `control_kappa_o`, both kappas of every control draw.
    """
    own = ONLY[head.name]
    name, conditions = f"specificity_{own}", list(head.controls.get("damage", ()))
    if not conditions:
        yield row(name, plain(None, reason=_missing(head, "damage", conditions)), dims, main=True)
        return
    found = {o: of_objective(sweep, o, [head.condition, *conditions], draws, seed) for o in OBJECTIVES}
    reason = next((f.reason for f in found.values() if f.reason), None)
    if reason:
        yield row(name, plain(None, reason=reason), dims, main=True)
        return
    for objective, one in found.items():
        for condition, value in zip(conditions, one.values[1:], strict=True):
            where = dict(dims) | {"control": "damage", "draw": draw_of(condition)}
            yield row(f"control_kappa_{objective}", plain(float(value)), where)
    gap = found[own].values - found[OTHER[own]].values
    test = against(float(gap[0]), gap[1:], "below")
    drawn = found[own].draws - found[OTHER[own]].draws
    estimate = _bootstrapped(float(gap[0] - np.nanmean(gap[1:])), drawn[:, 0] - drawn[:, 1:].mean(axis=1), test, sweep)
    yield row(name, replace(estimate, p=printed(test)), dims, main=True)


def _bootstrapped(value: float, drawn: np.ndarray, test: Control, sweep: Sweep) -> Estimate:
    found = percentile(value, drawn, len(sweep.items), sweep.items["cluster_id"].nunique())
    return replace(found, reason=found.reason or test.reason or _unprinted(test))


def tensions(
    sweep: Sweep, heads: Mapping[str, Headline], draws: int, seed: int, dims: Mapping[str, Mapping[str, str]]
) -> Iterator[Metric]:
    """`antagonism_o`: G on the other objective's items under only_o, its three p, and whether tension is called.

    Source: corrections, 1. One Holm family over the two only-sets.
    """
    found: dict[str, tuple[Antagonism, float]] = {}
    for name, own in ONLY.items():
        if name in heads:
            found[own] = _antagonism(sweep, heads[name], OTHER[own], draws, seed)
    enough = {o: len(heads[f"only_{o}"].controls.get("damage", ())) >= ENOUGH for o in found}
    ps = {o: a.p if enough[o] else None for o, (a, _) in found.items()}
    adjusted = dict(zip(ps, holm(list(ps.values())), strict=True))
    calls = dict(zip(ps, called(list(ps.values()), [g for _, g in found.values()]), strict=True))
    for own, (a, _) in found.items():
        where, n = dims[f"only_{own}"], len(sweep.items)
        estimate = Estimate(a.value, None, a.low, a.high, n=n, method="cluster bootstrap", reason=a.reason, p=ps[own])
        yield row(f"antagonism_{own}", estimate, where, p_holm=adjusted[own], main=True)
        if enough[own]:
            for kind in ("items", "same", "matched"):
                yield row(f"antagonism_p_{kind}_{own}", plain(getattr(a, f"p_{kind}"), n, a.reason), where)
        call = calls[own]
        reason = None if call is not None else a.reason or f"fewer than {ENOUGH} control draws"
        yield row(f"tension_{own}", plain(None if call is None else float(call), n, reason), where)


def _antagonism(sweep: Sweep, head: Headline, other: str, draws: int, seed: int) -> tuple[Antagonism, float]:
    total = float(gain(sweep.margins([INTACT])[:, 0], sweep.margins([head.condition]))[0])
    mine = sweep.items["group"].isin(OBJECTIVE_GROUPS[other]).to_numpy()
    if not mine.any():
        return Antagonism(None, reason=f"no items of {other}"), total
    same, matched = (sweep.margins(list(head.controls.get(kind, ())))[mine] for kind in ("rand_layer", "damage"))
    found = antagonism(
        sweep.margins([INTACT])[mine, 0],
        sweep.margins([head.condition])[mine, 0],
        same,
        matched,
        sweep.items["cluster_id"].to_numpy(dtype=str)[mine],
        np.random.default_rng(seed),
        draws,
    )
    return found, total


def _missing(head: Headline, kind: str, conditions: Sequence[str]) -> str:
    if conditions:
        return ""
    if kind == "damage" and head.unmatched:
        return f"unmatched: no size tried of a random set does as much damage as the set in {head.unmatched} draws"
    return "no neutral corpus" if kind == "neutral_top" else "no control draws"
