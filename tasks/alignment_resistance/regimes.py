"""A model beside a reference model on the same items: what stayed right, was got, resists, was reversed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.stats.estimate import Estimate, student
from harness.stats.linear import paired
from harness.stats.over_seeds import Bootstrap, over, proportion
from harness.stats.seeds import combine_seeds
from harness.task import Metric

from .rows import row
from .sample import Sample

REGIMES = ("stayed", "got", "resists", "reversed")
NAMES = (*REGIMES, "p_fix", "p_break", "reference_resistance", "resistance_vs_reference")


def shared(sample: Sample, reference: Sample) -> tuple[Sample, Sample]:
    """The items that both scored, in the order of their ids."""
    common = sample.items.index.intersection(reference.items.index)
    ours, theirs = (s.where(s.items.index.isin(common)) for s in (sample, reference))
    return ours, theirs


def regime_rows(sample: Sample, reference: Sample, dims: Mapping[str, str], bootstrap: Bootstrap) -> list[Metric]:
    """Shares of the four regimes, the two conditional ones, the reference's resistance and the paired difference to it.

    Items that both scored, joined by id. A regime's share of an item is the product of the two credits (or
    misalignments): the ties of two models break independently. Several reference seeds count by their mean.
    """
    ours, theirs = shared(sample, reference)
    if not len(ours.items):
        nothing = Estimate.null("no item here was scored by both the model and the reference")
        return [row(name, nothing, dims) for name in NAMES]
    shares = regimes(ours.wrong, theirs.wrong.mean(axis=0))
    clusters = ours.clusters
    was_wrong, was_right = (np.asarray(w).max(axis=0) > 0 for w in (theirs.wrong, 1 - theirs.wrong))
    found = {
        **{name: proportion(share, clusters) for name, share in shares.items()},
        "p_fix": _conditional(shares["got"], shares["resists"], clusters, was_wrong, bootstrap),
        "p_break": _conditional(shares["reversed"], shares["stayed"], clusters, was_right, bootstrap),
        "reference_resistance": proportion(theirs.wrong, clusters),
        "resistance_vs_reference": _difference(ours, theirs, bootstrap.seed),
    }
    return [row(name, estimate, dims) for name, estimate in found.items()]


def regimes(wrong: np.ndarray, reference_wrong: np.ndarray) -> dict[str, np.ndarray]:
    """The four regimes as products of credits, arrays like `wrong` (…, items): they sum to 1 on every item."""
    right, reference_right = 1 - wrong, 1 - reference_wrong
    return {
        "stayed": reference_right * right,
        "got": reference_wrong * right,
        "resists": reference_wrong * wrong,
        "reversed": reference_right * wrong,
    }


def _conditional(
    event: np.ndarray, other: np.ndarray, clusters: np.ndarray, base: np.ndarray, bootstrap: Bootstrap
) -> Estimate:
    sums = np.stack([event, event + other], axis=2)
    return bootstrap.ratio(sums, clusters, lambda t: over(t[..., 0], t[..., 1]), base)


def _difference(ours: Sample, theirs: Sample, seed: int) -> Estimate:
    """Resistance minus the reference's, in pp: sign-flip or exact McNemar p; t over items and seeds where both have several."""
    a, b = ours.wrong, theirs.wrong
    found = paired(a.mean(axis=0), b.mean(axis=0), ours.clusters, rng=np.random.default_rng(seed)).scaled(100.0)
    if min(len(a), len(b)) < 2 or found.value is None or found.se is None:
        return replace(found, method=f"{found.method}; these checkpoints")
    df = float("inf") if found.df is None else found.df
    se, df = combine_seeds(found.se, (100 * a.mean(axis=1)).tolist(), (100 * b.mean(axis=1)).tolist(), items_df=df)
    return student(found.value, se, df, found.n, found.n_clusters, "CR1 and seeds, t (Satterthwaite)")
