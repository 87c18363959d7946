from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from harness.tasks.neuron_ablation.accuracy import difference
from harness.tasks.neuron_ablation.contrasts import ENOUGH, Headline, contrasts, specificity, tensions
from harness.tasks.neuron_ablation.controls import CONTROLS
from harness.tasks.neuron_ablation.damage import fidelity
from harness.tasks.neuron_ablation.effects import of_objective

from harness.stats.controls import against
from harness.task import Metric
from tests.tasks.neuron_ablation.sweeps import PLACES, sweep
from tests.tasks.neuron_ablation.test_accuracy import brute

R = 12
DRAWS = {kind: [f"only_helpful@5/mean/{kind}#{r:03d}" for r in range(R)] for kind in CONTROLS}
CONDITIONS = ("none", "set", *(c for some in DRAWS.values() for c in some))
HEAD = Headline("only_helpful", "set", DRAWS, 4.0, 0, [30, 50])
DIMS = {"set": "only_helpful", "p": "5"}
SWEEP = sweep(3, CONDITIONS, n=150)


def keyed(rows: Iterable[Metric]) -> dict[str, Metric]:
    return {" ".join([m.name, *(m.dims[d] for d in ("control", "draw") if d in m.dims)]): m for m in rows}


def few(n: int) -> dict[str, list[str]]:
    return {kind: some[:n] for kind, some in DRAWS.items()}


@pytest.fixture(scope="module")
def found() -> dict[str, Metric]:
    return keyed(contrasts(SWEEP, HEAD, "credit", DIMS))


