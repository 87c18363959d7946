"""From the table and the arrays of a run to all rows of its result; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from harness.stats.multiplicity import holm
from harness.task import Arrays, Metric, ScoreTable

from . import contrasts, effects, overlap
from .columns import plain, row
from .conditions import control_name, set_name
from .contrasts import ENOUGH, ONLY, Headline
from .design import label
from .params import Params
from .sets import HEADLINE, OBJECTIVES, SETS, Chosen, choose
from .sweep import INTACT, Sweep

FAMILY = ("excess_helpful", "excess_refuse", "excess_comply")
"""With every headline set, against controls of equal damage: the family that Holm's correction covers."""


def rows(table: ScoreTable, arrays: Arrays, params: Params) -> list[Metric]:
    """All rows of all ablated models. None without arrays: a trivial model has no neurons."""
    models = sorted(
        {(m, int(s)) for m, s in (n.split("/")[1].rsplit(".", 1) for n in arrays if n.startswith("chosen_by/"))}
    )
    found: list[Metric] = []
    for model in models:
        found += _printed(_holm(list(_Ablated(model, table, arrays, params).rows())), params)
    return [*found, *overlap.overlaps(arrays, params), *overlap.reliabilities(arrays, params)]


class _Ablated:
    """One ablated model with its sets and the items that all its conditions have scored."""

    def __init__(self, model: tuple[str, int], table: ScoreTable, arrays: Arrays, params: Params) -> None:
        self.name, self.arrays, self.params = label(model), arrays, params
        self.measure = "strict" if params.strict else "credit"
        self.dims = {"member": model[0], "seed": str(model[1])}
        self.scores = {o: arrays[f"chosen_by/{self.name}/{o}"] for o in OBJECTIVES}
        self.sets = {p: choose(self.scores, p, params.rank, params.ties) for p in params.levels}
        everything = Sweep.of(table, model)
        self.heads = self._headlines(set(everything.values["margin"].columns))
        asked = [
            set_name(s, p, params.mode) for p, sets in self.sets.items() for s, chosen in sets.items() if len(chosen)
        ]
        controls = [c for head in self.heads.values() for some in head.controls.values() for c in some]
        self.sweep = everything.complete([INTACT, *asked, *controls])

    def rows(self) -> Iterator[Metric]:
        """Every row of this model."""
        params, sweep = self.params, self.sweep
        yield from effects.baseline(sweep, self.measure, self.dims)
        rng = np.random.default_rng(params.seed)
        conditions: dict[str, Mapping[str, str]] = {}
        for percent, sets in self.sets.items():
            for name in SETS:
                dims, chosen = self._dims(name, percent), sets[name]
                yield row("k", plain(len(chosen), len(chosen), "empty set" if not len(chosen) else None), dims)
                yield from overlap.depth(chosen, self.scores["helpful"], dims)
                if len(chosen):
                    condition = set_name(name, percent, params.mode)
                    conditions[condition] = dims
                    yield from effects.effects(sweep, condition, self.measure, dims, rng)
        yield from effects.kappas(sweep, conditions, params.draws, params.seed)
        yield from self._contrasts()

    def _contrasts(self) -> Iterator[Metric]:
        params = self.params
        dims = {name: self._dims(name, params.headline) for name in HEADLINE}
        for name, head in self.heads.items():
            yield from contrasts.contrasts(self.sweep, head, self.measure, dims[name])
            if name in ONLY:
                yield from contrasts.specificity(self.sweep, head, params.draws, params.seed, dims[name])
        for name in ONLY.keys() - self.heads.keys():
            for column in (f"specificity_{ONLY[name]}", f"antagonism_{ONLY[name]}"):
                yield row(column, plain(None, reason="empty set"), dims[name], main=True)
        yield from contrasts.tensions(self.sweep, self.heads, params.draws, params.seed, dims)

    def _headlines(self, scored: set[str]) -> dict[str, Headline]:
        """Headline sets with the control conditions that the table holds for all items."""
        params, found = self.params, {}
        total = int((~np.isnan(self.scores["helpful"])).sum())
        for name in HEADLINE:
            chosen: Chosen = self.sets[params.headline][name]
            if not len(chosen):
                continue
            condition = set_name(name, params.headline, params.mode)
            searched = self.arrays.get(f"matched/{self.name}/{name}", np.empty((0, 2), int))
            good = [(r, int(n)) for r, (n, matched) in enumerate(searched) if matched]
            if 2 * len(good) < len(searched):
                good = []  # the draws that happen to match would not stand for the others
            controls = {
                kind: [c for r in range(params.controls) if (c := control_name(condition, kind, r)) in scored]
                for kind in ("rand_layer", "rand_label", "neutral_top")
            } | {"damage": [control_name(condition, "damage", r, n) for r, n in good]}
            found[name] = Headline(
                name, condition, controls, 100 * len(chosen) / total, len(searched) - len(good), [n for _, n in good]
            )
        return found

    def _dims(self, name: str, percent: float) -> dict[str, str]:
        return self.dims | {"set": name, "p": f"{percent:g}"}


def _printed(found: list[Metric], params: Params) -> list[Metric]:
    """The rows, without any p where there are too few control draws to read one beside (corrections, 14)."""
    return found if params.controls >= ENOUGH else [replace(m, p=None, p_holm=None) for m in found]


def _holm(found: list[Metric]) -> list[Metric]:
    """The rows of one model with Holm's correction over the headline family."""
    family = [m for m in found if m.name in FAMILY and m.dims.get("control") == "damage"]
    adjusted = dict(zip((m.key for m in family), holm([m.p for m in family]), strict=True))
    return [replace(m, p_holm=adjusted[m.key]) if m.key in adjusted else m for m in found]
