"""Which columns are regressors, what part they play, and the ruler they are measured by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.feature_imprint.regressors import LENGTH, Scale, label_regressors, text_regressors

from harness.errors import InputError
from harness.llm.schema import LABELS, NUMBERED
from tests.tasks.feature_imprint.sample import NAMES, REGRESSORS, ruler, texts


def test_length_comes_first_once_whatever_is_asked_for():
    assert [r.name for r in text_regressors(["bold", "log_words", "bold"])] == ["log_words", "bold"]
    assert [r.name for r in text_regressors([])] == [LENGTH]
    with pytest.raises(InputError):
        text_regressors(["nobody_knows"])


def test_what_measures_length_plays_length_and_the_others_their_kind():
    found = {r.name: r.player for r in text_regressors(["sentence_count", "overlap", "bold", "toxicity"])}
    assert found == {
        "log_words": "length", "sentence_count": "length", "overlap": "control", "bold": "spoiler", "toxicity": "target",
    }  # fmt: skip


def test_labels_with_numbers_follow_length_and_those_with_a_middle_are_no_yes_or_no():
    found = label_regressors()
    assert [r.name for r in found] == [LENGTH, *NUMBERED]
    assert {r.name: r.form for r in found[1:]} == {
        name: "binary" if set(LABELS[name].values) == {"yes", "no", "unclear"} else "bounded" for name in NUMBERED
    }
    assert {r.form for r in found[1:]} == {"binary", "bounded"}


def test_the_ruler_is_the_spread_of_all_replies_and_cuts_open_ends_alone():
    frame = texts()
    scale = Scale.of(frame, REGRESSORS)
    scaled = scale.apply(frame)
    for name in NAMES:
        np.testing.assert_allclose(scaled[name], ruler(frame, name), err_msg=name)
    assert scaled["shout"].abs().max() < frame["x_shout"].abs().max() / frame["x_shout"].std()
    assert scaled["tone"].std(ddof=0) == pytest.approx(1)
    assert set(scaled["good"]) == {0.0, 1.0}


def test_missing_values_stay_missing_and_a_column_without_spread_has_the_unit_one():
    frame = pd.DataFrame({r.column: [2.0, 2.0, np.nan] for r in REGRESSORS}, index=[5, 7, 9])
    scaled = Scale.of(frame, REGRESSORS).apply(frame)
    assert scaled.index.tolist() == [5, 7, 9]
    assert (scaled.loc[[5, 7]] == 2.0).all().all()
    assert scaled.loc[9].isna().all()
    unknown = frame * np.nan
    assert set(Scale.of(unknown, REGRESSORS).units.values()) == {1.0}
