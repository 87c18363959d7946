"""A member in a few numbers, over the rewrites that keep the meaning; other sets beside it, never among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.stats.accuracy import wilson
from harness.stats.estimate import LEVEL, Estimate, quantile
from harness.stats.linear import Strata, linear
from harness.stats.over_seeds import proportion, seeded
from harness.stats.paired import sign_flip
from harness.task import Metric

from .columns import row
from .compared import Compared
from .pairs import Pairs
from .params import Params
from .ratios import MIN_PROMPTS, PP, still, unturned
from .worst import worst_accuracy, worst_drop

CORE = "core"
APART = ("noise", "stress", "lm", "style", "natural")
"""Sets whose scalars carry their name as `set`; those of the core carry none. The identity is in no set."""


def scalar_rows(
    parts: Sequence[Compared], pairs: Mapping[str, Pairs], params: Params, dims: Mapping[str, str]
) -> list[Metric]:
    """Scalars of one member: of the core first, then of every other set that has a rewriting.

    `parts` are all its rewritings. Of each set those count that exchange both replies, on the pairs whose rewrites are
    valid, and that change pairs of as many prompts as an effect of its own needs; each counts the same. `pairs` are the
    unchanged pairs by set, those of the core for what is not named.
    """
    found = [row("accuracy", proportion(pairs[CORE].credits, pairs[CORE].clusters), dims, main=True)]
    found += [row(name, one, dims, main=True) for name, one in _of_set(parts, CORE, pairs[CORE], params).items()]
    for kind in APART:
        if any(part.rewriting.kind == kind for part in parts):
            scalars = _of_set(parts, kind, pairs.get(kind, pairs[CORE]), params)
            found += [row(name, one, {**dims, "set": kind}) for name, one in scalars.items()]
    return found


def subset_rows(parts: Sequence[Compared], pairs: Pairs, params: Params, dims: Mapping[str, str]) -> list[Metric]:
    """Accuracy and mean drop of every (dataset, subset), over the core."""
    found, core = [], _valid(parts, CORE)
    for dataset, subset in sorted(set(zip(pairs.items["dataset"], pairs.items["subset"], strict=True))):
        of = {**dims, "dataset": str(dataset), "subset": str(subset)}
        here = pairs.where(((pairs.items["dataset"] == dataset) & (pairs.items["subset"] == subset)).to_numpy())
        inside = [part.where(part.pairs["item_id"].isin(here.items.index).to_numpy()) for part in core]
        found.append(row("accuracy", proportion(here.credits, here.clusters), of))
        found.append(row("mean_drop_pp", _mean_drop(_counted(inside), CORE, params).scaled(PP), of))
    return found


def _of_set(parts: Sequence[Compared], kind: str, pairs: Pairs, params: Params) -> dict[str, Estimate]:
    valid = _valid(parts, kind)
    counted = _counted(valid)
    return {
        "n_transforms": Estimate(float(len(counted)), n=_items(counted)),
        "mean_drop_pp": _mean_drop(counted, kind, params).scaled(PP),
        **_worst(counted, kind, params),
        "break_rate": _mean_break(counted, kind),
        "worst_acc": worst_accuracy(pairs, valid),
    }


def _valid(parts: Sequence[Compared], kind: str) -> list[Compared]:
    """Rewritings of a set that exchange both replies, where their rewrites are valid."""
    return [part.valid for part in parts if part.rewriting.kind == kind and part.rewriting.arm == "both"]


def _counted(parts: Sequence[Compared]) -> list[Compared]:
    """Those that change pairs of enough prompts to be measured one by one."""
    return [part for part in parts if part.pairs["cluster_id"].nunique() >= MIN_PROMPTS]


def _mean_drop(parts: Sequence[Compared], kind: str, params: Params) -> Estimate:
    """Mean over rewritings of the drop of accuracy, a difference of fractions: above 0, the model is worse after.

    CR1 with t over rewritings that share their prompts, p by flipping the sign of a prompt in all of them at once
    (corrections 8); seeds as corrections 7.
    """
    if not parts:
        return _nothing(kind)
    drops = np.concatenate([part.before - part.after for part in parts], axis=1)
    clusters, strata = _rows(parts)
    average = drops.mean(axis=0)
    by_prompt = Strata.of(len(strata), strata, None).contributions(average)
    if not drops.any():
        most = float(np.mean([unturned(part.pairs["cluster_id"].to_numpy()) for part in parts]))
        return replace(still(most, -most, _items(parts), len(np.unique(clusters))), p=1.0)
    found = replace(
        linear(average, clusters, strata),
        p=sign_flip(by_prompt, clusters, np.random.default_rng(params.seed)),
        n=_items(parts),
    )
    return seeded(found, [_stratified(one, strata) for one in drops])


def _worst(parts: Sequence[Compared], kind: str, params: Params) -> dict[str, Estimate]:
    """The largest drop in pp with its interval, and that interval's lower end by itself: what may be ranked."""
    found = worst_drop(parts, params.draws, params.seed).scaled(PP) if parts else _nothing(kind)
    low = Estimate.null(found.reason or "no interval", found.n, found.n_clusters)
    if found.low is not None:
        low = Estimate(found.low, n=found.n, n_clusters=found.n_clusters)
    return {"worst_drop_pp": found, "worst_drop_low_pp": low}


