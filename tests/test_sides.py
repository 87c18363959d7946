"""Means over the two sides of an item, against a loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.sides import side_means


def rows(*cells: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(cells, columns=["item_id", "side", "x_f"])


def test_means_of_several_replies_join_by_id_in_any_order():
    rng = np.random.default_rng(0)
    cells = [
        (f"i{k:02d}", f"{side}/{j + 1}", float(rng.random()))
        for k in range(20)
        for side, n in (("chosen", 2), ("rejected", 3))
        for j in range(n)
    ]
    shuffled = rows(*(cells[i] for i in rng.permutation(len(cells))))
    chosen, rejected = side_means(shuffled, ["x_f"])
    for frame, side in ((chosen, "chosen"), (rejected, "rejected")):
        for item in frame.index:
            mine = [v for i, s, v in cells if i == item and s.startswith(side)]
            assert frame.loc[item, "x_f"] == pytest.approx(np.mean(mine), abs=1e-12)
    assert len(chosen) == len(rejected) == 20


def test_a_missing_value_or_side_is_missing_and_never_zero():
    chosen, rejected = side_means(
        rows(("a", "chosen/1", 1.0), ("a", "chosen/2", np.nan), ("a", "rejected", 2.0), ("b", "chosen", 1.0)), ["x_f"]
    )
    assert list(chosen.index) == list(rejected.index) == ["a"]
    assert np.isnan(chosen.loc["a", "x_f"])


def test_comparisons_and_nothing_give_nothing():
    for table in (rows(("a", "chosen>rejected", 1.0)), rows()):
        assert all(frame.empty for frame in side_means(table, ["x_f"]))
