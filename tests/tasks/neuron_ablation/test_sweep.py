from __future__ import annotations

import numpy as np
import pandas as pd
from harness.tasks.neuron_ablation.sweep import MEASURES, Sweep

from harness.outcomes import outcomes
from tests.tasks.neuron_ablation.sweeps import CONDITIONS, items, sweep, table

MODEL = ("model", 0)


def test_every_number_is_where_its_item_and_condition_say() -> None:
    given = table()
    found = Sweep.of(given, MODEL)
    for _, one in outcomes(given).iterrows():
        for measure in MEASURES:
            assert found.values[measure].loc[one["item_id"], one["condition"]] == one[measure]
        item = found.items.loc[one["item_id"]]
        assert (item["cluster_id"], item["group"], item["chance"]) == (
            one["cluster_id"],
            one["objective"],
            one["chance"],
        )
    assert len(found.items) == len(items())


def test_margins_by_hand() -> None:
    given = table().set_index(["item_id", "condition", "side"])["score"].sort_index()
    found = Sweep.of(table(), MODEL).values["margin"]
    pairs = [i for i in items() if len(i.chosen) == 1]
    assert pairs
    for item in pairs:
        for condition in CONDITIONS:
            scores = given[item.id, condition]
            np.testing.assert_allclose(found.loc[item.id, condition], scores["chosen"] - scores["rejected"])


def test_row_order_does_not_matter() -> None:
    given = table()
    a, b = Sweep.of(given, MODEL), Sweep.of(given.sample(frac=1, random_state=0), MODEL)
    pd.testing.assert_frame_equal(a.items, b.items)
    for measure in MEASURES:
        pd.testing.assert_frame_equal(a.values[measure], b.values[measure])


def test_other_models_variants_and_replicates_are_left_out() -> None:
    given = table()
    changes = ({"member": "other"}, {"seed": 1}, {"variant": "swapped"}, {"replicate": 1})
    others = [given.assign(score=99.0, **change) for change in changes]
    found = Sweep.of(pd.concat([given, *others]), MODEL)
    pd.testing.assert_frame_equal(found.values["margin"], Sweep.of(given, MODEL).values["margin"])


def test_what_only_the_pilot_saw_is_nan_elsewhere_and_does_not_cost_items() -> None:
    given = table()
    pilot = given["item_id"].isin(sorted(given["item_id"].unique())[:7])
    found = Sweep.of(given[(given["condition"] != "c") | pilot], MODEL)
    assert found.values["margin"]["c"].notna().sum() == 7
    assert len(found.complete(["none", "a", "b"]).items) == len(items())
    assert len(found.complete(["none", "c"]).items) == 7


def test_an_item_that_failed_once_is_left_out_of_all() -> None:
    given = table()
    gone = given["item_id"].iloc[0]
    lost = (given["item_id"] == gone) & (given["condition"] == "b") & (given["side"].str.startswith("chosen"))
    given = given.assign(status=given["status"].mask(lost, "failed"), score=given["score"].mask(lost))
    found = Sweep.of(given, MODEL).complete(CONDITIONS)
    assert gone not in found.items.index
    assert len(found.items) == len(items()) - 1
    assert all(list(found.values[m].index) == list(found.items.index) for m in MEASURES)


def test_complete_keeps_the_conditions_in_the_order_asked_for() -> None:
    found = Sweep.of(table(), MODEL).complete(["c", "none"])
    assert list(found.values["margin"].columns) == ["c", "none"]
    assert Sweep.of(table(), MODEL).complete(["none", "never scored"]).items.empty


def test_margins_are_columns_by_name() -> None:
    found = sweep()
    np.testing.assert_array_equal(found.margins(["b", "none"])[:, 0], found.values["margin"]["b"])


def test_weights_of_sub_tasks_are_those_of_a_loop() -> None:
    found = sweep()
    for subtask, weights in found.weights.iterrows():
        mine = found.items[found.items["subtask"] == subtask]
        expected = dict.fromkeys(found.items.index, 0.0)
        for _, prompt in mine.groupby("cluster_id"):
            for item in prompt.index:
                expected[item] = 1 / mine["cluster_id"].nunique() / len(prompt)
        np.testing.assert_allclose(weights, list(expected.values()))
