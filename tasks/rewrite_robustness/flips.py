"""Do verdicts change where a rewrite changes a label? SEAL's robustness scores on the population they are about.

SEAL (2408.10270, its fourth regression) fits one linear model to three labels, over all pairs, with cells down to 3 texts.
Here (methods 6.3, corrections 19): breaks among the pairs that were right and fixes among those that were wrong, a Firth
logit, no cell below 20 pairs, and flips that a labeler makes of an unchanged text are reckoned out. One model a label
field, with both sides and both directions in it: fifteen fields of four cells each are too many for a thousand pairs, so a
coefficient holds what goes along with the field's flips, other labels included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.sides import SIDES
from harness.stats.estimate import Estimate, satterthwaite, student
from harness.stats.firth import firth_logit, risk_difference, separated
from harness.stats.linear import Weights, linear
from harness.stats.multiplicity import holm
from harness.stats.over_seeds import proportion, seeded
from harness.task import Metric

from .columns import plain, row
from .compared import Compared
from .relabelled import CONTROLS, Relabelled

METHOD = "Firth logit, CR1, t"
BY_LM = ("lm", "style")
MIN_CELL = 20
"""Pairs in a cell, and replies labelled twice, below which nothing is said."""
MIN_PPV = 0.3
"""Below this share of true flips what is seen of their effect cannot be scaled up (corrections 19)."""
NO_RETEST = (
    "replies labelled twice: {least} are needed to know how often a label flips by itself; label them with "
    "reward-harness label --retest 1"
)

CHANGES: Mapping[str, Callable[[pd.Series], pd.Series]] = {"gained": lambda x: x > 0, "lost": lambda x: x < 0}
"""By name: whether the label of the rewrite is above that of the original, or below."""
CELLS = [(side, change) for side in SIDES for change in CHANGES]


@dataclass(frozen=True)
class Event:
    """What may become of a pair: `credit` before is the population, `happened` makes the outcome of the credit after."""

    credit: float
    happened: Callable[[np.ndarray], np.ndarray]


EVENTS: Mapping[str, Event] = {"break": Event(1.0, lambda after: 1 - after), "fix": Event(0.0, lambda after: after)}

Found = tuple[str, Estimate, Mapping[str, str]]


def flip_rows(every: Sequence[Compared], relabelled: Relabelled, dims: Mapping[str, str]) -> list[Metric]:
    """Rows of one member for every way a language model rewrote both sides, label field, side and direction.

    `flip` is the share of valid rewrites whose label is above (`gained`) or below (`lost`) that of the original, `aa_flip`
    the same of unchanged originals labelled twice (half of all their flips: as often a gain as a loss), `ppv` = (flip -
    aa_flip)/flip, by the delta method; a little low where many labels truly change, since A/A is taken off those too (and
    `pi` that much too large). By event: `cell_n` pairs, `pi_logodds` (above 0: the flip makes the event
    likelier), `pi_ame` the risk difference (`firth.risk_difference`) and `pi` = pi_ame/ppv, null where ppv is below .3.
    Controls are edit ratio, similarity and change of log words of both sides, where known for all pairs. CR1 by prompt; of
    several seeds all pairs are fitted together and the variance of the seeds' own estimates is added. Holm by column
    over all that the member has here.
    """
    found: list[Found] = []
    for compared in every:
        if compared.rewriting.kind in BY_LM and compared.rewriting.arm == "both":
            of = {**dims, "set": compared.rewriting.kind, "transform": compared.rewriting.name}
            for field in relabelled.fields:
                found += _of_field(compared.valid, relabelled, field, {**of, "label": field})
    names = dict.fromkeys(name for name, _, _ in found)
    adjusted = {name: iter(holm([estimate.p for other, estimate, _ in found if other == name])) for name in names}
    return [row(name, estimate, of, p_holm=next(adjusted[name])) for name, estimate, of in found]


def _of_field(compared: Compared, relabelled: Relabelled, field: str, dims: Mapping[str, str]) -> list[Found]:
    sides = relabelled.sides(compared.rewriting.name, compared.pairs.index, [field, *CONTROLS])
    found: list[Found] = []
    ppv = {}
    again = {side: _again(relabelled, field, side) for side in sides}
    for side, change in CELLS:
        of = {**dims, "side": side, "change": change}
        by_name = _flips(sides[side][field], compared.pairs["cluster_id"], again[side], change)
        ppv[side, change] = by_name["ppv"]
        found += [(name, estimate, of) for name, estimate in by_name.items()]
    for event in EVENTS:
        for (side, change), cell in _cells(compared, sides, field, event).items():
            of = {**dims, "side": side, "change": change, "event": event}
            by_name = {**cell, "pi": _scaled_up(cell["pi_ame"], ppv[side, change])}
            found += [(name, estimate, of) for name, estimate in by_name.items()]
    return found


# --- how often labels flip ----------------------------------------------------------------------


def _again(relabelled: Relabelled, field: str, side: str) -> pd.DataFrame:
    """Whether the label changed where the text did not, `flipped` 0 or 1, with the prompts."""
    again = relabelled.again.loc[relabelled.again["side"] == side, ["cluster_id", field]].dropna()
    return again[["cluster_id"]].assign(flipped=(again[field] != 0).astype(float))


def _flips(values: pd.Series, clusters: pd.Series, again: pd.DataFrame, change: str) -> dict[str, Estimate]:
    known = values.notna().to_numpy()
    flipped = CHANGES[change](values[known]).to_numpy(dtype=float)
    prompts, same = clusters.to_numpy()[known], again["cluster_id"].to_numpy()
    by_itself = again["flipped"].to_numpy()
    flip = proportion(flipped[None], prompts)
    if len(again) < MIN_CELL:
        nothing = Estimate.null(f"{len(again)} {NO_RETEST.format(least=MIN_CELL)}", len(again))
        return {"flip": flip, "aa_flip": nothing, "ppv": nothing}
    aa = proportion(by_itself[None], same).scaled(0.5)
    return {"flip": flip, "aa_flip": aa, "ppv": _ppv(flipped, prompts, by_itself / 2, same)}


def _ppv(flipped: np.ndarray, prompts: np.ndarray, by_itself: np.ndarray, same: np.ndarray) -> Estimate:
    """1 - aa/flip by the delta method; a prompt may be in both samples."""
    flip = float(flipped.mean()) if flipped.size else 0.0
    if not flip:
        return Estimate.null("no label flips", flipped.size, len(np.unique(prompts)))
    ratio = float(by_itself.mean()) / flip
    strata = np.repeat(["flip", "aa"], [flipped.size, by_itself.size])
    slope: Weights = {"flip": ratio / flip, "aa": -1 / flip}
    step = linear(np.concatenate([flipped, by_itself]), np.concatenate([prompts, same]), strata, slope)
    if step.se is None or step.df is None:
        return replace(step, value=1 - ratio)
    return replace(student(1 - ratio, step.se, step.df, flipped.size, step.n_clusters, "CR1, t; delta"), p=None)


def _scaled_up(effect: Estimate, ppv: Estimate) -> Estimate:
    """effect / ppv. Given which labels flipped, the one does not hang on how many did: their errors are independent."""
    n, groups = effect.n, effect.n_clusters
    if effect.value is None or ppv.value is None:
        return Estimate.null(effect.reason or ppv.reason or "undefined", n, groups)
    if ppv.value < MIN_PPV:
        reason = f"of the flips {max(0.0, ppv.value):.0%} are more than the labeler makes by itself; {MIN_PPV:.0%} are needed"
        return Estimate.null(reason, n, groups)
    value = effect.value / ppv.value
    if effect.se is None or ppv.se is None or effect.df is None or ppv.df is None:
        return Estimate(value, n=n, n_clusters=groups, reason=effect.reason or ppv.reason or "no standard error")
    variances = [(effect.se / ppv.value) ** 2, (value * ppv.se / ppv.value) ** 2]
    df = satterthwaite(variances, [effect.df, ppv.df])
    return student(value, sum(variances) ** 0.5, df, n, groups, f"{effect.method}; delta")


# --- what goes with a flip ----------------------------------------------------------------------

Cell = tuple[str, str]


@dataclass(frozen=True)
class _Rows:
    """Pairs of every seed one below the other: `y` what happened, the seed and the pair of each row, its prompt, and the
    flips (rows, cells) and controls of its pair.
    """

    y: np.ndarray
    seed: np.ndarray
    pair: np.ndarray
    clusters: np.ndarray
    cells: np.ndarray
    controls: np.ndarray

    def where(self, mask: np.ndarray) -> _Rows:
        """The rows under a mask."""
        return _Rows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


def _cells(
    compared: Compared, sides: Mapping[str, pd.DataFrame], field: str, event: str
) -> dict[Cell, dict[str, Estimate]]:
    """`cell_n`, `pi_logodds` and `pi_ame` of every cell of one field and event."""
    rows = _rows(compared, sides, field, EVENTS[event])
    seeds = len(compared.before)
    counts = rows.cells.sum(axis=0) / seeds
    kept, large = _without_small(rows, seeds)
    fitted = _fitted(kept, [cell for cell, fine in zip(CELLS, large, strict=True) if fine], event, seeds)
    n = len(np.unique(rows.pair))
    made = {}
    for cell, count in zip(CELLS, counts, strict=True):
        small = Estimate.null(
            f"{count:.4g} pairs in this cell, others that are too small left out: {MIN_CELL} are needed", n
        )
        logodds, ame = fitted.get(cell, (small, small))
        made[cell] = {"cell_n": plain(float(count), n), "pi_logodds": logodds, "pi_ame": ame}
    return made


def _rows(compared: Compared, sides: Mapping[str, pd.DataFrame], field: str, event: Event) -> _Rows:
    """The pairs that may have the event, with the label known on both sides before and after."""
    flips = np.column_stack([CHANGES[change](sides[side][field]) for side, change in CELLS]).astype(float)
    controls = np.column_stack([sides[side][name] for name in CONTROLS for side in sides])
    known = np.all([frame[field].notna().to_numpy() for frame in sides.values()], axis=0)
    seed, pair = np.nonzero((compared.before == event.credit) & known)
    clusters = compared.pairs["cluster_id"].to_numpy()[pair]
    return _Rows(event.happened(compared.after[seed, pair]), seed, pair, clusters, flips[pair], controls[pair])


def _without_small(rows: _Rows, seeds: int) -> tuple[_Rows, np.ndarray]:
    """The rows in no cell that is too small, and which cells are large enough; a row that goes may make another cell small."""
    while True:
        large = rows.cells.sum(axis=0) / seeds >= MIN_CELL
        stays = np.asarray(~rows.cells[:, ~large].any(axis=1))
        if stays.all():
            return rows, large
        rows = rows.where(stays)


def _fitted(rows: _Rows, cells: Sequence[Cell], event: str, seeds: int) -> dict[Cell, tuple[Estimate, Estimate]]:
    """Log-odds and risk difference of each of the cells, in one model."""
    found = _fit(rows, cells, event)
    if seeds < 2 or not cells:
        return found
    alone = [_fit(rows.where(rows.seed == seed), cells, event) for seed in range(seeds)]
    return {
        cell: (
            _over_seeds(found[cell][0], [one[cell][0] for one in alone]),
            _over_seeds(found[cell][1], [one[cell][1] for one in alone]),
        )
        for cell in cells
    }


def _over_seeds(estimate: Estimate, alone: Sequence[Estimate]) -> Estimate:
    values = [one.value for one in alone if one.value is not None]
    if estimate.value is None or estimate.se is None or len(values) == len(alone):
        return seeded(estimate, values)
    reason = "no interval: the pairs of one seed alone have no fit, so nothing is known of the seeds' spread"
    return Estimate(estimate.value, n=estimate.n, n_clusters=estimate.n_clusters, method=estimate.method, reason=reason)


def _fit(rows: _Rows, cells: Sequence[Cell], event: str) -> dict[Cell, tuple[Estimate, Estimate]]:
    names = ["/".join(cell) for cell in cells]
    controls = rows.controls[:, [len(c) > 0 and np.isfinite(c).all() and np.ptp(c) > 0 for c in rows.controls.T]]
    columns = ["intercept", *names, *(f"control {i}" for i in range(controls.shape[1]))]
    X = np.column_stack([np.ones(len(rows.y)), rows.cells[:, [CELLS.index(cell) for cell in cells]], controls])
    n = len(np.unique(rows.pair))
    if not n or not np.ptp(rows.y):
        nothing = Estimate.null(f"all or none of the {n} pairs {event}: there is nothing to tell apart", n)
        return dict.fromkeys(cells, (nothing, nothing))
    fit = firth_logit(rows.y, X, rows.clusters, columns, METHOD)
    certain = () if fit.reason else separated(rows.y, X, columns)
    made = {}
    for cell, name in zip(cells, names, strict=True):
        others = [other for other in names if other != name and other.startswith(cell[0])]
        logodds, ame = fit.estimate(name), risk_difference(fit, X, name, others)
        made[cell] = _judged(logodds, name in certain, n), _judged(ame, name in certain, n)
    return made


def _judged(estimate: Estimate, certain: bool, pairs: int) -> Estimate:
    """The estimate, without an interval where its cell foretells the event: the residuals behind it are all but 0."""
    if not certain:
        return replace(estimate, n=pairs)
    reason = "no interval: separation, with this cell the event is predicted perfectly"
    return Estimate(estimate.value, n=pairs, n_clusters=estimate.n_clusters, method=estimate.method, reason=reason)
