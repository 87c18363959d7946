"""Differences by hand, what may enter a fit, and parts of a design."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.feature_imprint.design import Design

from tests.tasks.feature_imprint.sample import NAMES, REGRESSORS, design_by_hand, gaps, ruler, texts


def test_differences_are_chosen_minus_rejected_in_the_order_of_ids_whatever_the_order_of_rows():
    frame = texts()
    design = Design.of(frame.sample(frac=1.0, random_state=1), REGRESSORS)
    expected = design_by_hand(frame)
    assert design.items.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(design.differences(NAMES), expected)
    assert design.names == NAMES
    first = frame[frame["side"] == "chosen"]
    np.testing.assert_allclose(design.texts(["shout"])[: len(expected), 0], ruler(frame, "shout")[first.index])
    assert design.clusters.tolist() == first["cluster_id"].tolist()


def test_several_replies_of_a_side_count_by_their_mean():
    frame = texts(60)
    again = frame.assign(
        unit_id=frame["unit_id"] + "/1", side=frame["side"] + "/1", **{"x_tone": frame["x_tone"] + 0.5}
    )
    both = pd.concat([frame.assign(side=frame["side"] + "/0"), again], ignore_index=True)
    alone, both = Design.of(frame, REGRESSORS), Design.of(both, REGRESSORS)
    assert both.items.index.equals(alone.items.index)
    shift = both.chosen["tone"] * both.scale.units["tone"] - alone.chosen["tone"] * alone.scale.units["tone"]
    np.testing.assert_allclose(shift, 0.25)


def with_unclear(share: float) -> tuple:
    frame = texts(100)
    lost = [f"i{i:04d}" for i in range(round(100 * share))]
    frame.loc[frame["item_id"].isin(lost) & (frame["side"] == "rejected"), "x_good"] = np.nan
    return frame, lost


def test_a_regressor_known_in_four_fifths_of_the_pairs_costs_the_others_these_pairs():
    frame, lost = with_unclear(0.2)
    design = Design.of(frame, REGRESSORS)
    assert design.clear["good"] == pytest.approx(0.8)
    assert design.incomplete == 20
    assert not set(lost) & set(design.items.index)
    assert "good" in design.names


def test_one_known_in_fewer_is_in_no_fit_and_costs_nothing():
    frame, _ = with_unclear(0.21)
    design = Design.of(frame, REGRESSORS)
    assert design.incomplete == 0
    assert len(design.items) == 100
    assert "good" not in design.names
    seen = design.diagnoses["good"]
    assert seen.reason == "known in 79% of the pairs, 80% are needed"
    assert np.isnan([seen.vif, seen.effective_clusters, seen.discordance]).all()


def test_length_stays_however_much_the_others_say_of_it():
    frame, rng = texts(), np.random.default_rng(0)
    parts = {f"x_{name}": rng.normal(size=len(frame)) for name in ("good", "bad", "asked", "tone")}
    length = sum(parts.values()) + 0.4 * rng.normal(size=len(frame))
    design = Design.of(frame.assign(**parts, x_log_words=length), REGRESSORS)
    assert design.diagnoses["log_words"].vif > 15
    assert design.names == NAMES


def test_a_subset_is_told_by_its_dataset_too_and_answers_for_itself_by_the_ruler_of_the_whole():
    frame = texts(400)
    other = frame["item_id"] < "i0200"
    frame.loc[other, "dataset"] = "e"
    frame.loc[~other & (frame["subset"] == "one"), "x_asked"] = 1.0
    design = Design.of(frame, REGRESSORS)
    parts = design.subsets()
    assert list(parts) == [("d", "one"), ("d", "two"), ("e", "one"), ("e", "two")]
    for (dataset, subset), part in parts.items():
        mine = frame[(frame["dataset"] == dataset) & (frame["subset"] == subset)]
        assert part.items.index.tolist() == sorted(mine["item_id"].unique())
        np.testing.assert_allclose(part.differences(["good"])[:, 0], gaps(mine, "x_good"))
        assert part.scale is design.scale
    assert "asked" not in parts["d", "one"].names
    assert "asked" in parts["e", "one"].names
    assert parts["d", "one"].diagnoses["asked"].reason == "differs in 0 effective clusters, 20 are needed"
