"""What is asked of the models, round by round: scores and sums, sets and their controls, controls of equal damage."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harness import preference
from harness.condition import Condition
from harness.preference import Unit
from harness.task import Attach, Score, ScoreTable, Steps, TaskData

from .conditions import control_name, set_name
from .controls import CONTROLS, LayerDraw, neutral_top, rand_label, rand_layer
from .damage import fidelity
from .design import Design, Target
from .matching import Search
from .measure import Measured, measure
from .params import Params
from .sets import HEADLINE, OBJECTIVES, SETS, Chosen, choose, per_layer
from .sweep import INTACT, Sweep

SEARCHED = 2.0
"""Passes over all judged items that a control of equal damage costs, about: a few sizes on the pilot, then one on all."""

READING = 3.0
"""Forward passes that reading neurons costs, about: one, and its gradient."""


def steps(data: TaskData, params: Params) -> Steps:
    """The task's requests. Everything random has a name of its own, so that a replay asks for the same."""
    design = Design.of(data, params)
    measured = yield from measure(design, params, data.members)
    sweeps = [_Swept.of(target, measured, params) for target in design.targets]
    yield Attach(arrays=measured.arrays())
    units = tuple(preference.units(design.judged))
    tables = yield tuple(Score(units, tuple(s.first()), members=(s.target.model,)) for s in sweeps)
    for sweep, table in zip(sweeps, tables, strict=True):
        sweep.see(pd.concat([measured.table, table]))
    yield from _match(sweeps, design)
    yield Attach(arrays={k: v for s in sweeps for k, v in s.matched().items()})
    last = [(s, tuple(s.last())) for s in sweeps]
    yield tuple(Score(units, conditions, members=(s.target.model,)) for s, conditions in last if conditions)


def passes(data: TaskData, params: Params, member: tuple[str, int]) -> list[tuple[Unit, float]]:
    """Forward passes of one member before any score is known: every set, every control, `SEARCHED` a matched control."""
    design = Design.of(data, params)
    ablated = any(t.model == member for t in design.targets)
    per_set = len(CONTROLS) - 1 + SEARCHED if params.controls else 0
    conditions = 1 + len(SETS) * len(params.levels) + len(HEADLINE) * params.controls * per_set
    judged = [(unit, float(conditions)) for unit in preference.units(design.judged)] if ablated else []
    corpora = [parts for name, parts in design.corpora.items() if ablated or name in OBJECTIVES]
    return judged + [(unit, READING) for parts in corpora for part in parts for unit in part.units]


def _match(sweeps: list[_Swept], design: Design) -> Generator[Any, Any, None]:
    """One size a round for every control draw that is not matched yet, on the pilot's items alone."""
    units = tuple(preference.units(design.pilot))
    ids = {item.id for item in design.pilot}
    for sweep in sweeps:
        sweep.begin(ids)
    while asked := [(s, conditions) for s in sweeps if (conditions := tuple(s.next()))]:
        tables = yield tuple(Score(units, conditions, members=(s.target.model,)) for s, conditions in asked)
        for (sweep, _), table in zip(asked, tables, strict=True):
            sweep.see(table)


