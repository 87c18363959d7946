"""Figures drawn from rows made by hand, whose numbers are known."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from harness.tasks.feature_imprint.plots import PLOTS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from harness.errors import InputError
from harness.results.figures import WIDTH
from harness.results.schema import MetricRecord, ResultRecord
from harness.text.edits import EDITS
from harness.text.features import FEATURES, STANDARD
from tests.results.trees import record, scores

WHY = "differs in 3 effective prompts, 20 are needed"
MEMBERS = ("helpful", "harmless", "mixed")
FOREST = ("imprint", "sw", "change")


def metric(name: str, value: float | None, half: float | None = None, p: float | None = None, **dims: str):
    ci = (
        {"low": value - half, "high": value + half, "level": 0.95, "method": "t"}
        if half and value is not None
        else None
    )
    fields = {"unit": "sw", "ci": ci, "p_holm": p, "n": 9, "reason": WHY if value is None else None, "dims": dims}
    return MetricRecord.model_validate({"name": name, "value": value, **fields})


def made(rows: list[MetricRecord]) -> ResultRecord:
    return record(scores(), metrics=[]).model_copy(update={"metrics": tuple(rows)})


def many(members: tuple[str, ...] = MEMBERS, seed: int = 0, **of: str) -> list[MetricRecord]:
    """Rows of a regression on the standard features: code null everywhere, lists for the last member."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in STANDARD:
        dims = {"feature": name, "kind": FEATURES.get(name).kind, **of}
        rows.append(metric("logodds_human", None if name == "code" else rng.normal(0, 0.2), 0.1, **dims))
        for member in members:
            for column in ("beta", "logodds_rm", "gap", "beta_ref", "beta_change"):
                null = name == "code" or (name == "lists" and member == members[-1] != members[0])
                value, p = rng.normal(0, 0.3), rng.choice([0.01, 0.4])
                rows.append(metric(column, None if null else value, 0.07, None if null else p, member=member, **dims))
    for member in members:
        for group in ("target", "spoiler", "length", "control"):
            rows.append(metric(f"share_heldout_{group}", rng.normal(0.02, 0.02), member=member, **of))
        rows.append(metric("r2_heldout", 0.08, 0.02, member=member, **of))
        rows.append(metric("causal_agreement", 0.8, member=member, **of))
        for edit in map(EDITS.get, EDITS.names()):
            dims = {"member": member, "feature": edit.feature, "edit": edit.name, **of}
            effect = None if edit.name == "untitle" else rng.normal(0, 0.1)
            rows.append(metric("effect", effect, 0.05, rng.choice([0.01, 0.4]), **dims))
            rows.append(metric("effect_predicted", rng.normal(0, 0.1), 0.04, **dims))
    return rows


def panels(figure) -> list:
    return [axis for part in figure.subfigs for axis in part.axes]


def filled(axis, colour: str) -> dict[tuple[float, float], bool]:
    """Marks of a colour by place, and whether they are filled."""
    return {
        (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 2)): line.get_mfc() != "white"
        for line in axis.lines
        if line.get_marker() not in ("None", "", None) and line.get_color() == colour and len(line.get_xdata()) == 1
    }


def lines_of(axis) -> list[str]:
    return [tick.get_text() for tick in axis.get_yticklabels()]


# --- what every figure owes -----------------------------------------------------------------------


@pytest.mark.parametrize("members", [("model",), MEMBERS, (*MEMBERS, "reference_free", "fifth")], ids=len)
@pytest.mark.parametrize("name", PLOTS)
def test_letters_do_not_touch_and_stay_inside(name, members):
    figure = PLOTS[name](made(many(members)), {})
    assert figure.get_size_inches()[0] <= WIDTH
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()

    def boxes(texts) -> list:
        return [t.get_window_extent(renderer) for t in texts if t.get_text()]

    for axis in panels(figure):
        assert axis.get_xlabel()
        for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
            assert not any(a.overlaps(b) for a, b in pairwise(boxes(ticks)))
    for legend in figure.legends:
        found = boxes(legend.get_texts())
        assert not any(a.overlaps(b) for a, b in combinations(found, 2))
        assert all(b.x0 >= 0 and b.x1 <= figure.bbox.x1 for b in found)
    notes = [part._supxlabel for part in figure.subfigs if part._supxlabel]
    for part, note in zip(figure.subfigs, notes, strict=False):
        below = [b for axis in part.axes for b in boxes([axis.xaxis.label])]
        assert not any(b.overlaps(*boxes([note])) for b in below)
    texts = [text for part in figure.subfigs for text in part.texts] + [axis.title for axis in panels(figure)]
    assert all(b.x1 <= figure.bbox.x1 and b.x0 >= 0 for b in boxes(texts))


@pytest.mark.parametrize("name", PLOTS)
def test_a_result_without_coefficients_cannot_be_drawn(name):
    with pytest.raises(InputError, match="no row of beta to draw"):
        PLOTS[name](made([]), {})


