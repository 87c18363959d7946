"""From scores, or from preference probabilities, to what each item is worth: the one place where right and wrong are decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import binom

from harness.task import ScoreTable

GROUP = ["item_id", "variant", "condition", "replicate", "member", "seed"]
CARRIED = ["cluster_id", "dataset", "subset", "objective"]
STYLE_CELLS = ("easy", "normal", "hard")


def outcomes(table: ScoreTable) -> pd.DataFrame:
    """One row per item, variant, condition, replicate, member and seed.

    Columns besides those and the item's `cluster_id, dataset, subset, objective`:

    - `credit`: probability of being right under random tie-breaking, 0 to 1. An item is right when every
      chosen reply beats every rejected one; with `a` chosen and `b` rejected tied at the deciding value it is
      1 / binom(a + b, a), so a constant model scores exactly `chance`. An item of styles (sides named
      `chosen/1-concise` …) is the mean over all its cells instead, chance one half.
    - `strict`: the same with ties counted as wrong. `tie`: any tied comparison. `n_pairs`: comparisons made.
    - `easy`, `normal`, `hard`: mean over cells whose chosen reply has the richer, the same, the plainer style (NaN elsewhere).
    - `margin`: lowest chosen minus highest rejected score, the mean over cells for styles; NaN where the model only compares.
    - `dlog_words`: mean log(1 + words) of the chosen minus the rejected replies.
    - `status`: `ok`, or `failed` where any needed score is missing; then every number above is NaN.

    Source: RM-Bench (2410.16184) for the cells; ties by the chance argument above.
    """
    parts = []
    pairs = table["side"].str.contains(">", regex=False)
    if pairs.any():
        parts += _by_shape(table[pairs], _preference_cells)
    if not pairs.all():
        parts += _by_shape(table[~pairs], _score_cells)
    if not parts:
        return pd.DataFrame(columns=[*GROUP, *CARRIED, "credit", "status"])
    return pd.concat(parts, ignore_index=True).sort_values(GROUP, ignore_index=True)


@dataclass(frozen=True)
class _Cells:
    """Comparisons of items of one shape: `won` (items, chosen, rejected) is 1, one half or 0; `gaps` their score differences or NaN."""

    won: np.ndarray
    gaps: np.ndarray
    chosen: list[str]

    @property
    def styled(self) -> bool:
        """Whether replies are named by style, so that cells and not the whole item are judged."""
        name = self.chosen[0].partition("/")[2]
        return bool(name) and not name.isdigit()


def _by_shape(table: pd.DataFrame, cells_of: Callable[[np.ndarray, list[str]], _Cells]) -> list[pd.DataFrame]:
    """Items grouped by how many replies they have on each side, so that each shape is one array operation."""
    table = table.sort_values([*GROUP, "side"])
    number = table.groupby(GROUP, sort=False).ngroup().to_numpy()
    side, names = pd.factorize(table["side"], sort=True)
    has = np.zeros((number.max() + 1, len(names)), bool)
    has[number, side] = True
    shapes, shape = np.unique(has, axis=0, return_inverse=True)
    sides = [[str(name) for name in names[mine]] for mine in shapes]
    return [
        _items(table[(shape == i)[number]], mine, cells_of)
        for i, mine in enumerate(sides)
        if "chosen" in "|".join(mine) and "rejected" in "|".join(mine)
    ]


def _items(rows: pd.DataFrame, sides: list[str], cells_of: Callable[[np.ndarray, list[str]], _Cells]) -> pd.DataFrame:
    """Outcome rows of items that all have the same sides; `rows` is sorted by item, then side."""
    width = len(sides)
    frame = rows.iloc[::width][[*GROUP, *CARRIED]].reset_index(drop=True)
    scores = rows["score"].to_numpy(dtype=float, na_value=np.nan).reshape(-1, width)
    ok = (rows["status"].to_numpy() == "ok").reshape(-1, width).all(axis=1) & np.isfinite(scores).all(axis=1)
    cells = cells_of(scores, sides)
    axes = (1, 2)
    result = {
        "credit": cells.won.mean(axis=axes) if cells.styled else _all_above(cells.won),
        "strict": (cells.won == 1).mean(axis=axes) if cells.styled else (cells.won == 1).all(axis=axes).astype(float),
        "margin": cells.gaps.mean(axis=axes) if cells.styled else cells.gaps.min(axis=axes),
        "dlog_words": _dlog_words(rows, sides),
        "tie": (cells.won == 0.5).any(axis=axes).astype(float),
    }
    n_chosen, n_rejected = cells.won.shape[1:]
    richer = np.subtract.outer(np.arange(n_chosen), np.arange(n_rejected))
    for name, mask in zip(STYLE_CELLS, (richer > 0, richer == 0, richer < 0), strict=True):
        result[name] = cells.won[:, mask].mean(axis=1) if cells.styled else np.full(len(frame), np.nan)
    frame = frame.assign(**{k: np.where(ok, v, np.nan) for k, v in result.items()})
    chance = 0.5 if cells.styled else 1 / binom(n_chosen + n_rejected, n_chosen)
    return frame.assign(chance=chance, n_pairs=n_chosen * n_rejected, status=np.where(ok, "ok", "failed"))


def _all_above(won: np.ndarray) -> np.ndarray:
    """Credit of the rule "every chosen above every rejected"."""
    tied = won == 0.5
    a, b = tied.any(axis=2).sum(axis=1), tied.any(axis=1).sum(axis=1)
    return np.where((won == 0).any(axis=(1, 2)), 0.0, 1 / binom(a + b, a))


def _dlog_words(rows: pd.DataFrame, sides: list[str]) -> np.ndarray:
    """Mean log(1 + words) of the chosen minus the rejected replies; NaN for rows that are comparisons already."""
    words = np.log1p(rows["n_response_words"].to_numpy(dtype=float, na_value=np.nan)).reshape(-1, len(sides))
    if any(">" in s for s in sides):
        return np.full(len(words), np.nan)
    chosen = np.array([s.startswith("chosen") for s in sides])
    return words[:, chosen].mean(axis=1) - words[:, ~chosen].mean(axis=1)


def _score_cells(scores: np.ndarray, sides: list[str]) -> _Cells:
    chosen = [i for i, s in enumerate(sides) if s.startswith("chosen")]
    rejected = [i for i, s in enumerate(sides) if s.startswith("rejected")]
    gaps = scores[:, chosen][:, :, None] - scores[:, rejected][:, None, :]
    return _Cells(np.sign(gaps) / 2 + 0.5, gaps, [sides[i] for i in chosen])


def _preference_cells(scores: np.ndarray, sides: list[str]) -> _Cells:
    ends = [s.split(">") for s in sides]
    chosen, rejected = sorted({a for a, _ in ends}), sorted({b for _, b in ends})
    won = np.full((len(scores), len(chosen), len(rejected)), np.nan)
    for i, (a, b) in enumerate(ends):
        won[:, chosen.index(a), rejected.index(b)] = np.sign(scores[:, i] - 0.5) / 2 + 0.5
    return _Cells(won, np.full_like(won, np.nan), chosen)
