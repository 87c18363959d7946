from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from harness.tasks.neuron_ablation.damage import fidelity, gain
from harness.tasks.neuron_ablation.effects import KAPPA_DRAWS, baseline, effects, kappas, of_objective
from harness.tasks.neuron_ablation.sweep import Sweep

from harness.task import Metric
from harness.testing.planted import items as planted_items
from harness.testing.planted import oracle
from harness.testing.planted import table as planted_table
from tests.tasks.neuron_ablation.sweeps import CONDITIONS, PLACES, sweep

SWEEP = sweep()
DIMS = {"member": "model", "set": "x"}


def by_name(rows: Iterable[Metric]) -> dict[str, Metric]:
    return {m.name if "subset" not in m.dims else f"{m.name} {m.dims['subset']}": m for m in rows}


@pytest.fixture(scope="module")
def found() -> dict[str, Metric]:
    return by_name(effects(SWEEP, "b", "credit", DIMS, np.random.default_rng(0)))


def accuracies(condition: str) -> dict[str, float]:
    """By sub-task, by a loop."""
    credit = SWEEP.values["credit"][condition]
    return {
        str(subtask): float(np.mean([credit[prompt.index].mean() for _, prompt in some.groupby("cluster_id")]))
        for subtask, some in SWEEP.items.groupby("subtask")
    }


def test_intact_accuracy_by_sub_task() -> None:
    rows = by_name(baseline(SWEEP, "credit", DIMS))
    for subtask, accuracy in accuracies("none").items():
        assert rows[f"acc {subtask}"].value == pytest.approx(accuracy)
        assert rows[f"chance {subtask}"].value == 0.5


def test_an_accuracy_has_an_interval_inside_the_unit() -> None:
    items = planted_items(np.random.default_rng(0), 20, dataset="hh-rlhf", subset="helpful-base", objective="helpful")
    rows = list(baseline(Sweep.of(planted_table(items, oracle), ("model", 0)), "credit", DIMS))
    (interval,) = [m.ci for m in rows if m.name == "acc"]
    assert interval is not None
    assert 0.5 < interval.low < interval.high <= 1


def test_slope_and_residuals_are_those_of_a_loop(found: dict[str, Metric]) -> None:
    before, after = accuracies("none"), accuracies("b")
    above = {k: a - 0.5 for k, a in before.items()}
    delta = {k: after[k] - before[k] for k in before}
    slope = sum(above[k] * delta[k] for k in above) / sum(a**2 for a in above.values())
    assert found["chance_slope"].value == pytest.approx(slope)
    left = {k: 100 * (delta[k] - slope * above[k]) for k in above}
    means = {g: np.mean([v for k, v in left.items() if k.endswith(g)]) for g in ("helpful", "refuse", "comply")}
    for group, mean in means.items():
        assert found[f"d_resid_{group}"].value == pytest.approx(mean)
    assert found["d_resid_harmless"].value == pytest.approx((means["refuse"] + means["comply"]) / 2)
    assert found["d_resid_safety_mixed"].reason == "no items of safety_mixed"


def test_the_change_by_sub_task(found: dict[str, Metric]) -> None:
    before, after = accuracies("none"), accuracies("b")
    for subtask in before:
        assert found[f"d_acc {subtask}"].value == pytest.approx(100 * (after[subtask] - before[subtask]))


def test_a_margin_changes_in_intact_standard_deviations(found: dict[str, Metric]) -> None:
    margins = SWEEP.values["margin"]
    for group, objectives in {"helpful": ("helpful",), "harmless": ("refuse", "comply")}.items():
        mine = SWEEP.items["group"].isin(objectives).to_numpy()
        expected = (margins["b"] - margins["none"])[mine].mean() / margins["none"][mine].std(ddof=0)
        assert found[f"d_margin_{group}"].value == pytest.approx(expected)


def test_damage(found: dict[str, Metric]) -> None:
    before, after = SWEEP.margins(["none"])[:, 0], SWEEP.margins(["b"])
    assert found["fidelity"].value == pytest.approx(fidelity(before, after, SWEEP.items["group"].to_numpy(str))[0])
    assert found["margin_gain"].value == pytest.approx(gain(before, after)[0])


def test_an_ablation_of_nothing_does_nothing() -> None:
    rows = by_name(effects(SWEEP, "none", "credit", DIMS, np.random.default_rng(0)))
    for name in ("d_acc_helpful", "d_margin_harmless", "chance_slope", "d_resid_refuse"):
        assert rows[name].value == pytest.approx(0)
    assert rows["fidelity"].value == rows["margin_gain"].value == pytest.approx(1)


def test_chance_is_that_of_the_items_shape() -> None:
    """A model that is always wrong where one of four is right lost a quarter against chance, not a half."""
    four = planted_items(np.random.default_rng(0), 40, subset="best-of-four", objective="helpful", shape=(1, 3))
    pairs = planted_items(np.random.default_rng(1), 40, subset="pairs", objective="refuse")
    table = planted_table([*four, *pairs], oracle, conditions=("none", "a"))
    wrong = (table["condition"] == "a") & (table["subset"] == "best-of-four")
    lost = Sweep.of(table.assign(score=table["score"].where(~wrong, -table["score"])), ("model", 0))
    rows = by_name(effects(lost, "a", "credit", DIMS, np.random.default_rng(0)))
    assert rows["chance_slope"].value == pytest.approx(-0.75 / (0.75**2 + 0.5**2))


def test_a_model_at_chance_has_no_slope() -> None:
    table = planted_table(planted_items(np.random.default_rng(0), 40), lambda u: 0.0, conditions=("none", "a"))
    rows = by_name(effects(Sweep.of(table, ("model", 0)), "a", "credit", DIMS, np.random.default_rng(0)))
    assert rows["chance_slope"].value is None
    assert "chance" in (rows["chance_slope"].reason or "")
    assert rows["d_margin_helpful"].reason == "the intact margins do not vary"


def test_kappa_of_the_intact_model_is_one_and_falls_with_damage() -> None:
    some = sweep(n=120)
    rows = list(kappas(some, {c: {"set": c} for c in CONDITIONS}, 200, 0))
    for objective in ("helpful", "harmless"):
        values = [m.value for m in rows if m.name == f"kappa_{objective}"]
        assert values[0] == pytest.approx(1)
        assert all(v is not None and v < 1 for v in values[1:])
        assert values[3] < values[1]  # type: ignore[operator]
        assert all(m.ci is not None for m in rows if m.name == f"kappa_{objective}")


def test_kappa_draws_are_bounded_and_seeded() -> None:
    a, b = (of_objective(SWEEP, "helpful", ["a"], 10**6, 0) for _ in range(2))
    assert len(a.draws) == KAPPA_DRAWS
    np.testing.assert_array_equal(a.draws, b.draws)


def test_an_objective_without_items_has_no_kappa() -> None:
    alone = sweep(places=[p for p in PLACES if p[2] == "helpful"])
    rows = by_name(kappas(alone, {"a": DIMS}, 100, 0))
    assert rows["kappa_harmless"].reason == "no items of harmless"
    assert rows["kappa_helpful"].value is not None
