"""How often the labeler sides with the human label, by what became of the pair between the reference and the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.stats.over_seeds import Bootstrap, over
from harness.task import Metric

from .regimes import regimes, shared
from .rows import plain, row
from .sample import Sample


def siding_rows(
    sample: Sample, reference: Sample, column: str, dims: Mapping[str, str], bootstrap: Bootstrap
) -> list[Metric]:
    """`sides_with_human` = `n_sides_with_human` / `n_decided` by regime: of the pairs with a verdict c or r, those with c.

    A pair counts in a regime by its share of it, so the counts need not be whole. SEAL (2408.10270) draws this
    ratio with the whole regime as the denominator of its error bars; here both counts stand beside it.
    """
    ours, theirs = shared(sample, reference)
    given = ours.items[column].to_numpy()
    agrees, decided = given == "c", np.isin(given, ("c", "r"))
    made = []
    for regime, share in regimes(ours.wrong, theirs.wrong.mean(axis=0)).items():
        of = {**dims, "regime": regime}
        sums = np.stack([share * agrees, share * decided], axis=2)
        above, below = sums.sum(axis=1).mean(axis=0)
        base = decided & (share > 0).any(axis=0)
        ratio = bootstrap.ratio(sums, ours.clusters, lambda t: over(t[..., 0], t[..., 1]), base)
        made += [
            row("sides_with_human", ratio, of),
            row("n_sides_with_human", plain(float(above), len(given)), of),
            row("n_decided", plain(float(below), len(given)), of),
        ]
    return made
