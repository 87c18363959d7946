"""Figures drawn from rows made by hand, whose numbers are known, and from a planted family."""

from __future__ import annotations

import dataclasses
from itertools import combinations, pairwise

import numpy as np
import pytest
from harness.tasks.neuron_ablation.params import Params
from harness.tasks.neuron_ablation.plots import PLOTS
from harness.tasks.neuron_ablation.plots_common import ablated, spell
from harness.tasks.neuron_ablation.plots_effects import STYLES, band
from harness.tasks.neuron_ablation.sets import OBJECTIVES
from harness.tasks.neuron_ablation.task import NeuronAblation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats

from harness.errors import InputError
from harness.metrics import record as metric_record
from harness.results.figures import WIDTH, value
from harness.results.schema import MetricRecord, ResultRecord
from harness.testing import planted_scenes
from harness.testing.planted import gather_planted
from tests.results.trees import record, scores

N = 100
ME = {"member": "model", "seed": "0"}


def metric(name: str, value: float | None, unit: str = "pp", half: float | None = None, **dims: str) -> MetricRecord:
    ci = {"low": value - half, "high": value + half, "level": 0.95, "method": "t"} if half else None
    reason = None if value is not None else "nothing here"
    return MetricRecord.model_validate(
        {"name": name, "value": value, "unit": unit, "ci": ci, "reason": reason, "dims": dims}
    )


def made(rows: list[MetricRecord], **params: object) -> ResultRecord:
    plain = record(scores(), metrics=[])
    task = plain.task.model_copy(update={"params": dataclasses.asdict(Params(**params))})
    return plain.model_copy(update={"metrics": tuple(rows), "task": task})


