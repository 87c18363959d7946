from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.accuracy import change, difference, subtasks

from harness.objectives import GROUPS
from harness.stats.estimate import Estimate
from tests.tasks.neuron_ablation.sweeps import PLACES, sweep

SWEEP = sweep()
GROUPS_HERE = [g for g in GROUPS if g != "safety_mixed"]


def brute(values: np.ndarray, group: str) -> float:
    """Mean over sub-tasks of the mean over prompts of the mean over items; harmless is half refuse, half comply."""
    if group == "harmless":
        return (brute(values, "refuse") + brute(values, "comply")) / 2
    by_subtask: dict[str, dict[str, list[float]]] = {}
    for (_, item), value in zip(SWEEP.items.iterrows(), values, strict=True):
        if item["group"] == group:
            by_subtask.setdefault(item["subtask"], {}).setdefault(item["cluster_id"], []).append(value)
    return float(np.mean([np.mean([np.mean(v) for v in prompts.values()]) for prompts in by_subtask.values()]))


def changed(group: str, after: str = "b", before: str = "none") -> Estimate:
    credit = SWEEP.values["credit"]
    rng = np.random.default_rng(0)
    return change(SWEEP.items, credit[after].to_numpy(float), credit[before].to_numpy(float), group, rng)


@pytest.mark.parametrize("group", GROUPS_HERE)
@pytest.mark.parametrize("measure", ["credit", "strict"])
def test_a_change_of_accuracy_is_that_of_a_loop(group: str, measure: str) -> None:
    after, before = (SWEEP.values[measure][c].to_numpy(dtype=float) for c in ("b", "none"))
    found = change(SWEEP.items, after, before, group, np.random.default_rng(0))
    assert found.value == pytest.approx(100 * (brute(after, group) - brute(before, group)))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize("group", GROUPS_HERE)
def test_a_difference_is_the_mean_that_sub_task_weights_give(group: str) -> None:
    values = SWEEP.values["margin"]["a"].to_numpy(dtype=float)
    found, shares = difference(SWEEP.items, values, group), subtasks(SWEEP.items, group)
    assert found.value == pytest.approx(100 * brute(values, group))
    weighted = np.array(list(shares.values())) @ SWEEP.weights.loc[list(shares)].to_numpy() @ values
    assert found.value == pytest.approx(100 * weighted)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("group", GROUPS_HERE)
def test_exchanging_before_and_after_changes_the_sign(group: str) -> None:
    there, back = changed(group), changed(group, "none", "b")
    assert there.value == pytest.approx(-back.value)  # type: ignore[operator]
    assert there.p == pytest.approx(back.p, abs=0.02)


def test_no_change_is_zero() -> None:
    found = changed("helpful", "none")
    assert (found.value, found.p) == (0.0, 1.0)


def test_harmless_weighs_refuse_and_comply_alike_though_they_differ_in_number() -> None:
    shares = subtasks(SWEEP.items, "harmless")
    by_group = {g: sum(v for k, v in shares.items() if str(k).endswith(g)) for g in ("refuse", "comply")}
    assert by_group == {"refuse": 0.5, "comply": 0.5}


def test_a_group_without_items_is_null_with_a_reason() -> None:
    assert changed("safety_mixed").reason == "no items of safety_mixed"
    alone = sweep(places=[p for p in PLACES if p[2] != "comply"])
    assert subtasks(alone.items, "harmless") == {}
    values = alone.values["credit"]["a"].to_numpy(dtype=float)
    assert difference(alone.items, values, "harmless").reason == "no items of harmless"
