"""Styles as rewrites that came with the data: replies that say one thing in several styles (RM-Bench, 2410.16184)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from harness.outcomes import outcomes
from harness.sides import SIDES
from harness.stats.differences import unit
from harness.stats.over_seeds import proportion
from harness.task import Metric, ScoreTable, originals

from .columns import row
from .compared import Compared
from .pairs import PLACE, STYLED, Pairs, by_seed
from .rewriting import ARMS, Rewriting

CHANCE = 0.5
"""Credit of a constant model on a cell, which has one reply a side."""


@dataclass(frozen=True)
class Matrix:
    """One member on the items whose replies have styles. Every frame has one column a seed and NaN where a score failed.

    `styles` are in the order of their numbers, `items` by id. A cell is (style of the chosen reply, style of the
    rejected one): `credits` 0, one half or 1 and `margins` in reward points, by item id. `scores` has one row an
    (item, side, style), in reward points.
    """

    styles: tuple[str, ...]
    items: pd.DataFrame
    scores: pd.DataFrame
    credits: Mapping[tuple[str, str], pd.DataFrame]
    margins: Mapping[tuple[str, str], pd.DataFrame]

    @classmethod
    def of(cls, rows: ScoreTable) -> Matrix:
        """From the rows of one member; without styles where its items have none."""
        plain = originals(rows)
        styled = plain.assign(**plain["side"].astype(str).str.extract(STYLED)).dropna(subset="style")
        numbers = styled["number"].astype(int).groupby(styled["style"]).min()
        styles = tuple(sorted(map(str, numbers.index), key=lambda style: (numbers[style], style)))
        cells = _cells(styled, styles)
        seeds = sorted(int(seed) for seed in styled["seed"].unique())
        return cls(
            styles,
            styled.drop_duplicates("item_id").set_index("item_id")[PLACE].sort_index(),
            styled.astype({"score": float}).pivot(index=["item_id", "of", "style"], columns="seed", values="score"),
            {cell: by_seed(found, "credit", seeds) for cell, found in cells.items()},
            {cell: by_seed(found, "margin", seeds) for cell, found in cells.items()},
        )

    @property
    def units(self) -> Mapping[int, float]:
        """s_w by seed over the pairs of equal style, in reward points (corrections 11); empty without styles."""
        if not self.styles:
            return {}
        equal = pd.concat([self.margins[style, style] for style in self.styles])
        return {int(seed): unit(equal[seed].dropna()) for seed in equal.columns}

    @property
    def pairs(self) -> Pairs:
        """What styles are rewritten from, both replies in the first; in the unit of all pairs of equal style. Needs styles."""
        first = self.styles[0], self.styles[0]
        credit, margin = (found[first].dropna() for found in (self.credits, self.margins))
        return Pairs(self.items.loc[credit.index], credit.to_numpy().T, margin.to_numpy().T, self.units)

    def compared(self) -> list[Compared]:
        """Every earlier style against every later one in every arm: the exchanged replies change from the one to the other.

        Before, both replies have the first style, so that after, over all arms, the cells off the diagonal and those on
        it all occur.
        """
        pairs = combinations(self.styles, 2)
        made = [self._compared(first, second, arm) for (first, second), arm in product(pairs, ARMS)]
        return [one for one in made if len(one.pairs)]

    def _compared(self, first: str, second: str, arm: str) -> Compared:
        exchanged = [side for side in SIDES if arm in ("both", f"{side}_only")]
        then = tuple(second if side in exchanged else first for side in SIDES)
        before, after = (first, first), (then[0], then[1])
        frames = [found[cell] for found in (self.credits, self.margins) for cell in (before, after)]
        known = pd.concat(frames, axis=1).dropna().index
        place = self.items.loc[known].reset_index()
        texts = pd.concat([_texts(place, side) for side in exchanged])
        credit, credit_after, margin, margin_after = (frame.loc[known].to_numpy(dtype=float).T for frame in frames)
        old, new = (
            np.concatenate([self._scores(known, side, style) for side in exchanged], axis=1)
            for style in (first, second)
        )
        return Compared(
            Rewriting("natural", f"{first}>{second}", arm),
            _by_item(place.assign(valid=True, chance=CHANCE)),
            credit,
            credit_after,
            margin,
            margin_after,
            texts,
            old,
            new,
            failed=len(self.items) - len(known),
            scored=len(known),
        )

    def _scores(self, ids: pd.Index, side: str, style: str) -> np.ndarray:
        """(seeds, items)."""
        return self.scores.xs((side, style), level=("of", "style")).loc[ids].to_numpy(dtype=float).T


def cell_rows(matrix: Matrix, dims: Mapping[str, str]) -> list[Metric]:
    """Accuracy of every cell, 0 to 1: where the chosen reply is the plainer one, style argues against it."""
    found = []
    for (chosen, rejected), credit in matrix.credits.items():
        known = credit.dropna()
        clusters = matrix.items["cluster_id"].loc[known.index].to_numpy()
        estimate = proportion(known.to_numpy(dtype=float).T, clusters)
        found.append(row("acc_cell", estimate, {**dims, "chosen_style": chosen, "rejected_style": rejected}))
    return found


def _cells(styled: pd.DataFrame, styles: tuple[str, ...]) -> dict[tuple[str, str], pd.DataFrame]:
    """Outcomes of the items as if the two replies of a cell were all they had, by cell; judged together, each as a variant."""
    every = {f"{i}": cell for i, cell in enumerate(product(styles, styles))}
    if not every:
        return {}
    pairs = [
        styled[(styled["of"] == side) & (styled["style"] == style)].assign(variant=number)
        for number, cell in every.items()
        for side, style in zip(SIDES, cell, strict=True)
    ]
    table = pd.concat(pairs)
    found = outcomes(table.assign(side=table["of"]))
    return {cell: found[found["variant"] == number] for number, cell in every.items()}


def _texts(place: pd.DataFrame, side: str) -> pd.DataFrame:
    # Nobody checked these rewrites and nothing measured how far they go: they are other texts, not edits.
    known = place[["item_id", "cluster_id"]].assign(side=side, valid=True, edit_ratio=np.nan, similarity=np.nan)
    return _by_item(known)


def _by_item(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index("item_id", drop=False).rename_axis(None)
