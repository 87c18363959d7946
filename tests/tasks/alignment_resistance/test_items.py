"""One row an item out of the score table, with the differences of its sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.alignment_resistance.items import FEATURE_NAMES, item_frame, single

from harness.task import TASKS
from harness.testing import planted
from harness.text.features import FEATURES

TASK = TASKS.get("alignment_resistance")()
RULE = TASK.Params().rule


def test_the_fixed_list_names_registered_features():
    assert set(FEATURE_NAMES) <= set(FEATURES.names())
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_differences_are_chosen_minus_rejected_means():
    items = planted.items(np.random.default_rng(0), 6, shape=(2, 3))
    frame = item_frame(planted.drive(TASK, items)[0], RULE).set_index("item_id")
    for item in items:
        chosen, rejected = (
            np.mean([np.log1p(len(reply.split())) for reply in side]) for side in (item.chosen, item.rejected)
        )
        assert frame.loc[item.id, "d_log_words"] == pytest.approx(chosen - rejected)
        assert frame.loc[item.id, "d_log_words"] == pytest.approx(frame.loc[item.id, "dlog_words"])


def test_tails_of_features_without_fixed_ends_are_cut_before_sides_are_compared():
    items = planted.items(np.random.default_rng(0), 100)
    table = planted.table(items, planted.oracle)
    extreme = np.linspace(0, 1, len(table))
    extreme[0] = 1e6
    kinds = {FEATURES.get(name).form: name for name in FEATURE_NAMES}
    for form, name in kinds.items():
        frame = item_frame(table.assign(**{f"x_{name}": extreme}), RULE)
        assert (frame[f"d_{name}"].abs().max() < 2) == (form == "open"), form


def test_only_unchanged_texts_under_no_condition_are_read():
    items = planted.items(np.random.default_rng(0), 5)
    table = planted.table(items, planted.oracle, conditions=("none", "ablate"))
    again = planted.table(items, planted.oracle, replicate=1)
    rewritten = table.assign(variant="shouted", unit_id=table["unit_id"] + "/shouted")
    assert len(item_frame(pd.concat([table, again, rewritten], ignore_index=True), RULE)) == 5


def test_what_does_not_depend_on_the_model_is_there_once_an_item():
    items = planted.items(np.random.default_rng(0), 5)
    table = planted.table(items, planted.oracle, (("model", 0), ("model", 1), ("reference", 0)))
    frame = item_frame(table.sample(frac=1, random_state=0), RULE)
    assert len(frame) == 15
    assert single(frame)["item_id"].tolist() == sorted(i.id for i in items)
