"""What is attached, and one row an item out of the score table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from harness.tasks.alignment_resistance.items import FEATURE_NAMES, attachments, item_frame

from harness.preference import units
from harness.task import TASKS
from harness.testing import planted
from harness.text.features import FEATURES

TASK = TASKS.get("alignment_resistance")()


def test_the_fixed_list_names_registered_features():
    assert set(FEATURE_NAMES) <= set(FEATURES.names())
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_differences_are_chosen_minus_rejected_means():
    items = planted.items(np.random.default_rng(0), 6, shape=(2, 3))
    frame = item_frame(planted.drive(TASK, items)[0]).set_index("item_id")
    for item in items:
        chosen, rejected = (
            np.mean([np.log1p(len(reply.split())) for reply in side]) for side in (item.chosen, item.rejected)
        )
        assert frame.loc[item.id, "d_log_words"] == pytest.approx(chosen - rejected)
        assert frame.loc[item.id, "d_log_words"] == pytest.approx(frame.loc[item.id, "dlog_words"])


def test_verdicts_other_than_c_i_r_are_not_attached():
    items = planted.items(np.random.default_rng(0), 4)
    given = ("c", "r", "chosen", None)
    items = tuple(dataclasses.replace(i, meta={"verdict": v}) for i, v in zip(items, given, strict=True))
    frame = attachments(items, tuple(units(items)))
    assert frame.set_index("unit_id")["x_verdict"].dropna().to_dict() == {
        f"{i.id}#{side}": v for i, v in zip(items[:2], given[:2], strict=True) for side in ("chosen", "rejected")
    }
    frame = item_frame(planted.drive(TASK, items)[0]).set_index("item_id")
    assert frame["verdict"].dropna().to_dict() == {items[0].id: "c", items[1].id: "r"}


def test_only_unchanged_texts_under_no_condition_are_read():
    items = planted.items(np.random.default_rng(0), 5)
    table = planted.table(items, planted.oracle, conditions=("none", "ablate"))
    again = planted.table(items, planted.oracle, replicate=1)
    rewritten = table.assign(variant="shouted", unit_id=table["unit_id"] + "/shouted")
    assert len(item_frame(pd.concat([table, again, rewritten], ignore_index=True))) == 5
