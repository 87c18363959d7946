from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness.tasks.neuron_ablation.conditions import control_name, set_name
from harness.tasks.neuron_ablation.params import Params
from harness.tasks.neuron_ablation.rows import FAMILY, rows
from harness.tasks.neuron_ablation.sets import HEADLINE, SETS, choose

from harness.stats.multiplicity import holm
from harness.task import Metric
from tests.tasks.neuron_ablation.sweeps import table

R = 12
PARAMS = Params(percents=(5.0, 10.0), controls=R, draws=100)
SCORES = {
    o: np.random.default_rng(i).normal(size=(4, 30)).astype(np.float32) for i, o in enumerate(("helpful", "harmless"))
}
KINDS = ("rand_layer", "rand_label", "neutral_top")


def arrays(matched: int = R) -> dict[str, np.ndarray]:
    found = {f"{kind}/model.0/{o}": s for o, s in SCORES.items() for kind in ("chosen_by", "score")}
    found |= {f"half/model.0/{o}": np.stack([s, s]) for o, s in SCORES.items()}
    searched = np.array([[10 + r, r < matched] for r in range(R)], dtype=np.int32)
    return found | {f"matched/model.0/{name}": searched for name in HEADLINE}


def conditions(kinds: tuple[str, ...] = KINDS, params: Params = PARAMS) -> tuple[str, ...]:
    """Those that a run has: every set, every control, the matched sizes, and sizes that were only tried."""
    sets = [
        set_name(name, p, params.mode)
        for p in params.levels
        for name, chosen in choose(SCORES, p, params.rank, params.ties).items()
        if len(chosen)
    ]
    heads = [set_name(name, params.headline, params.mode) for name in HEADLINE]
    controls = [control_name(h, kind, r) for h in heads for kind in kinds for r in range(R)]
    damage = [control_name(h, "damage", r, n) for h in heads for r in range(R) for n in (10 + r, 99)]
    return ("none", *sets, *controls, *damage)


def found(some: dict[str, np.ndarray] | None = None, params: Params = PARAMS, **more: Any) -> list[Metric]:
    return rows(table(0, conditions(**more), n=24), arrays() if some is None else some, params)


@pytest.fixture(scope="module")
def all_rows() -> list[Metric]:
    return found()


def of(some: list[Metric], name: str, **dims: str) -> list[Metric]:
    return [m for m in some if m.name == name and dims.items() <= m.dims.items()]


def test_every_set_at_every_percentage_says_its_size_and_effects(all_rows: list[Metric]) -> None:
    for percent in ("5", "10"):
        sets = choose(SCORES, float(percent), "global", "exact")
        for name in SETS:
            (size,) = of(all_rows, "k", set=name, p=percent)
            assert size.value == len(sets[name])
            assert len(of(all_rows, "d_acc_helpful", set=name, p=percent)) == (len(sets[name]) > 0)
            assert len(of(all_rows, "layer_share_mid", set=name, p=percent)) == 1


def test_controls_are_the_headline_sets_alone(all_rows: list[Metric]) -> None:
    assert {(m.dims["set"], m.dims["p"]) for m in of(all_rows, "controls")} == {(name, "5") for name in HEADLINE}
    assert all(m.value == R for m in of(all_rows, "controls"))


def test_holm_over_nine_against_controls_of_equal_damage(all_rows: list[Metric]) -> None:
    family = [m for m in all_rows if m.name in FAMILY and m.dims.get("control") == "damage"]
    assert len(family) == 9
    assert [m.p_holm for m in family] == pytest.approx(holm([m.p for m in family]))
    assert all(m.p_holm is None for m in all_rows if m.name in FAMILY and m.dims.get("control") != "damage")


def test_main_rows_are_specificity_and_antagonism(all_rows: list[Metric]) -> None:
    assert {m.name for m in all_rows if m.main} == {f"{c}_{o}" for c in ("specificity", "antagonism") for o in SCORES}


def test_matched_draws_are_used_if_most_are_matched() -> None:
    most, few = (found(arrays(n)) for n in (R - 3, R // 2 - 1))
    (size,) = of(most, "controls", set="only_helpful", control="damage")
    assert size.value == R - 3
    (fewer,) = of(few, "controls", set="only_helpful", control="damage")
    assert fewer.value == 0
    assert f"unmatched: no size tried of a random set does as much damage as the set in {R} draws" == fewer.reason
    assert of(few, "specificity_helpful")[0].value is None
    assert [m.value for m in of(most, "control_k", set="only_helpful")] == [pytest.approx(10 + (R - 4) / 2)]


def test_absent_neutral_controls_are_said_to_be_absent() -> None:
    some = found(kinds=("rand_layer", "rand_label"))
    (size,) = of(some, "controls", set="shared_m", control="neutral_top")
    assert (size.value, size.reason) == (0, "no neutral corpus")


def test_with_few_controls_no_p_is_printed() -> None:
    assert any(m.p is not None for m in found())
    few = found(params=replace(PARAMS, controls=9))
    assert all(m.p is None and m.p_holm is None for m in few)


def test_strict_counts_ties_as_wrong() -> None:
    strict = found(params=replace(PARAMS, strict=True))
    pairs = zip(of(strict, "acc"), of(found(), "acc"), strict=True)
    differences = [a.value - b.value for a, b in pairs if a.value is not None and b.value is not None]
    assert all(d <= 0 for d in differences)
    assert min(differences) < 0


def test_without_arrays_there_is_nothing_to_say() -> None:
    assert rows(table(0, ("none",)), {}, PARAMS) == []


def test_every_ablated_model_has_its_rows() -> None:
    two = arrays() | {k.replace("model.0", "mixed.3"): v for k, v in arrays().items()}
    given = table(0, conditions(), n=24)
    both = [given, given.assign(member="mixed", seed=3, score=-given["score"])]
    some = rows(pd.concat(both, ignore_index=True), two, PARAMS)
    first, second = (of(some, "acc", member=m, seed=s) for m, s in (("model", "0"), ("mixed", "3")))
    assert [a.value for a in first] == pytest.approx([1 - (b.value or 0) for b in second])