@pytest.mark.parametrize("kind", CONTROLS)
@pytest.mark.parametrize("group", ["helpful", "harmless"])
def test_excess_is_the_difference_to_the_mean_of_the_draws(
    found: dict[str, Metric], kind: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.tasks.neuron_ablation.test_accuracy.SWEEP", SWEEP)
    credit = SWEEP.values["credit"]
    own = 100 * brute(credit["set"].to_numpy(float), group)
    draws = np.array([100 * brute(credit[c].to_numpy(float), group) for c in DRAWS[kind]])
    excess = found[f"excess_{group} {kind}"]
    assert excess.value == pytest.approx(own - draws.mean())
    assert found[f"z_{group} {kind}"].value == pytest.approx((own - draws.mean()) / draws.std(ddof=1))
    assert excess.p == pytest.approx(against(own, draws, "below").p)
    assert found[f"effect_per_1pct_{group} {kind}"].value == pytest.approx((own - draws.mean()) / 4)


def test_the_interval_of_an_excess_knows_the_draws_are_few(found: dict[str, Metric]) -> None:
    credit, names = SWEEP.values["credit"], DRAWS["damage"]
    items = difference(SWEEP.items, (credit["set"] - credit[names].mean(axis=1)).to_numpy(float), "helpful")
    sd = found["excess_helpful damage"].value / found["z_helpful damage"].value  # type: ignore[operator]
    assert found["excess_helpful damage"].se == pytest.approx(np.hypot(items.se, sd / R**0.5))  # type: ignore[arg-type]


def test_what_the_controls_were(found: dict[str, Metric]) -> None:
    groups = SWEEP.items["group"].to_numpy(str)
    for kind in CONTROLS:
        assert found[f"controls {kind}"].value == R
        spared = fidelity(SWEEP.margins(["none"])[:, 0], SWEEP.margins(DRAWS[kind]), groups)
        assert found[f"control_fidelity {kind}"].value == pytest.approx(spared.mean())
    assert found["control_k damage"].value == 40


def test_no_p_below_ten_draws_and_no_rank_below_199() -> None:
    assert ENOUGH == 10
    rows = keyed(contrasts(SWEEP, replace(HEAD, controls=few(9)), "credit", DIMS))
    assert all(m.p is None for m in rows.values())
    assert rows["excess_helpful damage"].value is not None
    assert rows["excess_helpful damage"].reason == "9 control draws: a p needs 10"
    assert specific(replace(HEAD, controls=few(9)))["specificity_helpful"].reason == "9 control draws: a p needs 10"
    assert not any(name.startswith("p_emp") for name in rows)


@pytest.mark.parametrize(
    ("kind", "unmatched", "reason"),
    [("damage", 7, "unmatched"), ("neutral_top", 0, "no neutral corpus"), ("rand_layer", 0, "no control draws")],
)
def test_absent_controls_say_why(kind: str, unmatched: int, reason: str) -> None:
    head = replace(HEAD, controls={**DRAWS, kind: []}, unmatched=unmatched, sizes=[])
    rows = keyed(contrasts(SWEEP, head, "credit", DIMS))
    assert rows[f"controls {kind}"].value == 0
    for name in (f"controls {kind}", f"excess_helpful {kind}", f"z_comply {kind}"):
        assert reason in (rows[name].reason or "")
    assert rows[f"excess_helpful {kind}"].value is None


# --- specificity ----------------------------------------------------------------------------------


def specific(head: Headline = HEAD, some: Any = SWEEP) -> dict[str, Metric]:
    return keyed(specificity(some, head, 200, 0, DIMS))


def test_specificity_is_the_gap_of_kappas_beyond_the_controls() -> None:
    conditions = ["set", *DRAWS["damage"]]
    kappa = {o: of_objective(SWEEP, o, conditions, 200, 0).values for o in ("helpful", "harmless")}
    gap = kappa["helpful"] - kappa["harmless"]
    rows = specific()
    found = rows["specificity_helpful"]
    assert found.value == pytest.approx(gap[0] - gap[1:].mean())
    assert found.p == pytest.approx(against(gap[0], gap[1:], "below").p)
    assert found.main
    for i, value in enumerate(kappa["harmless"][1:]):
        assert rows[f"control_kappa_harmless damage {i}"].value == pytest.approx(value)


def test_the_other_only_set_is_seen_from_the_other_side() -> None:
    mine = specific()["specificity_helpful"].value
    other = specific(replace(HEAD, name="only_harmless"))["specificity_harmless"].value
    assert mine == pytest.approx(-other)  # type: ignore[operator]


def test_without_damage_matched_controls_there_is_no_specificity() -> None:
    found = specific(replace(HEAD, controls={**DRAWS, "damage": []}, unmatched=20))["specificity_helpful"]
    assert found.value is None
    assert "unmatched" in (found.reason or "")


def test_a_group_that_is_absent_or_at_chance_has_no_specificity() -> None:
    alone = sweep(3, CONDITIONS, n=150, places=[p for p in PLACES if p[2] == "helpful"])
    assert specific(some=alone)["specificity_helpful"].reason == "no items of harmless"


# --- antagonism -----------------------------------------------------------------------------------


def tense(**heads: Headline) -> dict[str, Metric]:
    return keyed(tensions(SWEEP, heads, 400, 0, {name: {"set": name} for name in heads}))


def test_antagonism_needs_enough_draws_for_a_p() -> None:
    rows = tense(only_helpful=replace(HEAD, controls=few(9)))
    assert rows["antagonism_helpful"].value is not None
    assert rows["antagonism_helpful"].p is None
    assert rows["tension_helpful"].value is None
    assert "control draws" in (rows["tension_helpful"].reason or "")
    assert not any(name.startswith("antagonism_p") for name in rows)


def test_the_p_of_antagonism_is_the_largest_of_three_and_holm_covers_both_sets() -> None:
    rows = tense(only_helpful=HEAD, only_harmless=replace(HEAD, name="only_harmless"))
    for own in ("helpful", "harmless"):
        parts = [rows[f"antagonism_p_{kind}_{own}"].value for kind in ("items", "same", "matched")]
        found = rows[f"antagonism_{own}"]
        assert found.p == pytest.approx(max(p for p in parts if p is not None))
        assert found.p_holm is not None
        assert found.p is not None
        assert found.p_holm >= found.p
    smaller = min((rows[f"antagonism_{o}"] for o in ("helpful", "harmless")), key=lambda m: m.p or 1)
    assert smaller.p_holm == pytest.approx(min(1, 2 * (smaller.p or 1)))


def test_antagonism_is_judged_on_the_other_objective() -> None:
    moved = SWEEP.values["margin"].copy()
    harmless = (SWEEP.items["group"] != "helpful").to_numpy()
    moved.loc[harmless, "set"] = moved.loc[harmless, "none"] + moved.loc[harmless, "none"].std(ddof=0)
    moved.loc[~harmless, "set"] = moved.loc[~harmless, "none"]
    some = replace(SWEEP, values=dict(SWEEP.values) | {"margin": moved})
    heads = {"only_helpful": HEAD, "only_harmless": replace(HEAD, name="only_harmless")}
    rows = keyed(tensions(some, heads, 400, 0, {name: {} for name in heads}))
    assert rows["antagonism_helpful"].value == pytest.approx(1)
    assert rows["antagonism_harmless"].value == pytest.approx(0)


def test_a_set_that_is_empty_has_no_row_here() -> None:
    assert not any("harmless" in name for name in tense(only_helpful=HEAD))
