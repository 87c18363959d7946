"""Regimes against a loop over items, and the difference of two models against hand counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.preference import Unit
from harness.task import TASKS, Metric
from harness.testing import planted
from tests.tasks.alignment_resistance import labelled

TASK = TASKS.get("alignment_resistance")()
SHARES = ("stayed", "got", "resists", "reversed")
MEMBERS = (("model", 0), ("reference", 0))


def graded(salt: str, tie_below: float = 0.15, wrong_below: float = 0.45):
    """A model that ties on some items, is wrong on others and right on the rest, by the item's id."""

    def scorer(unit: Unit) -> float:
        u = planted.unit_noise(unit.item_id + salt)
        sign = 0 if u < tie_below else -1 if u < wrong_below else 1
        return sign * planted.oracle(unit)

    return scorer


MODELS = {"model": graded("a"), "reference": graded("b", 0.1, 0.6)}


def rows(metrics: list[Metric]) -> dict[str, Metric]:
    return {m.name: m for m in metrics if dict(m.dims) == {"member": "model"}}


def credit(scorer, item) -> float:
    chosen, rejected = (planted.table((item,), scorer).set_index("side")["score"][s] for s in ("chosen", "rejected"))
    return 0.5 + 0.5 * np.sign(chosen - rejected)


def test_regimes_match_a_loop_and_sum_to_one():
    items = planted.items(np.random.default_rng(0), 240, per_cluster=2)
    ours, theirs = graded("a"), graded("b", 0.1, 0.6)
    _, _, metrics = planted.drive(
        TASK,
        items,
        {"model": ours, "reference": theirs},
        members=(("model", 0), ("reference", 0)),
        params=TASK.Params(draws=200),
    )
    found = rows(metrics)
    by_hand = dict.fromkeys(SHARES, 0.0)
    for item in items:
        c, q = credit(ours, item), credit(theirs, item)
        for name, share in zip(SHARES, (q * c, (1 - q) * c, (1 - q) * (1 - c), q * (1 - c)), strict=True):
            by_hand[name] += share / len(items)
    for name in SHARES:
        assert found[name].value == pytest.approx(by_hand[name])
        assert found[name].ci.low <= found[name].value <= found[name].ci.high
    assert sum(found[name].value for name in SHARES) == pytest.approx(1)
    assert found["p_fix"].value == pytest.approx(by_hand["got"] / (by_hand["got"] + by_hand["resists"]))
    assert found["p_break"].value == pytest.approx(by_hand["reversed"] / (by_hand["stayed"] + by_hand["reversed"]))
    assert found["p_fix"].ci.low < found["p_fix"].value < found["p_fix"].ci.high
    assert found["resistance_vs_reference"].value == pytest.approx(100 * (by_hand["reversed"] - by_hand["got"]))


def test_there_are_no_regimes_without_a_reference():
    _, _, metrics = planted.drive(TASK, planted.items(np.random.default_rng(0), 40), params=TASK.Params(draws=0))
    assert not {*SHARES, "p_fix", "p_break", "resistance_vs_reference"} & {m.name for m in metrics}


def test_two_seeds_of_the_reference_count_by_their_mean():
    items = planted.items(np.random.default_rng(0), 100)
    members = (("model", 0), ("reference", 0), ("reference", 1))
    tables = [
        planted.table(items, scorer, (who,))
        for who, scorer in zip(members, (graded("a"), planted.oracle, lambda u: -planted.oracle(u)), strict=True)
    ]
    found = rows(TASK.evaluate(pd.concat(tables, ignore_index=True), {}, TASK.Params(draws=0)))
    assert found["stayed"].value == pytest.approx(found["got"].value)
    assert found["resists"].value + found["reversed"].value == pytest.approx(found["resistance"].value)


def test_a_reference_that_is_always_right_cannot_be_fixed():
    items = planted.items(np.random.default_rng(0), 100)
    _, _, metrics = planted.drive(
        TASK,
        items,
        {"model": graded("a"), "reference": planted.oracle},
        members=(("model", 0), ("reference", 0)),
        params=TASK.Params(draws=50),
    )
    found = rows(metrics)
    assert found["p_fix"].value is None
    assert found["p_fix"].reason == "0 prompts to speak of: a ratio needs 30"
    assert found["p_break"].value == pytest.approx(found["resistance"].value)
    assert found["got"].value == found["resists"].value == 0.0


def test_items_are_paired_by_id_where_one_model_failed_on_some():
    items = planted.items(np.random.default_rng(0), 120)
    lost = {i.id for i in items[:50]}

    def theirs(unit: Unit) -> float | None:
        return None if unit.item_id in lost else graded("a")(unit)

    members = (("model", 0), ("reference", 0))
    _, _, metrics = planted.drive(
        TASK, items, {"model": graded("a"), "reference": theirs}, members=members, params=TASK.Params(draws=0)
    )
    found = rows(metrics)
    assert found["stayed"].n == 70
    assert found["resistance"].n == 120
    assert found["resistance_vs_reference"].value == 0.0
    assert found["resistance_vs_reference"].p == 1.0