@dataclass
class _Swept:
    """One target on its way: its sets, its control draws, and the margins seen so far."""

    target: Target
    measured: Measured
    params: Params
    shape: tuple[int, int]
    valid: np.ndarray
    sets: Mapping[float, Mapping[str, Chosen]]
    margins: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: pd.Series = field(default_factory=pd.Series)
    searches: dict[tuple[str, int], Search] = field(default_factory=dict)
    draws: dict[tuple[str, int], LayerDraw] = field(default_factory=dict)
    asked: dict[tuple[str, int], int] = field(default_factory=dict)
    pilot: pd.Index = field(default_factory=lambda: pd.Index([]))

    @classmethod
    def of(cls, target: Target, measured: Measured, params: Params) -> _Swept:
        """Sets at every percentage."""
        scores = measured.chosen_by[target.model]
        shape = scores["helpful"].shape
        sets = {p: choose(scores, p, params.rank, params.ties) for p in params.levels}
        valid = np.flatnonzero(~np.isnan(scores["helpful"].ravel()))
        return cls(target, measured, params, (shape[0], shape[1]), valid, sets)

    @property
    def headline(self) -> dict[str, Chosen]:
        """The sets that have controls, without empty ones."""
        return {
            name: self.sets[self.params.headline][name]
            for name in HEADLINE
            if len(self.sets[self.params.headline][name])
        }

    def name(self, of: str) -> str:
        """The condition of a headline set."""
        return set_name(of, self.params.headline, self.params.mode)

    def condition(self, name: str, chosen: Chosen) -> Condition:
        """These neurons held as the parameters say."""
        return self.measured.held[self.target.model].condition(name, chosen, self.params.mode, self.shape[1])

    def first(self) -> Iterator[Condition]:
        """Every set, and the controls of the headline sets whose size is known."""
        params = self.params
        for percent, sets in self.sets.items():
            for name, chosen in sets.items():
                if len(chosen):
                    yield self.condition(set_name(name, percent, params.mode), chosen)
        at = self.sets[params.headline]
        for name, chosen in self.headline.items():
            shares = per_layer(chosen, self.shape)
            for r in range(params.controls):
                draw = rand_layer(chosen, self.valid, self.shape, r, params.seed, self.target.name)
                self.draws[name, r] = draw
                yield self.condition(control_name(self.name(name), "rand_layer", r), draw.cut(shares, len(chosen)))
            active = np.union1d(at["own_helpful"], at["own_harmless"])
            found = {
                "rand_label": rand_label(chosen, active, self.shape, params.controls, params.seed, self.target.name),
                "neutral_top": neutral_top(chosen, self.measured.neutral[self.target.model]),
            }
            for control, some in found.items():
                for r, other in enumerate(some):
                    yield self.condition(control_name(self.name(name), control, r), other)

    def see(self, table: ScoreTable) -> None:
        """Take in the margins of an answer."""
        found = Sweep.of(table, self.target.model)
        new = found.values["margin"]
        self.margins = pd.concat([self.margins, new[new.columns.difference(self.margins.columns)]], axis=1)
        self.groups = found.items["group"].combine_first(self.groups)
        for (name, r), search in self.searches.items():
            condition = control_name(self.name(name), "damage", r, self.asked.get((name, r), -1))
            if condition in new:
                search.tried[self.asked[name, r]] = self.fidelity(condition)

    def begin(self, pilot: set[str]) -> None:
        """Start a search a draw from the size of the set, whose damage is known already."""
        self.pilot = self.margins.index[[i in pilot for i in self.margins.index]]
        for (name, r), draw in self.draws.items():
            chosen = self.headline[name]
            search = Search(self.fidelity(self.name(name)), draw.most(per_layer(chosen, self.shape)))
            search.tried[len(chosen)] = self.fidelity(control_name(self.name(name), "rand_layer", r))
            self.searches[name, r] = search

    def fidelity(self, condition: str) -> float:
        """Fidelity of a condition's margins to the intact ones over the pilot's items that have both."""
        both = self.margins.loc[self.pilot, [INTACT, condition]].dropna()
        if both.empty:
            return float("nan")
        values = both.to_numpy(dtype=float)
        return float(fidelity(values[:, 0], values[:, 1:], self.groups.loc[both.index].to_numpy(dtype=str))[0])

    def next(self) -> Iterator[Condition]:
        """The next size of every search that goes on."""
        self.asked = {
            key: n for key, s in self.searches.items() if np.isfinite(s.target) and (n := s.next()) is not None
        }
        return (self.damage(name, r, n) for (name, r), n in self.asked.items())

    def last(self) -> Iterator[Condition]:
        """The sizes that matched, for all items."""
        return (self.damage(name, r, s.best()) for (name, r), s in self.searches.items() if s.matched)

    def damage(self, name: str, r: int, n: int) -> Condition:
        """Draw `r` of a set's random order, cut at `n` neurons."""
        chosen = self.draws[name, r].cut(per_layer(self.headline[name], self.shape), n)
        return self.condition(control_name(self.name(name), "damage", r, n), chosen)

    def matched(self) -> dict[str, np.ndarray]:
        """By set: (draws, 2), the size nearest to the set in damage and whether it is near enough."""
        sizes: dict[str, list[list[int]]] = {}
        for (name, _), search in self.searches.items():
            sizes.setdefault(f"matched/{self.target.name}/{name}", []).append([search.best(), search.matched])
        return {name: np.array(rows, dtype=np.int32) for name, rows in sizes.items()}
