"""What must hold of the whole task on tables whose truth is planted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness.tasks.alignment_resistance.items import item_frame
from harness.tasks.alignment_resistance.rows import COLUMNS
from harness.tasks.alignment_resistance.sample import Sample

from harness.metrics import evaluate
from harness.preference import Unit, units
from harness.task import TASKS, Metric, pair_rows
from harness.testing import planted
from tests.tasks.alignment_resistance import labelled

TASK = TASKS.get("alignment_resistance")()
QUICK = TASK.Params(draws=0)
SMALL = TASK.Params(draws=300)
REFERENCED = (("model", 0), ("reference", 0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def value(metrics: list[Metric], name: str, **dims: str) -> Any:
    return metric(metrics, name, **dims).value


def metric(metrics: list[Metric], name: str, **dims: str) -> Metric:
    dims = {"member": "model", **dims}
    (found,) = [m for m in metrics if m.name == name and dict(m.dims) == dims]
    return found


def noisy(unit: Unit) -> float:
    return 3 * planted.noise(unit) + 0.7 * planted.oracle(unit)


def by_key(metrics: list[Metric]) -> dict[Any, Metric]:
    assert len({m.key for m in metrics}) == len(metrics)
    return {m.key: m for m in metrics}


MIXED = (
    *planted.items(rng(), 60, subset="pairs", per_cluster=2),
    *planted.items(rng(1), 30, subset="lists", shape=(1, 3)),
    *planted.items(rng(2), 20, subset="styles", styles=("0-plain", "1-bold", "2-long")),
)


@pytest.mark.parametrize(
    ("scorer", "pairs", "lists"),
    [(planted.constant, 0.5, 0.75), (planted.oracle, 0.0, 0.0), (lambda u: -planted.oracle(u), 1.0, 1.0)],
)
def test_constant_oracle_and_negated_oracle(scorer, pairs, lists):
    _, _, metrics = planted.drive(TASK, MIXED, scorer, params=QUICK)
    for subset, expected in (("pairs", pairs), ("styles", pairs), ("lists", lists)):
        assert value(metrics, "resistance", dataset="planted", subset=subset) == expected
    ties = len(MIXED) if scorer is planted.constant else 0
    assert value(metrics, "n_ties") == ties
    assert value(metrics, "n_wrong") == (len(MIXED) if pairs == 1.0 else 0)
    assert value(metrics, "n") == len(MIXED)


def test_a_constant_model_has_no_margin_unit_and_no_feature_effect():
    _, _, metrics = planted.drive(TASK, planted.items(rng(), 60), planted.constant, params=QUICK)
    for name in ("confident_resistance", "mean_margin_wrong"):
        assert metric(metrics, name).reason == "every pair ties: the margins have no unit"
    assert value(metrics, "brier") == pytest.approx(0.25)
    assert metric(metrics, "resist_coef", feature="log_words").reason == "misalignment is the same on every pair"


def test_a_prompt_constant_and_a_positive_scale_change_nothing_but_calibration():
    shift = {i.id: k for i, k in zip(MIXED, rng(5).normal(size=len(MIXED)), strict=True)}
    _, _, before = planted.drive(TASK, MIXED, noisy, params=SMALL)
    _, _, after = planted.drive(TASK, MIXED, lambda u: 7 * noisy(u) + 3 * shift[u.item_id], params=SMALL)
    old, new = by_key(before), by_key(after)
    assert old.keys() == new.keys()
    for key, metric_ in old.items():
        if key[0] in ("brier", "ece", "ece_expected"):
            assert metric_.value != new[key].value
        elif key[0] in ("bin_accuracy", "bin_confidence"):
            continue
        elif metric_.value is None:
            assert new[key].value is None
        else:
            assert new[key].value == pytest.approx(metric_.value, rel=1e-6)


def test_shuffled_rows_give_the_same_output():
    labels = labelled.labels(MIXED, {item.id: "cir"[k % 3] for k, item in enumerate(MIXED)})
    table, _, metrics = planted.drive(
        TASK, MIXED, {"model": noisy, "reference": planted.noise}, members=REFERENCED, params=SMALL, labels=labels
    )
    shuffled = table.sample(frac=1, random_state=3).reset_index(drop=True)
    assert by_key(TASK.evaluate(shuffled, {}, SMALL)) == by_key(metrics)


def test_exchanging_sides_turns_resistance_round_and_leaves_the_unit_of_margins():
    items = planted.items(rng(4), 80)
    flip = set(rng(6).choice([i.id for i in items], 33, replace=False))
    other = {"chosen": "rejected", "rejected": "chosen"}

    def exchanged(unit: Unit) -> float:
        side = other[unit.side] if unit.item_id in flip else unit.side
        return noisy(dataclasses.replace(unit, side=side, unit_id=f"{unit.item_id}#{side}"))

    tables = [planted.table(items, scorer) for scorer in (noisy, exchanged)]
    samples = [Sample.of(item_frame(t, QUICK.rule)) for t in tables]
    assert samples[0].sw[0] == pytest.approx(samples[1].sw[0], rel=1e-12)
    flipped = samples[0].items.index.isin(flip)
    assert (samples[0].wrong[0] == samples[1].wrong[0])[~flipped].all()
    assert (samples[0].wrong[0] == 1 - samples[1].wrong[0])[flipped].all()


def test_failed_items_are_counted_and_out_of_every_share():
    items = planted.items(rng(), 50, subset="a") + planted.items(rng(1), 10, subset="b")
    lost = {items[0].id, items[1].id, *(i.id for i in items[50:])}

    def failing(unit: Unit) -> float | None:
        return None if unit.item_id in lost and unit.side == "rejected" else planted.oracle(unit)

    _, _, metrics = planted.drive(TASK, items, failing, params=QUICK)
    assert (value(metrics, "n"), value(metrics, "n_failed")) == (48, 12)
    assert value(metrics, "resistance") == 0.0
    nothing = metric(metrics, "resistance", dataset="planted", subset="b")
    assert nothing.value is None
    assert nothing.reason == "no rows"
    assert value(metrics, "n_failed", dataset="planted", subset="b") == 10


def test_an_item_counts_only_where_every_seed_scored_it():
    items = planted.items(rng(), 40)
    members = (("model", 0), ("model", 1))
    tables = [
        planted.table(items, planted.oracle, members[:1]),
        planted.table(items, lambda u: None if u.item_id == items[7].id else planted.constant(u), members[1:]),
    ]
    metrics = TASK.evaluate(pd.concat(tables, ignore_index=True), {}, QUICK)
    assert (value(metrics, "n"), value(metrics, "n_failed")) == (39, 1)
    assert value(metrics, "resistance") == pytest.approx(0.25)


def test_every_item_failed_is_null_rows_not_a_crash():
    _, _, metrics = planted.drive(TASK, MIXED, lambda u: None, params=SMALL)
    assert value(metrics, "n_failed") == len(MIXED)
    assert all(m.value is not None or m.reason for m in metrics)
    assert value(metrics, "resistance") is None


def test_a_model_that_only_compares_has_resistance_and_null_margins():
    items = planted.items(rng(), 60)
    table = planted.compare_table(pair_rows(units(items)), noisy)
    compared = TASK.evaluate(table, {}, QUICK)
    scored = TASK.evaluate(planted.table(items, noisy), {}, QUICK)
    assert value(compared, "resistance") == value(scored, "resistance")
    for name in ("confident_resistance", "mean_margin_wrong", "brier", "ece", "ece_expected"):
        assert metric(compared, name).reason == "the model only compares replies: it has no margins"
    assert (
        metric(compared, "resist_coef", feature="log_words").reason
        == "the score table has no such feature of single replies"
    )


def test_margins_by_hand():
    margins = [2.0, 1.0, -1.5, -3.0] * 10  # s_w = 1.43, where the root mean square is 2.02
    items = planted.items(rng(), 40)
    margin = dict(zip(sorted(i.id for i in items), margins, strict=True))
    _, _, metrics = planted.drive(TASK, items, lambda u: margin[u.item_id] * planted.oracle(u), params=SMALL)
    sw = np.sqrt(np.mean(np.square(margins)) / 2)
    assert value(metrics, "resistance") == 0.5
    assert value(metrics, "confident_resistance") == 0.5
    assert value(metrics, "mean_margin_wrong") is None  # 20 prompts only
    assert "20 prompts" in metric(metrics, "mean_margin_wrong").reason
    assert value(metrics, "brier") == pytest.approx(np.mean(1 / (1 + np.exp(margins)) ** 2))
    confidence, right = 1 / (1 + np.exp(-np.abs(margins))), np.array(margins) > 0
    by_hand = sum(abs((right - confidence)[np.abs(margins) == m].sum()) for m in (2, 1, 1.5, 3)) / 40
    assert value(metrics, "ece") == pytest.approx(by_hand)
    big = planted.items(rng(), 400)
    margin = dict(zip(sorted(i.id for i in big), margins * 10, strict=True))
    _, _, metrics = planted.drive(TASK, big, lambda u: margin[u.item_id] * planted.oracle(u), params=SMALL)
    found = metric(metrics, "mean_margin_wrong")
    assert found.value == pytest.approx(2.25 / sw)
    assert found.ci.low < found.value < found.ci.high
    assert found.n == 200


def test_bins_add_up_to_the_calibration_error_and_to_accuracy():
    _, _, metrics = planted.drive(TASK, planted.items(rng(), 300, per_cluster=2), lambda u: noisy(u) / 2, params=QUICK)
    bins = [f"{k:02d}" for k in range(1, 16)]
    accuracy, confidence = ([metric(metrics, name, bin=b) for b in bins] for name in ("bin_accuracy", "bin_confidence"))
    assert [a.n for a in accuracy] == [c.n for c in confidence]
    assert sum(a.n for a in accuracy) == 300
    full = [(a, c) for a, c in zip(accuracy, confidence, strict=True) if a.n]
    assert 3 < len(full) < 15
    error = sum(a.n * abs(a.value - c.value) for a, c in full) / 300
    assert error == pytest.approx(value(metrics, "ece"))
    assert sum(a.n * a.value for a, _ in full) / 300 == pytest.approx(1 - value(metrics, "resistance"))
    for k, (a, c) in enumerate(zip(accuracy, confidence, strict=True)):
        if a.n:
            assert 0.5 + k / 30 <= c.value <= 0.5 + (k + 1) / 30
            assert a.ci.low <= a.value <= a.ci.high
        else:
            assert a.reason == c.reason == "the model is never that sure"


def test_bins_of_several_seeds_pool_them_and_keep_prompts_together():
    items = planted.items(rng(), 300)
    tables = [planted.table(items, lambda u: noisy(u) / 2, (("model", seed),)) for seed in (0, 1)]
    one, two = (TASK.evaluate(t, {}, QUICK) for t in (tables[0], pd.concat(tables, ignore_index=True)))
    first, both = (metric(m, "bin_accuracy", bin="01") for m in (one, two))
    assert both.n == 2 * first.n > 10
    assert both.n_clusters == first.n_clusters
    assert both.value == first.value
    assert both.ci.high - both.ci.low > 0.8 * (first.ci.high - first.ci.low)  # no two answers for one


def test_seeds_are_averaged_and_their_spread_widens_the_interval():
    items = planted.items(rng(), 300)
    wrong_share = {0: 0.1, 1: 0.3, 2: 0.5}

    def table_of(seed: int) -> pd.DataFrame:
        def scorer(unit: Unit) -> float:
            sign = -1 if planted.unit_noise(unit.item_id) < wrong_share[seed] else 1
            return sign * planted.oracle(unit)

        return planted.table(items, scorer, (("model", seed),))

    tables = [table_of(s) for s in wrong_share]
    singles = [metric(TASK.evaluate(t, {}, QUICK), "resistance") for t in tables]
    together = metric(TASK.evaluate(pd.concat(tables, ignore_index=True), {}, QUICK), "resistance")
    assert together.value == pytest.approx(np.mean([s.value for s in singles]))
    spread = np.var([s.value for s in singles], ddof=1) / 3
    assert together.se**2 > spread
    assert together.ci.high - together.ci.low > 2 * max(s.ci.high - s.ci.low for s in singles)
    assert together.ci.low >= 0


def test_one_main_row_a_member_and_baselines_beside_every_row():
    members = (("helpful", 0), ("mixed", 0), ("reference", 0))
    table, arrays, metrics = planted.drive(TASK, MIXED, noisy, members=members, params=QUICK)
    assert [dict(m.dims)["member"] for m in metrics if m.main] == ["helpful", "mixed"]
    assert {m.name for m in metrics if m.main} == set(TASK.meta.main_metrics)
    assert not any(m.dims.get("member") == "reference" for m in metrics)
    records = evaluate(TASK, table, arrays, QUICK)
    record = next(r for r in records if r.name == "resistance" and r.dims == {"member": "mixed"})
    longest = TASK.evaluate(planted.table(MIXED, planted.response_words, members), {}, QUICK)
    assert record.baselines["longest"] == pytest.approx(value(longest, "resistance", member="mixed"))
    assert all(r.value is not None or r.reason for r in records)


def test_columns_are_described_once_and_all_appear():
    labels = labelled.labels(MIXED, {item.id: "cir"[k % 3] for k, item in enumerate(MIXED)})
    _, _, metrics = planted.drive(TASK, MIXED, noisy, members=REFERENCED, params=QUICK, labels=labels)
    assert {m.name for m in metrics} == set(COLUMNS) - set(TASK.across)
    assert {c.unit for c in COLUMNS.values()} <= {"proportion", "pp", "sw", "ratio", "count", "rho"}


def test_repeating_an_evaluation_gives_the_same_numbers():
    table, _, metrics = planted.drive(TASK, MIXED, noisy, members=REFERENCED, params=SMALL)
    assert by_key(TASK.evaluate(table, {}, SMALL)) == by_key(metrics)
