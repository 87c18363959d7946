"""A model in a few numbers: what it pays for targets, for style, for length, and how far from people that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.stats.estimate import Estimate
from harness.stats.over_seeds import proportion
from harness.stats.rms import rms_beyond_noise
from harness.stats.shares import held_out_r2, held_out_shares, shapley_r2
from harness.task import Metric

from .columns import SHARES, plain, row
from .fits import Fits
from .imprint import NO_FEATURE
from .margins import Margins
from .params import Params
from .regressors import LENGTH, Regressor

HEADLINES = ("target_imprint", "spoiler_imprint")
SELECTED = ("target", "spoiler")
Chooses = Callable[[Regressor], bool]


def scalar_rows(
    margins: Margins, beta: Fits | None, gaps: Fits | None, params: Params, dims: Mapping[str, str], trusted: Chooses
) -> list[Metric]:
    """The scalars of one member. `trusted` says which regressors may enter means and root mean squares."""
    n = len(margins.design.items)
    counts = {
        "n": plain(float(n), n),
        "n_failed": plain(float(margins.failed), n),
        "accuracy": proportion(margins.agreed, margins.design.clusters),
        "s_w": plain(float(margins.units.mean()), n) if n else Estimate.null("no item was scored"),
    }
    if beta is None or gaps is None:
        nothing = Estimate.null(margins.reason or NO_FEATURE, n)
        names = (
            "target_imprint", "spoiler_imprint", "length_imprint", "imprint_gap", "selectivity", "r2", "r2_heldout",
            *(f"share_{p}" for p in SHARES), *(f"share_heldout_{p}" for p in SHARES),
        )  # fmt: skip
        found = dict.fromkeys(names, nothing)
    else:
        found = {**_imprints(margins, beta, gaps, params, trusted), **_explained(margins, params)}
    return [row(name, estimate, dims, main=name in HEADLINES) for name, estimate in {**counts, **found}.items()]


def _imprints(margins: Margins, beta: Fits, gaps: Fits, params: Params, trusted: Chooses) -> dict[str, Estimate]:
    """Means and root mean squares over the features in the fits: `b_j = beta_j sqrt(mean Dx_j^2)` (corrections 13)."""
    kept = [r for r in margins.design.kept if trusted(r)]
    targets = [r for r in kept if r.kind == "target" and r.desired_sign]
    spoilers = [r.name for r in kept if r.kind == "spoiler"]
    weights = {r.name: r.desired_sign / len(targets) for r in targets}
    target = beta.read(lambda fit: fit.combine(weights)) if targets else Estimate.null("no target can be estimated")
    why_not = margins.design.diagnoses[LENGTH].reason
    length = Estimate.null(why_not, len(margins.design.items)) if why_not else beta.coefficient(LENGTH)
    return {
        "target_imprint": target,
        "spoiler_imprint": _rms(margins, beta, spoilers, params.seed),
        "length_imprint": length,
        "imprint_gap": _rms(margins, gaps, [r.name for r in kept], params.seed),
    }


def _rms(margins: Margins, fits: Fits, names: Sequence[str], seed: int) -> Estimate:
    """Root mean square of what the features pay, less what noise alone adds; its interval by inversion."""
    clusters = len(np.unique(margins.design.clusters))
    if not names or fits.mean.reason or any(fit.reason for fit in fits.seeds):
        reason = fits.mean.reason or next(
            (f.reason for f in fits.seeds if f.reason), "no such feature can be estimated"
        )
        return Estimate.null(reason, len(margins.design.items), clusters)
    at = [fits.mean.names.index(name) for name in names]
    scale = np.sqrt((margins.design.differences(names) ** 2).mean(axis=0))
    b = fits.mean.coef[at] * scale
    V = fits.covariance()[np.ix_(at, at)] * np.outer(scale, scale)
    return rms_beyond_noise(b, V, np.random.default_rng(seed), len(margins.design.items), clusters)


def _explained(margins: Margins, params: Params) -> dict[str, Estimate]:
    """R² of the margins, in the sample and on unseen prompts, and the part of each group of features (corrections 17)."""
    design = margins.design
    X, clusters, d = design.differences(design.names), design.clusters, margins.scaled.mean(axis=0)
    players = [r.player for r in design.kept]

    def rng() -> np.random.Generator:
        return np.random.default_rng(params.seed)

    found = shapley_r2(d, X, players, clusters, rng(), draws=params.draws)
    unseen = held_out_shares(d, X, players, clusters, rng())
    absent = Estimate.null("no feature of this kind can be estimated", len(design.items))
    return {
        "selectivity": found.selectivity(*SELECTED) if set(SELECTED) <= set(players) else absent,
        "r2": found.r2,
        "r2_heldout": held_out_r2(d, X, clusters, rng()),
        **{f"share_{p}": found.players.get(p, absent) for p in SHARES},
        **{f"share_heldout_{p}": unseen.get(p, absent) for p in SHARES},
    }