@pytest.mark.parametrize("name", FOREST)
def test_rows_are_joined_by_their_dims_not_their_order(name):
    rows = many()
    order = np.random.default_rng(0).permutation(len(rows))
    firsts = {m.dims["member"]: m for m in rows if m.name == "beta" and m.dims["feature"] == STANDARD[0]}
    rest = [rows[i] for i in order if rows[i] not in firsts.values()]
    drawn = []
    for given in (rows, [*firsts.values(), *rest]):
        axes = panels(PLOTS[name](made(given), {}))
        drawn.append(
            [
                (lines_of(a), sorted((tuple(line.get_xdata()), tuple(line.get_ydata())) for line in a.lines))
                for a in axes
            ]
        )
    assert drawn[0] == drawn[1]


def test_labels_and_text_features_are_parts_of_their_own():
    figure = PLOTS["imprint"](made(many(("model",)) + many(("model",), 1, source="labels")), {})
    assert [part.get_suptitle().split("\n")[0] for part in figure.subfigs] == ["org/a", "org/a (labels)"]


# --- forests --------------------------------------------------------------------------------------


def small() -> list[MetricRecord]:
    """One member: two targets, one spoiler, one control that is null."""
    rows = [metric("beta", 9.0, member="model", feature="rare", kind="spoiler", dataset="d", subset="s")]
    values = {("honest", "target"): -0.1, ("kind", "target"): 0.4, ("loud", "spoiler"): 0.2, ("long", "control"): None}
    for (feature, kind), beta in values.items():
        of = {"feature": feature, "kind": kind}
        rows.append(metric("beta", beta, 0.05, 0.01, member="model", **of))
        rows.append(metric("beta", 9.0, 0.05, 0.01, member="model", dataset="d", subset="s", **of))
        rows.append(metric("beta_ref", beta and beta / 2, 0.05, 0.2, member="model", **of))
        rows.append(metric("beta_change", beta and beta / 2 + 0.01, 0.05, 0.04, member="model", **of))
        rows.append(metric("logodds_rm", beta and 2 * beta, 0.1, 0.049, member="model", **of))
        rows.append(metric("logodds_human", beta and beta / 4, 0.1, 0.05, **of))
        rows.append(metric("gap", beta, 0.1, {"kind": 0.01, "honest": 0.02}.get(feature, 0.3), member="model", **of))
    return rows


def test_the_imprint_shows_model_and_people_by_kind_the_dearest_first():
    (axis,) = panels(PLOTS["imprint"](made(small()), {}))
    assert lines_of(axis) == ["TARGET", "kind", "honest", "SPOILER", "loud"]
    people, model = filled(axis, "#D55E00"), filled(axis, "#0072B2")
    assert {(x, round(y)): full for (x, y), full in people.items()} == {
        (0.1, 1): False, (-0.025, 2): False, (0.05, 4): False,
    }  # fmt: skip
    assert {(x, round(y)): full for (x, y), full in model.items()} == {(0.8, 1): True, (-0.2, 2): True, (0.4, 4): True}
    spans = {(round(float(min(line.get_xdata())), 6), round(float(max(line.get_xdata())), 6)) for line in axis.lines}
    assert (0.7, 0.9) in spans
    flags = {int(line.get_ydata()[0]): line.get_marker() for line in axis.lines if line.get_marker() in ("<", ">")}
    assert flags == {1: ">", 2: "<"}


def test_what_has_no_estimate_is_left_out_and_said():
    figure = PLOTS["imprint"](made(small()), {})
    assert figure.subfigs[0].get_supxlabel() == f"not drawn: long ({WHY})"
    half = [m for m in many(("a", "b")) if m.dims.get("feature") in ("lists", "bold")]
    said = PLOTS["imprint"](made(half), {}).subfigs[0].get_supxlabel()
    assert said == f"not drawn: lists for b: the model ({WHY})"
    gone = [m for m in half if not (m.name == "logodds_human" and m.dims["feature"] == "bold")]
    said = PLOTS["imprint"](made(gone), {}).subfigs[0].get_supxlabel().replace("\n", " ")
    assert "bold for a: people and b: people (no such row)" in said


def test_sw_has_every_member_on_one_axis():
    rows = many()
    (axis,) = panels(PLOTS["sw"](made(rows), {}))
    expected = {round(m.value, 6) for m in rows if m.name == "beta" and m.value is not None}
    colours = ("#0072B2", "#D55E00", "#009E73")
    assert {x for colour in colours for x, _ in filled(axis, colour)} == expected
    labels = [t.get_text() for t in axis.figure.figure.legends[0].get_texts()]
    assert labels == [*MEMBERS, "p ≥ .05 (Holm)"]
    at = {line: y for y, line in enumerate(lines_of(axis))}
    for m in rows:
        if m.name == "beta" and m.value is not None:
            of_member = filled(axis, colours[MEMBERS.index(m.dims["member"])])
            where = {x: (round(y), full) for (x, y), full in of_member.items()}
            assert where[round(m.value, 6)] == (at[m.dims["feature"]], m.p_holm < 0.05)


