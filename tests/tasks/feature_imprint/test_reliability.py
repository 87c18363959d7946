"""Kappa and reliability by hand, which labels are distrusted, and what people's labels make of a coefficient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.feature_imprint.design import Design
from harness.tasks.feature_imprint.margins import Margins
from harness.tasks.feature_imprint.regressors import label_regressors
from harness.tasks.feature_imprint.reliability import gold_rows, reliability_rows, unreliable
from sklearn.metrics import cohen_kappa_score

from harness.labels import column
from harness.llm.schema import LABELS, NUMBERED
from harness.task import Metric
from tests.tasks.feature_imprint.sample import DIMS, gaps, scored

LABELLED = label_regressors()
TONES = tuple(name for name in NUMBERED if -1.0 in LABELS[name].values.values())
SLIPS = {"retest": 0.1, "second": 0.25, "gold": 0.4}
"""Share of answers another pass draws anew."""


def texts(n: int = 300, passes: tuple[str, ...] = ("retest", "second", "gold")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    sides = [(i, side) for i in range(n) for side in ("chosen", "rejected")]
    frame = pd.DataFrame(
        {
            "unit_id": [f"i{i:04d}#{side}" for i, side in sides],
            "item_id": [f"i{i:04d}" for i, _ in sides],
            "cluster_id": [f"c{i // 2:04d}" for i, _ in sides],
            "side": [side for _, side in sides],
            "dataset": "d",
            "subset": "s",
            "x_log_words": rng.normal(3, 0.5, len(sides)),
        }
    )
    for name in NUMBERED:
        values = [v for v in LABELS[name].values.values() if v is not None]
        frame[column(name)] = rng.choice(values, len(frame))
        for labeled_by in passes:
            anew = rng.random(len(frame)) < SLIPS[labeled_by]
            frame[column(name, labeled_by)] = np.where(anew, rng.choice(values, len(frame)), frame[column(name)])
    return frame


FRAME = texts()


def found(rows: list[Metric], name: str) -> dict[str, Metric]:
    return {m.dims["feature"]: m for m in rows if m.name == name}


def test_every_kappa_is_against_its_own_pass_on_what_both_labelled():
    frame = FRAME.copy()
    frame.loc[::3, column("helpful", "second")] = np.nan
    rows = reliability_rows(frame, DIMS)
    for metric, labeled_by in {
        "label_kappa": "retest",
        "label_kappa_second": "second",
        "label_kappa_gold": "gold",
    }.items():
        assert set(found(rows, metric)) == set(NUMBERED)
        for name, m in found(rows, metric).items():
            both = frame[[column(name), column(name, labeled_by)]].dropna().astype(int).to_numpy()
            assert m.value == pytest.approx(cohen_kappa_score(*both.T)), (metric, name)
            assert m.n == len(both)


def test_reliability_is_that_of_differences_between_the_sides():
    rows = found(reliability_rows(FRAME, DIMS), "reliability")
    assert set(rows) == set(NUMBERED)
    for name, m in rows.items():
        x, y = (gaps(FRAME, c) for c in (column(name), column(name, "retest")))
        assert m.value == pytest.approx((x @ y) / np.sqrt((x @ x) * (y @ y)))


def test_a_pass_nobody_labelled_has_no_number_and_says_so():
    rows = reliability_rows(texts(40, ()), DIMS)
    assert {m.reason for m in found(rows, "label_kappa_second").values()} == {"no labels of the pass 'second'"}
    assert {m.reason for m in found(rows, "reliability").values()} == {"no labels of the pass 'retest'"}
    assert unreliable(texts(40, ())) == frozenset()


def test_labels_are_distrusted_by_their_own_repetition_alone():
    frame = FRAME.copy()
    rng = np.random.default_rng(5)
    frame[column("honest", "retest")] = rng.permutation(frame[column("honest")])
    frame[column("helpful", "gold")] = rng.permutation(frame[column("helpful")])
    frame[column("insult", "retest")] = np.nan
    assert unreliable(frame) == {"honest"}


def gold(known: np.ndarray, prices: dict[str, float]) -> tuple[dict[str, Metric], pd.DataFrame]:
    """`beta_gold` of a reward of what people see, who looked at `known` items only."""
    frame = FRAME.copy()
    reward = sum(price * frame[column(name, "gold")] for name, price in prices.items()).to_numpy()
    noise = 0.1 * np.random.default_rng(1).normal(size=len(frame))
    frame.loc[~frame["item_id"].isin(known), [column(name, "gold") for name in NUMBERED]] = np.nan
    margins = Margins.of(scored(frame, reward + noise), Design.of(frame, LABELLED))
    return found(gold_rows(margins, frame, DIMS), "beta_gold"), frame.assign(score=reward + noise)


def test_where_people_labelled_everything_theirs_are_the_coefficients_in_the_unit_of_the_labels():
    prices = {"helpful": 1.0, TONES[0]: 0.7}
    rows, frame = gold(FRAME["item_id"].unique(), prices)
    d = gaps(frame, "score")
    unit = np.sqrt((d**2).mean() / 2)
    X = pd.DataFrame({"log_words": gaps(frame, "x_log_words") / frame["x_log_words"].std(ddof=0)})
    for name in NUMBERED:
        spread = frame[column(name)].std(ddof=0) if name in TONES else 1.0
        X[name] = gaps(frame, column(name, "gold")) / spread
    coef = pd.Series(np.linalg.lstsq(X, d / unit, rcond=None)[0], X.columns)
    assert {name: m.value for name, m in rows.items()} == pytest.approx(coef.to_dict())


def test_people_who_labelled_a_part_correct_what_the_labels_of_all_say():
    known = FRAME["item_id"].unique()[::2]
    rows, frame = gold(known, {"helpful": 1.0})
    d = gaps(frame, "score")
    unit = np.sqrt((d**2).mean() / 2)
    assert rows["helpful"].value == pytest.approx(1 / unit, abs=0.2)
    attenuated = (gaps(frame, column("helpful")) @ d) / (gaps(frame, column("helpful")) ** 2).sum() / unit
    assert attenuated < 0.8 / unit


def test_no_gold_labels_no_rows():
    frame = texts(60, ("retest",))
    design = Design.of(frame, LABELLED)
    score = np.random.default_rng(0).normal(size=len(frame))
    assert gold_rows(Margins.of(scored(frame, score), design), frame, DIMS) == []
