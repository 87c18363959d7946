"""Margins of a member by hand: their sign, their unit, and what could not be scored."""

from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.feature_imprint.design import Design
from harness.tasks.feature_imprint.margins import NO_UNIT, Margins

from tests.tasks.feature_imprint.sample import REGRESSORS, gaps, paid, scored, texts

FRAME = texts(80)
DESIGN = Design.of(FRAME, REGRESSORS)


def seeds(*scores: np.ndarray) -> Margins:
    return Margins.of(scored(FRAME, *scores), DESIGN)


def test_margins_are_chosen_minus_rejected_of_each_seed_over_its_own_unit():
    given = [paid(FRAME, seed=1), 3.0 * paid(FRAME, seed=2) + 7.0]
    margins = seeds(*given)
    for s, score in enumerate(given):
        d = gaps(FRAME.assign(score=score), "score").to_numpy()
        unit = np.sqrt((d**2).mean() / 2)
        np.testing.assert_allclose(margins.raw[s], d)
        assert margins.units[s] == pytest.approx(unit)
        np.testing.assert_allclose(margins.scaled[s], d / unit)
        np.testing.assert_allclose(margins.agreed[s], d > 0)


def test_an_item_that_any_seed_could_not_score_on_any_side_leaves_all_seeds_and_is_counted_once():
    one, two = paid(FRAME, seed=1), paid(FRAME, seed=2)
    one[[0, 1]] = np.nan  # both sides of an item
    two[5] = np.nan  # one side, one seed
    margins = seeds(one, two)
    assert margins.failed == 2
    assert margins.raw.shape == (2, 78)
    assert not {"i0000", "i0002"} & set(margins.design.items.index)
    assert np.isfinite(margins.raw).all()


def test_ties_are_half_agreed_and_a_seed_of_ties_has_no_unit():
    even = np.zeros(len(FRAME))
    assert (seeds(even).agreed == 0.5).all()
    assert seeds(even).reason == NO_UNIT
    assert seeds(paid(FRAME), even).reason == NO_UNIT
    assert seeds(paid(FRAME)).reason is None
    assert seeds(even * np.nan).reason == "no item was scored"


def test_a_part_keeps_the_unit_of_the_whole_and_its_own_items():
    score = paid(FRAME)
    score[0] = np.nan
    margins = seeds(score)
    for (_, subset), part in DESIGN.subsets().items():
        mine = margins.within(part)
        d = gaps(FRAME.assign(score=score)[FRAME["subset"] == subset], "score").dropna()
        assert mine.design.items.index.tolist() == d.index.tolist()
        np.testing.assert_allclose(mine.raw[0], d)
        assert mine.units.tolist() == margins.units.tolist()
        assert mine.design.diagnoses == part.diagnoses