def _mean_break(parts: Sequence[Compared], kind: str) -> Estimate:
    """Mean over rewritings of P(wrong after | right before), 0 to 1; CR1 of the linearised ratios, Wilson limits at that
    standard error. A rewriting counts where pairs of enough prompts were right before.
    """
    some = [part for part in parts if _right_prompts(part) >= MIN_PROMPTS]
    if not some:
        return _nothing(kind) if not parts else Estimate.null(f"fewer than {MIN_PROMPTS} prompts are right before")
    clusters, strata = _rows(some)
    if all((part.after[part.before == 1] == 1).all() for part in some):
        rights = [part.pairs["cluster_id"].to_numpy()[(part.before == 1).any(axis=0)] for part in some]
        most = float(np.mean([unturned(right) for right in rights]))
        return still(most, 0.0, _items(some), len(np.unique(clusters)))
    linearised = np.concatenate([_linear_break(part) for part in some], axis=1)
    found = seeded(linear(linearised.mean(axis=0), clusters, strata), [_stratified(one, strata) for one in linearised])
    return _as_share(replace(found, p=None, n=_items(some)))


def _as_share(found: Estimate) -> Estimate:
    """With Wilson limits for as many rows as would give the standard error: a t interval ends too low where few verdicts break."""
    if found.value is None or found.low is None or not found.se or not 0 < found.value < 1:
        return found
    n_eff = found.value * (1 - found.value) / found.se**2
    low, high = wilson(found.value, n_eff, quantile(LEVEL, found.df))
    return replace(found, low=low, high=high, method=f"{found.method}; Wilson at its standard error")


def _right_prompts(part: Compared) -> int:
    """Prompts with a pair that was right before, of the seed with the fewest."""
    return min(part.pairs["cluster_id"][right].nunique() for right in part.before == 1)


def _linear_break(part: Compared) -> np.ndarray:
    """Values (seeds, pairs) whose mean is each seed's break rate and whose spread is what pairs move it by."""
    right = (part.before == 1).astype(float)
    broken = right * (1 - part.after)
    share = right.mean(axis=1, keepdims=True)
    rate = broken.mean(axis=1, keepdims=True) / share
    return rate + (broken - rate * right) / share


def _rows(parts: Sequence[Compared]) -> tuple[np.ndarray, np.ndarray]:
    """Prompt, and number of the rewriting, of every pair of all parts."""
    clusters = np.concatenate([part.pairs["cluster_id"].to_numpy() for part in parts])
    return clusters, np.repeat(np.arange(len(parts)), [len(part.pairs) for part in parts])


def _stratified(values: np.ndarray, strata: np.ndarray) -> float:
    """Mean over strata of the mean within."""
    return float((np.bincount(strata, weights=values) / np.bincount(strata)).mean())


def _items(parts: Sequence[Compared]) -> int:
    return len({item for part in parts for item in part.pairs["item_id"]})


def _nothing(kind: str) -> Estimate:
    return Estimate.null(f"no rewriting of the set {kind} changes pairs of {MIN_PROMPTS} prompts")