def test_change_has_both_imprints_and_the_change_beside_them():
    before_after, change = panels(PLOTS["change"](made(small()), {}))
    assert sorted(x for x, _ in filled(before_after, "#777777")) == [-0.05, 0.1, 0.2]
    assert set(filled(before_after, "#777777").values()) == {False}
    assert sorted(x for x, _ in filled(before_after, "#0072B2")) == [-0.1, 0.2, 0.4]
    assert sorted(x for x, _ in filled(change, "#009E73")) == [-0.04, 0.11, 0.21]
    assert set(filled(change, "#009E73").values()) == {True}


def test_without_a_reference_there_is_no_change():
    rows = [m for m in small() if m.name not in ("beta_ref", "beta_change")]
    with pytest.raises(InputError, match="--role reference=OLD"):
        PLOTS["change"](made(rows), {})


def test_more_members_than_fit_beside_each_other_go_below():
    figure = PLOTS["imprint"](made(many(("a", "b", "c", "d"))), {})
    assert [[axis.get_title(loc="left") for axis in part.axes] for part in figure.subfigs] == [["a", "b", "c"], ["d"]]


# --- shares and effects ---------------------------------------------------------------------------


def test_shares_are_stacked_and_those_below_nothing_go_to_the_left():
    rows = [*small(), metric("r2_heldout", 0.1, 0.03, member="model")]
    for group, share in {"target": 0.06, "spoiler": -0.01, "length": 0.03, "control": -0.02}.items():
        rows.append(metric(f"share_heldout_{group}", share, member="model"))
    (axis,) = panels(PLOTS["shares"](made(rows), {}))
    bars = [(round(b.get_x(), 6), round(b.get_width(), 6)) for b in axis.patches]
    assert bars == [(0, 6), (0, -1), (6, 3), (-1, -2)]
    assert [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "D"] == [10.0]
    assert [pytest.approx([7, 13])] == [list(line.get_xdata()) for line in axis.lines if len(set(line.get_ydata())) == 1 < len(line.get_xdata())]  # fmt: skip


def test_a_member_without_shares_is_said():
    rows = [*small(), metric("r2_heldout", None, member="model")]
    figure = PLOTS["shares"](made(rows), {})
    assert figure.subfigs[0].get_supxlabel() == f"not drawn: model ({WHY})"


def test_effects_stand_at_their_predictions_with_both_intervals():
    rows = many(("model",))
    figure = PLOTS["causal"](made(rows), {})
    (axis,) = panels(figure)
    effects, predictions = (
        {m.dims["edit"]: m for m in rows if m.name == name and m.value is not None}
        for name in ("effect", "effect_predicted")
    )
    expected = {
        (round(predictions[e].value, 4), round(effects[e].value, 4)): effects[e].p_holm < 0.05 for e in sorted(effects)
    }
    marks = [line for line in axis.lines if line.get_marker() == "o"]
    found = {
        (round(float(m.get_xdata()[0]), 4), round(float(m.get_ydata()[0]), 4)): m.get_mfc() != "white" for m in marks
    }
    assert found == expected
    edit = "exclaim"
    spans = [(sorted(map(float, line.get_xdata())), sorted(map(float, line.get_ydata()))) for line in axis.lines if len(line.get_xdata()) == 2]  # fmt: skip
    ci, x, y = effects[edit].ci, predictions[edit].value, effects[edit].value
    assert any(a == pytest.approx([x, x]) and b == pytest.approx([ci.low, ci.high]) for a, b in spans)
    ci = predictions[edit].ci
    assert any(a == pytest.approx([ci.low, ci.high]) and b == pytest.approx([y, y]) for a, b in spans)
    named = {t.get_text(): tuple(t.xy) for t in axis.texts}
    assert sorted(named) == sorted(effects)
    assert named[edit] == (x, y)
    assert figure.subfigs[0].get_supxlabel() == f"not drawn: untitle ({WHY})"
    assert "signs agree for 80% of 9 significant edits" in figure.subfigs[0].get_suptitle()


@pytest.mark.parametrize("seed", range(3))
def test_names_of_edits_do_not_lie_on_each_other(seed):
    figure = PLOTS["causal"](made(many(MEMBERS, seed)), {})
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    for axis in panels(figure):
        boxes = [super(Annotation, t).get_window_extent(renderer) for t in axis.texts]
        assert len(boxes) == len(EDITS.names()) - 1
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        assert all(axis.bbox.x0 <= b.x0 and b.x1 <= axis.bbox.x1 for b in boxes)


def test_without_edited_texts_there_is_nothing_to_draw():
    with pytest.raises(InputError, match="edited_texts"):
        PLOTS["causal"](made(small()), {})
