"""The whole task on models whose truth is planted: what it must find, and what it must not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness.tasks.neuron_ablation.overlap import top
from harness.tasks.neuron_ablation.params import Params
from harness.tasks.neuron_ablation.sets import HEADLINE, SETS
from harness.tasks.neuron_ablation.task import NeuronAblation

from harness import metrics
from harness.errors import InputError
from harness.task import Arrays, Members, Metric, Request, ScoreTable
from harness.testing import planted_scenes as scenes
from harness.testing.conformance import check_metadata, check_metrics
from harness.testing.planted import gather_planted
from harness.testing.planted_neurons import PlantedNeurons
from harness.testing.planted_scenes import LAYERS, WIDTH, K, Scene

TASK = NeuronAblation()
ONE_LEVEL = {"percents": (5.0,), "draws": 300}


@dataclass(frozen=True)
class Run:
    scene: Scene
    params: Params
    table: ScoreTable
    arrays: Arrays
    rows: tuple[Metric, ...]

    def of(self, name: str, **dims: str) -> list[Metric]:
        """The rows of a column with at least these dims."""
        return [m for m in self.rows if m.name == name and dims.items() <= m.dims.items()]

    def one(self, name: str, **dims: str) -> Metric:
        (found,) = self.of(name, **dims)
        return found


def ran(scene: Scene, subject: Any = None, **params: Any) -> Run:
    chosen = Params(**ONE_LEVEL | params)
    table, arrays = gather_planted(TASK, scene.items, chosen, subject or scene.subject)
    return Run(scene, chosen, table, arrays, tuple(TASK.evaluate(table, arrays, chosen)))


def flat(neurons: frozenset[tuple[int, int]]) -> set[int]:
    return {layer * WIDTH + neuron for layer, neuron in neurons}


def recall(run: Run, model: str, objective: str) -> float:
    best = top(run.arrays[f"chosen_by/{model}/{objective}"], 100 * K / (LAYERS * WIDTH), run.params)
    truth = flat(getattr(run.scene.truth, objective))
    return len(truth & set(best.tolist())) / len(truth)


@pytest.fixture(scope="module")
def specific() -> Run:
    return ran(scenes.specific(0, corpus=400), pairs=120, controls=20, corpus_pairs=400)


@pytest.fixture(scope="module")
def uniform() -> Run:
    return ran(scenes.uniform(0), pairs=120, controls=20)


@pytest.fixture(scope="module")
def siblings() -> Run:
    return ran(scenes.siblings(0, n=30, corpus=100, seeds=(0, 1)), pairs=60, controls=5)


@pytest.fixture(scope="module")
def identical() -> Run:
    return ran(scenes.identical(0, n=30, corpus=40), pairs=60, controls=5)


@pytest.fixture(scope="module")
def tied() -> Run:
    return ran(scenes.tied(0, n=30, corpus=40), pairs=60, controls=5)


# --- (a) a set that carries one objective ---------------------------------------------------------


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_planted_neurons_are_found(specific: Run, objective: str) -> None:
    assert recall(specific, "model.0", objective) >= 0.95


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_a_specific_set_is_called_specific(specific: Run, objective: str) -> None:
    found = specific.one(f"specificity_{objective}")
    assert found.value is not None
    assert found.value < -0.5
    assert found.p is not None
    assert found.p < 0.05
    assert found.ci is not None
    assert found.ci.high < -0.2
    assert found.main


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_a_specific_set_is_no_tension(specific: Run, objective: str) -> None:
    grown = specific.one(f"antagonism_{objective}")
    assert grown.value is not None
    assert abs(grown.value) < 0.1
    assert grown.p_holm is not None
    assert grown.p_holm > 0.5
    assert specific.one(f"tension_{objective}").value == 0.0


def test_the_set_does_more_than_its_controls_to_its_own_group_alone(specific: Run) -> None:
    own = specific.one("excess_helpful", set="only_helpful", control="damage")
    other = specific.one("excess_harmless", set="only_helpful", control="damage")
    assert own.value is not None
    assert own.value < -15
    assert own.p_holm is not None
    assert own.p_holm < 0.05
    assert other.value is not None
    assert other.value > own.value + 10


def test_every_kind_of_control_is_there(specific: Run) -> None:
    for name in HEADLINE:
        for kind in ("rand_layer", "rand_label", "neutral_top"):
            assert specific.one("controls", set=name, control=kind).value == 20
        assert (specific.one("controls", set=name, control="damage").value or 0) >= 10


def test_controls_of_equal_damage_damage_alike(specific: Run) -> None:
    for name in HEADLINE:
        of_set = specific.one("fidelity", set=name).value
        of_controls = specific.one("control_fidelity", set=name, control="damage").value
        assert of_set == pytest.approx(of_controls, abs=0.03)


def test_holm_covers_the_headline_family_and_nothing_else(specific: Run) -> None:
    family = {(m.name, m.dims["set"]) for m in specific.rows if m.p_holm is not None and m.name.startswith("excess_")}
    assert family == {(f"excess_{g}", s) for g in ("helpful", "refuse", "comply") for s in HEADLINE}
    assert all(m.p_holm >= m.p for m in specific.rows if m.p_holm is not None and m.p is not None)


# --- (b) uniform damage ---------------------------------------------------------------------------


def test_uniform_damage_is_a_slope_and_nothing_else(uniform: Run) -> None:
    slopes = [m.value for m in uniform.of("chance_slope")]
    assert all(s is not None and s < 0 for s in slopes)
    left = [m.value for g in ("helpful", "refuse", "comply") for m in uniform.of(f"d_resid_{g}")]
    assert np.mean(np.abs(np.array(left, float))) < 6


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_uniform_damage_is_neither_specific_nor_tense(uniform: Run, objective: str) -> None:
    p = uniform.one(f"specificity_{objective}").p
    assert p is not None
    assert p > 0.05
    assert uniform.one(f"tension_{objective}").value == 0.0
    assert (uniform.one(f"antagonism_{objective}").value or 0) < 0.1


# --- (c), (d) nothing to tell apart ---------------------------------------------------------------


def test_identical_siblings_have_one_set_and_empty_only_sets(identical: Run) -> None:
    between = {frozenset((m.dims["a"], m.dims["b"])): m.value for m in identical.of("jaccard")}
    assert between[frozenset(("helpful.0/helpful", "harmless.0/helpful"))] == 1.0
    for name in ("only_helpful", "only_harmless", "shared_m"):
        size = identical.one("k", set=name)
        assert (size.value, size.reason) == (0.0, "empty set")
    assert identical.one("k", set="shared").value == identical.one("k", set="own_helpful").value == K


@pytest.mark.parametrize("column", ["specificity_helpful", "specificity_harmless", "antagonism_helpful"])
def test_an_empty_set_is_a_null_with_a_reason(identical: Run, column: str) -> None:
    found = identical.one(column)
    assert (found.value, found.reason) == (None, "empty set")


def test_scores_that_are_all_tied_still_give_exactly_k(tied: Run) -> None:
    assert tied.one("k", set="own_helpful").value == tied.one("k", set="own_harmless").value == K


def test_tied_scores_have_no_reliability(tied: Run) -> None:
    for found in tied.of("score_reliability"):
        assert found.value is None
        assert "equal" in (found.reason or "")


# --- tension --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(0.5, 199), (0.0, 40)], ids=["tension", "none"])
def pushed(request: pytest.FixtureRequest) -> Run:
    push, controls = request.param
    return ran(scenes.tension(1, n=30, corpus=100, push=push), pairs=30, controls=controls, draws=1000)


def test_tension_is_called_where_it_was_planted(pushed: Run) -> None:
    planted = pushed.params.controls == 199
    grown = pushed.one("antagonism_helpful")
    assert grown.value is not None
    assert grown.p_holm is not None
    assert (grown.value > 0.2) == planted
    assert (grown.p_holm <= 0.05) == planted
    assert pushed.one("tension_helpful").value == float(planted)
    assert pushed.one("tension_harmless").value != 1.0


def test_p_emp_is_shown_from_199_draws(pushed: Run) -> None:
    found = [m.value for m in pushed.of("p_emp_helpful", set="only_helpful", control="rand_layer")]
    assert found == ([1 / 200] if pushed.params.controls == 199 else [])


# --- seeds and members ----------------------------------------------------------------------------


def test_every_seed_of_the_mixed_model_is_ablated_with_its_siblings_sets(siblings: Run) -> None:
    assert {(m.dims["member"], m.dims["seed"]) for m in siblings.of("d_acc_helpful")} == {
        ("mixed", "0"),
        ("mixed", "1"),
    }
    ablated = siblings.table[siblings.table["condition"] != "none"]
    assert set(ablated["member"]) == {"mixed"}
    assert set(ablated["seed"]) == {0, 1}


def test_siblings_are_scored_on_both_corpora_and_their_neurons_found(siblings: Run) -> None:
    names = {n for n in siblings.arrays if n.startswith("score/")}
    models = [f"{m}.{s}" for m in ("helpful", "harmless", "mixed") for s in (0, 1)]
    assert names == {f"score/{m}/{o}" for m in models for o in ("helpful", "harmless")}
    for seed in (0, 1):
        assert recall(siblings, f"mixed.{seed}", "helpful") >= 0.8
        found = siblings.one("specificity_helpful", seed=str(seed)).value
        assert found is not None
        assert found < -0.4


def test_overlap_between_seeds_is_far_above_that_between_objectives(siblings: Run) -> None:
    found = {frozenset((m.dims["a"], m.dims["b"])): m.value for m in siblings.of("overlap")}
    seeds = found[frozenset(("helpful.0/helpful", "helpful.1/helpful"))]
    objectives = found[frozenset(("helpful.0/helpful", "harmless.0/harmless"))]
    assert seeds is not None
    assert objectives is not None
    assert seeds > 0.5 > objectives


# --- modes, profiles, failures --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["zero", "resample"])
def test_other_modes_find_the_same(mode: str) -> None:
    run = ran(scenes.specific(2, n=30, corpus=200), pairs=60, controls=3, mode=mode, draws=100)
    assert run.one("k", set="only_helpful").value
    lost = run.one("d_acc_helpful", set="only_helpful").value
    assert lost is not None
    assert lost < -10
    assert {c.split("/")[1] for c in run.table["condition"].unique() if "/" in c} == {mode}


def test_the_paper_profile_runs(siblings: Run) -> None:
    run = ran(siblings.scene, profile="paper", percents=(10.0,), pairs=30, controls=2, corpus_pairs=100, draws=100)
    assert {m.dims["p"] for m in run.of("k")} == {"10"}
    assert {c.split("/")[1] for c in run.table["condition"].unique() if "/" in c} == {"zero"}
    check_metrics(run.rows)


def test_quick_prints_no_p() -> None:
    run = ran(scenes.specific(3, n=30, corpus=60), profile="quick", pairs=30)
    assert [m for m in run.rows if m.p is not None or m.p_holm is not None] == []
    assert not [m for m in run.rows if m.name.startswith(("p_emp", "antagonism_p"))]
    assert run.one("specificity_helpful").value is not None


@dataclass(frozen=True)
class Failing:
    """A planted subject whose scores of some units are missing."""

    subject: PlantedNeurons
    fails: Callable[[ScoreTable], pd.Series]

    @property
    def members(self) -> Members:
        return self.subject.members

    def ensure(self, requests: list[Request]) -> None:
        self.subject.ensure(requests)

    def answer(self, request: Request) -> Any:
        answer = self.subject.answer(request)
        if not isinstance(answer, pd.DataFrame):
            return answer
        lost = self.fails(answer)
        answer.loc[lost, ["score", "score_raw"]] = math.nan
        return answer.assign(status=answer["status"].mask(lost, "failed"), error=answer["error"].mask(lost, "planted"))


def test_an_item_that_fails_once_is_left_out_everywhere() -> None:
    scene = scenes.specific(4, n=30, corpus=60)
    gone = sorted(i.id for i in scene.items if i.objective == "refuse")[:3]
    failing = Failing(
        scene.subject, lambda t: t["item_id"].isin(gone) & (t["condition"].str.startswith("only_helpful@5/mean/rand"))
    )
    whole, part = (ran(scene, subject, pairs=60, controls=3) for subject in (None, failing))
    sizes = [r.one("fidelity", set="own_helpful").n for r in (whole, part)]
    assert sizes[0] is not None
    assert sizes[1] == sizes[0] - 3
    check_metrics(part.rows)


@pytest.mark.parametrize("which", ["chosen", "ablated"])
def test_a_model_that_fails_gives_nulls_with_reasons(which: str) -> None:
    scene = scenes.specific(5, n=20, corpus=30)
    fails = {"chosen": lambda t: t["side"] == "chosen", "ablated": lambda t: t["condition"] != "none"}[which]
    run = ran(scene, Failing(scene.subject, fails), pairs=20, controls=2)
    check_metrics(run.rows)
    assert run.one("d_acc_helpful", set="own_helpful").value is None


def test_without_controls_nothing_is_claimed() -> None:
    run = ran(scenes.specific(6, n=30, corpus=30), pairs=30, controls=0)
    check_metrics(run.rows)
    for column in TASK.meta.main_metrics:
        found = run.one(column)
        assert found.p is None
        assert "control draws" in (found.reason or "")
    assert run.one("tension_helpful").value is None


# --- conformance ----------------------------------------------------------------------------------


def test_metadata() -> None:
    check_metadata(TASK)


@pytest.mark.parametrize("name", ["specific", "uniform", "siblings", "identical", "tied"])
def test_rows_are_well_formed(name: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(name)
    check_metrics(run.rows)
    assert {m.dims["set"] for m in run.of("k")} == set(SETS)


def test_evaluate_is_pure_and_knows_no_row_order(identical: Run, siblings: Run) -> None:
    for run in (identical, siblings):
        before = run.table.copy(deep=True)
        shuffled = run.table.sample(frac=1, random_state=1).reset_index(drop=True)
        again = TASK.evaluate(shuffled, dict(run.arrays), run.params)
        assert {m.key: m for m in again} == {m.key: m for m in run.rows}
        pd.testing.assert_frame_equal(run.table, before)


def test_steps_repeat_themselves_for_items_in_any_order(tied: Run) -> None:
    items = tied.scene.items[::-1]
    table, arrays = gather_planted(TASK, items, tied.params, tied.scene.subject)
    pd.testing.assert_frame_equal(table, tied.table)
    assert arrays.keys() == tied.arrays.keys()
    assert all(np.array_equal(arrays[k], tied.arrays[k], equal_nan=True) for k in arrays)


def test_baselines_have_no_neurons(identical: Run) -> None:
    records = metrics.evaluate(TASK, identical.table, identical.arrays, identical.params)
    assert len(records) == len(identical.rows)
    assert all(set(r.baselines.values()) == {None} for r in records)


def test_sites_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match="attention"):
        ran(scenes.specific(7, n=20, corpus=30), pairs=20, site="attention")