def chosen(seed: int = 0, layers: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"chosen_by/model.0/{o}": rng.normal(size=(layers, N // layers)) for o in ("helpful", "harmless")}


def panels(figure) -> list:
    """Axes that hold data, without colour bars."""
    return [a for a in figure.axes if a.get_label() != "<colorbar>"]


def points(axis, marker: str = "o") -> set[tuple[float, float]]:
    """Places of all marks of a kind."""
    return {
        (round(float(x), 9), round(float(y), 9))
        for line in axis.lines
        if line.get_marker() == marker
        for x, y in zip(*line.get_data(), strict=True)
    }


# --- a planted family -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family() -> tuple[ResultRecord, dict[str, np.ndarray]]:
    scene = planted_scenes.siblings(3, n=32, corpus=40, seeds=(0, 1))
    params = Params(percents=(2, 5), controls=4, pairs=32, corpus_pairs=40, draws=40)
    table, arrays = gather_planted(NeuronAblation(), scene.items, params, scene.subject)
    rows = [metric_record(m, {}) for m in NeuronAblation().evaluate(table, arrays, params)]
    result = made(rows, percents=(2, 5), controls=4)
    (lone,) = result.subject.members
    members = tuple(lone.model_copy(update={"member": m, "seed": s}) for m, s in scene.subject.members)
    subject = result.subject.model_copy(update={"members": members})
    return result.model_copy(update={"subject": subject}), dict(arrays)


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_has_units_one_part_a_model_and_letters_that_do_not_touch(name, family):
    figure = PLOTS[name](*family)
    assert figure.get_size_inches()[0] <= WIDTH
    if name != "overlap":
        titles = [part.get_suptitle() for part in figure.subfigs]
        assert [t.split("\n")[0] for t in titles] == ["org/a: mixed, seed 0", "org/a: mixed, seed 1"]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    for axis in panels(figure):
        labels = [label for a in (axis, *axis.get_shared_y_axes().get_siblings(axis)) for label in [a.get_ylabel()]]
        marks = [t.get_text() for t in axis.get_yticklabels()]
        assert any(labels) or any(m[:1].isalpha() for m in marks)
        for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
            boxes = [t.get_window_extent(renderer) for t in ticks if t.get_text() and t.get_rotation() == 0]
            assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    for legend in figure.legends:
        boxes = [t.get_window_extent(renderer) for t in legend.get_texts()]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        assert all(b.x0 >= 0 and b.x1 <= figure.bbox.x1 for b in boxes)
    texts = [t for part in (figure, *figure.subfigs) for t in part.texts] + [a.title for a in figure.axes]
    assert all(t.get_window_extent(renderer).x1 <= figure.bbox.x1 for t in texts)


def test_rows_are_joined_by_their_dims_not_their_order(family):
    result, arrays = family
    order = np.random.default_rng(0).permutation(len(result.metrics))
    mixed = result.model_copy(update={"metrics": tuple(result.metrics[i] for i in order)})
    for name in ("collapse", "specificity"):
        drawn = [{part.get_suptitle(): [points(a) for a in part.axes] for part in PLOTS[name](r, arrays).subfigs}
                 for r in (result, mixed)]  # fmt: skip
        assert drawn[0] == drawn[1]
    a, b = (panels(PLOTS["overlap"](r, arrays))[0].images[0].get_array() for r in (result, mixed))
    assert np.ma.allequal(a, b)
    assert (np.ma.getmaskarray(a) == np.ma.getmaskarray(b)).all()


def test_rows_for_figures_alone_agree_with_the_columns_they_explain(family):
    explained = 0
    for rows in ablated(family[0]):
        where = {"set": "only_helpful", "p": "5"}
        deltas = {s: rows.rows.get("d_acc", **where, subset=s) for s in rows.values("subset", "d_acc", **where)}
        assert len(deltas) == 6
        for group in ("helpful", "refuse", "comply", "safety_mixed"):
            mine = [value(m) for s, m in deltas.items() if m and s.endswith(f" {group}")]
            assert np.mean(mine) == pytest.approx(value(rows.rows.get(f"d_acc_{group}", **where)))
        assert {value(rows.rows.get("chance", subset=s)) for s in deltas} == {0.5}
        specificity = rows.rows.get("specificity_helpful", **where)
        draws = rows.values("draw", "control_kappa_helpful", **where, control="damage")
        if specificity is None:
            assert not draws
            continue
        explained += 1
        assert len(draws) == value(rows.rows.get("controls", **where, control="damage")) == len(set(draws))
        gaps = [
            np.subtract(
                *(value(rows.rows.get(f"control_kappa_{o}", **where, control="damage", draw=d)) for o in OBJECTIVES)
            )
            for d in draws
        ]
        gap = np.subtract(*(value(rows.rows.get(f"kappa_{o}", **where)) for o in OBJECTIVES))
        assert value(specificity) == pytest.approx(gap - np.mean(gaps))
    assert explained


def test_values_of_a_dim_are_those_of_rows_with_no_other_dim():
    dims = [
        {"set": "a", "p": "1"},
        {"set": "a", "p": "2"},
        {"set": "b", "p": "3"},
        {"p": "4"},
        {"set": "a", "p": "5", "x": "y"},
    ]
    (rows,) = ablated(made([metric("k", 1.0, "count", **ME, **d) for d in dims]))
    assert rows.values("p", "k", set="a") == ["1", "2"]


def test_identical_siblings_have_no_figure_of_empty_sets_but_the_others(family):
    scene = planted_scenes.identical(0, n=20, corpus=30)
    params = Params(percents=(5,), controls=2, pairs=20, corpus_pairs=30, draws=20)
    table, arrays = gather_planted(NeuronAblation(), scene.items, params, scene.subject)
    rows = [metric_record(m, {}) for m in NeuronAblation().evaluate(table, arrays, params)]
    result = made(rows, percents=(5,))
    for name in ("collapse", "specificity"):
        with pytest.raises(InputError, match="empty"):
            PLOTS[name](result, arrays)
    (part,) = PLOTS["dose_response"](result, arrays).subfigs
    assert part.get_supxlabel() == "empty at 5 %: only_helpful, only_harmless, shared_m"
    (axis, *_) = panels(PLOTS["depth"](result, arrays))
    assert [t.get_text() for t in axis.texts] == ["empty set"] * 3


def test_a_result_without_ablations_says_why():
    for name, draw in PLOTS.items():
        result = made([metric("overlap", 0.1, "ratio", a="x.0/helpful")]).model_copy(
            update={"status": "not_applicable", "reason": "no neurons"}
        )
        with pytest.raises(InputError, match="no two rankings" if name == "overlap" else "not_applicable, no neurons"):
            draw(result, {})


# --- dose response --------------------------------------------------------------------------------


def test_the_band_holds_the_mean_and_the_spread_of_the_controls():
    draws = np.random.default_rng(1).normal(-3, 2, 20)
    own, where = -12.0, ME | {"set": "only_helpful", "p": "5"}
    mean, sd = draws.mean(), draws.std(ddof=1)
    rows = [
        metric("k", 5.0, "count", **where),
        metric("d_acc_helpful", own, **where),
        metric("excess_helpful", own - mean, **where, control="damage"),
        metric("z_helpful", (own - mean) / sd, "sd", **where, control="damage"),
        metric("controls", 20.0, "count", **where, control="damage"),
        metric("excess_refuse", -1.0, **where, control="damage"),
    ]
    (model,) = ablated(made(rows))
    found = band(model, "helpful", "only_helpful", "damage", "5")
    assert found is not None
    assert found.mean == pytest.approx(mean)
    assert found.half == pytest.approx(stats.t.ppf(0.975, 19) * sd * np.sqrt(1 + 1 / 20))
    assert band(model, "helpful", "only_helpful", "rand_layer", "5") is None
    assert band(model, "refuse", "only_helpful", "damage", "5") is None
    flat = [m if m.name != "z_helpful" else metric("z_helpful", None, "sd", **m.dims) for m in rows]
    (model,) = ablated(made(flat))
    same = band(model, "helpful", "only_helpful", "damage", "5")
    assert same is not None
    assert (same.mean, same.half) == (pytest.approx(mean), None)


def test_dose_response_draws_what_there_is_and_no_zero_for_a_null():
    rows = []
    for p, k, delta in (("1", 1, -2.0), ("5", 4, -9.0), ("10", 8, None)):
        where = ME | {"set": "only_helpful", "p": p}
        rows += [
            metric("k", float(k), "count", **where),
            metric("d_acc_helpful", delta, half=1.5 if delta else None, **where),
        ]
    axes = panels(PLOTS["dose_response"](made(rows), chosen()))
    assert [a.get_title("left") for a in axes] == [
        "helpful items",
        "refuse items",
        "comply items",
        "safety_mixed items",
    ]
    found = sorted(points(axes[0]))
    assert [y for _, y in found] == [-2, -9]
    assert [x for x, _ in found] == pytest.approx([1, 4], rel=0.08)  # dodged, never further
    ends = {
        tuple(line.get_ydata())
        for line in axes[0].lines
        if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1
    }
    assert ends == {(-3.5, -0.5), (-10.5, -7.5)}
    assert not points(axes[1])
    assert "no items of refuse" in axes[1].texts[0].get_text().replace("\n", " ")
    assert axes[2].get_xlabel() == "neurons ablated (% of 100)"


def test_sets_are_told_apart():
    assert len(set(STYLES.values())) == len(STYLES) == 6


# --- collapse -------------------------------------------------------------------------------------


def test_collapse_draws_each_sub_task_above_its_own_chance():
    where = ME | {"set": "only_helpful", "p": "5"}
    truth = {"a/b helpful": (0.9, 0.5, -20.0), "c/d refuse": (0.7, 0.25, -30.0), "e/f comply": (0.4, 0.5, None)}
    rows = [metric("k", 0.0, "count", **ME, set="shared_m", p="5").model_copy(update={"reason": "empty set"})]
    rows += [metric("k", 5.0, "count", **where), metric("chance_slope", -0.6, "ratio", **where)]
    for subtask, (acc, chance, delta) in truth.items():
        rows += [
            metric("acc", acc, "proportion", **ME, subset=subtask),
            metric("chance", chance, "proportion", **ME, subset=subtask),
        ]
        rows += [metric("d_acc", delta, half=4.0 if delta else None, **where, subset=subtask)]
    axes = panels(PLOTS["collapse"](made(rows), chosen()))
    assert points(axes[0], "o") == {(40, -20)}
    assert points(axes[0], "s") == {(45, -30)}
    assert not points(axes[0], "^")
    slopes = [line.get_slope() for line in axes[0].lines if hasattr(line, "get_slope") and line.get_xy1() == (0, 0)]
    assert slopes == [-0.6, -1]
    assert axes[0].get_title("left") == "only_helpful: slope −0.60"
    assert axes[2].texts[0].get_text() == "empty set"


# --- specificity ----------------------------------------------------------------------------------


def test_specificity_pairs_the_kappas_of_a_draw_and_leaves_out_half_pairs():
    where = ME | {"set": "only_harmless", "p": "5"}
    helpful, harmless = {"3": 0.9, "7": 0.8, "11": 0.7}, {"11": 0.6, "3": 0.5, "7": None}
    rows = [metric("k", 5.0, "count", **where)]
    rows += [metric("kappa_helpful", 1.0, "ratio", 0.1, **where), metric("kappa_harmless", 0.2, "ratio", 0.1, **where)]
    rows += [metric("specificity_harmless", -0.5, "ratio", 0.2, **where).model_copy(update={"p": 0.00001})]
    for objective, draws in (("helpful", helpful), ("harmless", harmless)):
        rows += [
            metric(f"control_kappa_{objective}", v, "ratio", **where, control="damage", draw=d)
            for d, v in draws.items()
        ]
    left, right = panels(PLOTS["specificity"](made(rows), chosen()))
    assert points(right) == {(0.2, 1.0), (0.5, 0.9), (0.6, 0.7)}
    assert right.get_title("left") == "only_harmless: specificity −0.50 [−0.70, −0.30], p < 0.0001"
    assert right.get_xlabel() == "preference kept on harmless items (κ)"
    assert right.get_ylabel() == "preference kept on helpful items (κ)"
    assert not points(left)
    assert left.texts[0].get_text() == "empty set"
    assert spell(metric("x", -0.25, "pp")) == "−0.25"


def test_specificity_without_controls_says_so():
    where = ME | {"set": "only_helpful", "p": "5"}
    rows = [metric("k", 5.0, "count", **where), metric("specificity_helpful", None, "ratio", **where)]
    rows += [metric(f"kappa_{o}", 0.5, "ratio", 0.1, **where) for o in ("helpful", "harmless")]
    left, _ = panels(PLOTS["specificity"](made(rows), chosen()))
    assert points(left) == {(0.5, 0.5)}
    assert [t.get_text() for t in left.texts] == ["nothing here"]


# --- overlap and depth ----------------------------------------------------------------------------


def test_overlap_is_symmetric_with_halves_where_the_ranking_chose_the_sets():
    names = ["model.0/helpful", "model.0/harmless", "other.0/helpful"]
    values = {(0, 1): 0.1, (0, 2): 0.7, (1, 2): -0.05}
    rows = [metric("k", 5.0, "count", **ME, set="shared", p="5")]
    rows += [metric("overlap", v, "ratio", a=names[i], b=names[j], p="5") for (i, j), v in values.items()]
    rows += [metric("overlap", 0.99, "ratio", a=names[0], b=names[1], p="10")]
    rows += [metric("overlap", 0.4, "ratio", a="base.0/helpful", b=names[0], p="5", score="abs_mean")]
    rows += [metric("half_overlap", 0.9, "ratio", **ME, objective="helpful", p="5")]
    rows += [metric("half_overlap", 0.8, "ratio", **ME, objective="harmless", p="5")]
    arrays = chosen()
    arrays["score/model.0/helpful"] = arrays["chosen_by/model.0/helpful"].copy()
    arrays["score/model.0/harmless"] = arrays["chosen_by/model.0/harmless"] + 1
    figure = PLOTS["overlap"](made(rows), arrays)
    square, base = panels(figure)
    order = ["model 0, harmless text", "model 0, helpful text", "other 0, helpful text"]
    assert [t.get_text() for t in square.get_yticklabels()] == order
    grid = np.ma.filled(square.images[0].get_array(), np.nan)
    expected = [[np.nan, 0.1, -0.05], [0.1, 0.9, 0.7], [-0.05, 0.7, np.nan]]
    np.testing.assert_array_equal(grid, expected)
    assert sorted(t.get_text() for t in square.texts) == sorted(
        ["0.10", "-0.05", "0.10", "0.90", "0.70", "-0.05", "0.70"]
    )
    assert "harmless for model.0 0.80" in figure.get_suptitle().replace("\n", " ")
    assert base.images[0].get_clim() == square.images[0].get_clim() == (-0.05, 1)
    assert [t.get_text() for t in base.texts] == ["0.40"]
    assert [t.get_text() for t in base.get_yticklabels()] == ["base 0, helpful text"]


def test_depth_is_one_for_a_random_set_and_averages_to_one():
    arrays = chosen(layers=5)
    arrays["chosen_by/model.0/helpful"][0, 10:] = np.nan  # a narrower first layer
    arrays["chosen_by/model.0/harmless"][0, 10:] = np.nan
    result = made([metric("k", 5.0, "count", **ME, set="shared", p="20")], headline=20.0)
    (axis,) = panels(PLOTS["depth"](result, arrays))
    grid = np.ma.filled(axis.images[0].get_array(), np.nan)
    score = arrays["chosen_by/model.0/helpful"]
    widths = np.isfinite(score).sum(axis=1)
    best = np.sort(score[np.isfinite(score)])[::-1][: round(0.2 * widths.sum())]
    counts = np.array([np.isin(layer, best).sum() for layer in score])
    np.testing.assert_allclose(grid[0], counts / len(best) / (widths / widths.sum()))
    np.testing.assert_allclose(grid @ widths / widths.sum(), 1)
    assert axis.get_xlabel() == "layer (0 next to the input)"