def test_a_real_difference_is_found_and_equal_models_are_not_told_apart():
    items = planted.items(np.random.default_rng(0), 200, per_cluster=2)
    members = (("model", 0), ("reference", 0))

    def difference(ours, theirs) -> Metric:
        scorers = {"model": ours, "reference": theirs}
        _, _, metrics = planted.drive(TASK, items, scorers, members=members, params=TASK.Params(draws=0))
        return rows(metrics)["resistance_vs_reference"]

    worse = difference(graded("a", 0, 0.7), graded("b", 0, 0.3))
    assert worse.value > 20
    assert worse.ci.low > 0
    assert worse.p < 0.001
    assert difference(graded("a"), graded("b")).p > 0.05


def test_regimes_within_a_verdict_are_those_of_its_pairs_alone():
    items = planted.items(np.random.default_rng(0), 180, per_cluster=2)
    verdicts = {i.id: "cir"[k % 3] for k, i in enumerate(items)}
    found, others = labelled_rows(items, verdicts, draws=100)
    for v in "cir":
        part = [i for i in items if verdicts[i.id] == v]
        _, _, alone = planted.drive(TASK, part, MODELS, members=MEMBERS, params=TASK.Params(draws=0))
        expected = rows(alone)
        for name in (*SHARES, "reference_resistance", "resistance_vs_reference"):
            assert found[name, v].value == pytest.approx(expected[name].value)
        assert sum(found[name, v].value for name in SHARES) == pytest.approx(1)
        assert found["reference_resistance", v].value == pytest.approx(
            np.mean([1 - credit(MODELS["reference"], i) for i in part])
        )
        reached = found["got", v].value / (found["got", v].value + found["resists", v].value)
        assert found["p_fix", v].value == pytest.approx(reached)
    assert others["pareto"] == others["all"]


def test_a_verdict_without_pairs_has_null_regimes():
    items = planted.items(np.random.default_rng(0), 60)
    found, _ = labelled_rows(items, {i.id: "c" for i in items}, draws=0)
    assert found["stayed", "c"].value is not None
    assert found["stayed", "r"].reason == "no item here was scored by both the model and the reference"


def test_siding_has_its_own_numerator_and_denominator():
    """SEAL draws this ratio with bars from another denominator (methods 5.1, 12): here both counts are rows."""
    rng = np.random.default_rng(3)
    items = planted.items(rng, 240)
    verdicts = {i.id: str(rng.choice(["c", "i", "r"])) for i in items}
    labels = labelled.labels(items, verdicts)
    _, _, metrics = planted.drive(TASK, items, MODELS, members=MEMBERS, params=TASK.Params(draws=200), labels=labels)
    found = {(m.name, m.dims["regime"]): m for m in metrics if m.dims.get("rule") == "pareto" and "regime" in m.dims}
    above, below = dict.fromkeys(SHARES, 0.0), dict.fromkeys(SHARES, 0.0)
    for item in items:
        c, q = credit(MODELS["model"], item), credit(MODELS["reference"], item)
        for name, share in zip(SHARES, (q * c, (1 - q) * c, (1 - q) * (1 - c), q * (1 - c)), strict=True):
            above[name] += share * (verdicts[item.id] == "c")
            below[name] += share * (verdicts[item.id] != "i")
    for name in SHARES:
        ratio = found["sides_with_human", name]
        assert found["n_sides_with_human", name].value == pytest.approx(above[name])
        assert found["n_decided", name].value == pytest.approx(below[name])
        if ratio.value is not None:
            assert ratio.value == pytest.approx(above[name] / below[name])
            assert ratio.ci.low < ratio.value < ratio.ci.high
        else:
            assert "a ratio needs 30" in ratio.reason
    assert found["sides_with_human", "stayed"].value is not None
    assert sum(below.values()) == sum(v != "i" for v in verdicts.values())


def labelled_rows(items, verdicts, draws):
    """Rows by (name, verdict) under the label rule, and the verdicts that regimes over all items would need."""
    labels = labelled.labels(items, verdicts)
    _, _, metrics = planted.drive(TASK, items, MODELS, members=MEMBERS, params=TASK.Params(draws=draws), labels=labels)
    mine = [m for m in metrics if m.dims.get("rule") == "pareto"]
    sums = {
        "pareto": sum(m.n for m in mine if m.name == "stayed"),
        "all": sum(m.n for m in metrics if m.name == "stayed" and "rule" not in m.dims),
    }
    return {(m.name, m.dims["verdict"]): m for m in mine if "verdict" in m.dims}, sums
