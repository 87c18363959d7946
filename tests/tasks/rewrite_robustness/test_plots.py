"""Figures drawn from rows and arrays made by hand, whose numbers are known."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from harness.tasks.rewrite_robustness.plots import PLOTS
from matplotlib.backends.backend_agg import FigureCanvasAgg

from harness.errors import InputError
from harness.results.figures import WIDTH
from harness.results.schema import MetricRecord, ResultRecord
from harness.text.transforms import FAMILIES, SETS
from tests.results.trees import record, scores

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
WHY = "7 pairs are changed, 20 are needed"
ARMS = ("both", "chosen_only", "rejected_only")
MEMBERS = ("helpful", "harmless", "mixed")
LM = (("lm", "paraphrase"), ("style", "style:positive_sentiment:up"), ("natural", "concise>markdown"))
WAYS = (*((kind, name) for kind in ("core", "noise", "stress") for name in SETS[kind]), *LM)
STYLES = ("concise", "normal", "markdown")


def metric(name: str, value: float | None, half: float | None = None, p: float | None = None, n: int = 90, **dims: str):
    ci = {"low": value - half, "high": value + 2 * half, "level": 0.95, "method": "t"} if half and value is not None else None  # fmt: skip
    fields = {"unit": "pp", "ci": ci, "p_holm": p, "n": n, "reason": WHY if value is None else None, "dims": dims}
    return MetricRecord.model_validate({"name": name, "value": value, **fields})


def made(rows: list[MetricRecord], **fields) -> ResultRecord:
    return record(scores(), metrics=[], **fields).model_copy(update={"metrics": tuple(rows)})


def rewriting(kind: str, name: str, before: float | None, drop: float, p: float = 0.01, arm: str = "both", **more: str):
    """Its three rows, null where `before` is None; the interval of the drop reaches from 1 below to 2 above."""
    dims = {"member": "model", "set": kind, "transform": name, "arm": arm} | more
    after = None if before is None else before - drop / 100
    return [
        metric("acc_orig", before, **dims),
        metric("acc_new", after, **dims),
        metric("drop_pp", None if before is None else drop, 1.0, p, **dims),
    ]


def noise(name: str) -> dict[str, str]:
    family, _, rate = name.rpartition("_")
    return {"family": family, "rate": f"{rate}%"} if family in FAMILIES else {"family": name}


def many(members: tuple[str, ...], seed: int = 0) -> tuple[list[MetricRecord], dict[str, np.ndarray]]:
    """Every row and array the figures read: `minify` null everywhere, `british` in one arm of the last member."""
    rng = np.random.default_rng(seed)
    rows, arrays = [], {}
    for member in members:
        rows += rewriting("identity", "identity", 0.6, 0.0, member=member)
        rows.append(metric("accuracy", 0.61, 0.02, member=member))
        rows.append(metric("mean_drop_pp", 1.25, 0.5, member=member))
        rows.append(metric("mean_drop_pp", -2.5, 0.5, member=member, set="stress"))
        for kind, name in WAYS:
            for arm in ARMS:
                null = name == "minify" or (name == "british" and member == members[-1] and arm == "rejected_only")
                before, drop = (None, 0.0) if null else (rng.normal(0.6, 0.05), rng.normal(1, 3))
                more = noise(name) if kind == "noise" else {}
                rows += rewriting(kind, name, before, drop, rng.choice([0.01, 0.4]), arm, member=member, **more)
            arrays[f"scatter/{member}/{kind}/{name}"] = rng.normal(0, 1, (30, 2))
        for chosen in STYLES:
            for rejected in STYLES:
                of = {"member": member, "chosen_style": chosen, "rejected_style": rejected}
                rows.append(metric("acc_cell", None if chosen == rejected == "markdown" else rng.random(), 0.01, **of))
    return rows, arrays


def axes_of(figure) -> list:
    return [axis for part in (figure, *figure.subfigs) for axis in part.axes if axis in part._localaxes]


def spots(axis, colour: str) -> dict[tuple[float, float], bool]:
    """Marks of a colour by place, and whether they are filled."""
    return {
        (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 2)): line.get_mfc() != "white"
        for line in axis.lines
        if line.get_marker() not in ("None", "", None, "|")
        and line.get_color() == colour
        and len(line.get_xdata()) == 1
    }


def spans(axis, colour: str) -> list[tuple[float, ...]]:
    """Ends of the level lines of a colour: (left, right, height)."""
    found = [(line.get_xdata(), line.get_ydata()) for line in axis.lines if line.get_color() == colour]
    return sorted(
        (round(float(min(x)), 6), round(float(max(x)), 6), float(y[0]))
        for x, y in found
        if len(x) == 2 and len(set(y)) == 1
    )


def lines_of(axis) -> list[str]:
    return [tick.get_text() for tick in axis.get_yticklabels()]


def note(figure) -> str:
    return figure.subfigs[0].get_supxlabel().replace("\n", " ")


# --- what every figure owes -----------------------------------------------------------------------


@pytest.mark.parametrize("members", [("model",), MEMBERS, (*MEMBERS, "reference_free")], ids=len)
@pytest.mark.parametrize("name", PLOTS)
def test_letters_do_not_touch_and_stay_inside(name, members):
    rows, arrays = many(members)
    figure = PLOTS[name](made(rows), arrays)
    assert figure.get_size_inches()[0] <= WIDTH
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()

    def boxes(texts) -> list:
        return [t.get_window_extent(renderer) for t in texts if t.get_visible() and t.get_text()]

    axes = axes_of(figure)
    for axis in axes:
        for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
            assert not any(a.overlaps(b) for a, b in pairwise(boxes(ticks)))
        assert axis.get_xticklabels()
    legend = [b for legend in figure.legends for b in boxes(legend.get_texts())]
    below = boxes([part._supxlabel for part in figure.subfigs if part._supxlabel])
    labels = [b for axis in axes for b in boxes([axis.xaxis.label])]
    titles = [b for axis in axes for b in boxes([axis.title, axis._left_title])]
    head = boxes([part._suptitle for part in (figure, *figure.subfigs) if part._suptitle])
    alone = [*legend, *below, *labels, *titles, *head]
    assert not any(a.overlaps(b) for a, b in combinations(alone, 2))
    assert all(b.x0 >= 0 and b.x1 <= figure.bbox.x1 and b.y0 >= 0 for b in alone)
    edges = [b for axis in axes for b in boxes(axis.get_yticklabels())]
    assert all(b.x0 >= 0 for b in edges)


@pytest.mark.parametrize("name", ["dumbbell", "arms", "dose", "margins"])
def test_a_result_without_rewrites_cannot_be_drawn(name):
    with pytest.raises(InputError, match=r"no row of drop_pp.*without rewrites"):
        PLOTS[name](made([]), {})


@pytest.mark.parametrize("name", PLOTS)
def test_rows_are_joined_by_their_dims_not_their_order(name):
    rows, arrays = many(("model",))
    # which member, style and family comes first is told by the order of the rows
    first = [m for m in rows if m.name == "acc_cell" or m.dims.get("set") == "noise"]
    rest = [m for m in rows if m not in first]
    mixed = [rest[i] for i in np.random.default_rng(1).permutation(len(rest))]
    drawn = [
        [
            (lines_of(a), [t.get_text() for t in a.texts], a.get_title(loc="left"), _points(a))
            for a in axes_of(PLOTS[name](made([*first, *others]), arrays))
        ]
        for others in (rest, mixed)
    ]
    assert drawn[0] == drawn[1]


def _points(axis) -> list:
    return sorted((tuple(map(float, line.get_xdata())), tuple(map(float, line.get_ydata()))) for line in axis.lines)


@pytest.mark.parametrize("name", PLOTS)
def test_parts_of_the_data_and_sensitivities_are_not_drawn(name):
    rows, arrays = many(("model",))
    others = [
        m.model_copy(update={"value": 55.0, "dims": m.dims | more})
        for m in rows
        if m.value is not None
        for more in ({"rows": "all"}, {"dataset": "d", "subset": "s"})
    ]
    plain, with_others = (axes_of(PLOTS[name](made(given), arrays)) for given in (rows, [*rows, *others]))
    assert [(_points(a), lines_of(a)) for a in plain] == [(_points(a), lines_of(a)) for a in with_others]
    assert [[t.get_text() for t in a.texts] for a in plain] == [[t.get_text() for t in a.texts] for a in with_others]


# --- before and after -----------------------------------------------------------------------------


def test_the_dumbbell_has_both_ends_and_the_interval_of_the_drop():
    rows = [
        *rewriting("identity", "identity", 0.65, 0.0),
        metric("accuracy", 0.66, member="model"),
        *rewriting("core", "unbold", 0.70, 5.0, 0.049),
        *rewriting("core", "quoted", 0.60, -2.0, 0.05),
        *rewriting("stress", "pad", 0.50, 10.0),
        *rewriting("core", "unhead", 0.65, 30.0, arm="chosen_only"),
        *rewriting("core", "minify", None, 0.0),
        metric("mean_drop_pp", 1.5, member="model"),
        metric("mean_drop_pp", -9.94, member="model", set="stress"),
    ]
    figure = PLOTS["dumbbell"](made(rows), {})
    (axis,) = axes_of(figure)
    assert lines_of(axis) == ["CORE", "unbold (90)", "quoted (90)", "STRESS", "pad (90)"]
    assert spots(axis, BLUE) == {(65.0, 1): True, (62.0, 2): False, (40.0, 4): True}
    starts = {float(li.get_ydata()[0]): float(li.get_xdata()[0]) for li in axis.lines if li.get_marker() == "|"}
    assert starts == {1: 70.0, 2: 60.0, 4: 50.0}
    # a drop of 5 from 4 to 7 ends between 63 and 66
    assert spans(axis, BLUE) == [(38.0, 41.0, 4.0), (60.0, 63.0, 2.0), (63.0, 66.0, 1.0)]
    dashed = [list(line.get_xdata()) for line in axis.lines if line.get_linestyle() == "--"]
    assert dashed == [[66.0, 66.0]]
    assert [(t.get_position()[1], t.get_text()) for t in axis.texts] == [
        (0, "mean drop 1.5 pp"),
        (3, "mean drop −9.9 pp"),
    ]
    assert note(figure) == f"not drawn: minify ({WHY}); unhead (no such row)"


def test_the_largest_mean_drop_over_members_is_first():
    drops = {"unbold": (1.0, 9.0), "unhead": (6.0, 2.0), "quoted": (5.5, None)}
    rows = [
        row
        for name, of in drops.items()
        for member, drop in zip(("a", "b"), of, strict=True)
        for row in rewriting("core", name, None if drop is None else 0.6, drop or 0.0, member=member)
    ]
    figure = PLOTS["dumbbell"](made(rows), {})
    first, second = axes_of(figure)
    assert lines_of(first) == ["CORE", "quoted (90)", "unbold (90)", "unhead (90)"]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("a", "b")
    assert {y for _, y in spots(second, BLUE)} == {2, 3}
    assert note(figure) == f"not drawn: quoted for b ({WHY})"


def test_members_that_differ_in_their_pairs_show_both_numbers():
    one, two = (rewriting("core", "unbold", 0.6, 1.0, member=m) for m in ("a", "b"))
    two = [m.model_copy(update={"n": 1200}) for m in two]
    axis = axes_of(PLOTS["dumbbell"](made([*one, *two]), {}))[0]
    assert lines_of(axis) == ["CORE", "unbold (90–1,200)"]


# --- arms -----------------------------------------------------------------------------------------


def test_arms_stand_below_each_other_in_their_colours():
    rows = [
        row
        for arm, drop, p in (("both", 2.0, 0.01), ("chosen_only", 8.0, 0.2), ("rejected_only", -5.0, 0.01))
        for row in rewriting("stress", "pad", 0.6, drop, p, arm)
    ]
    figure = PLOTS["arms"](made([*rows, *rewriting("lm", "paraphrase", 0.6, 1.0)]), {})
    (axis,) = axes_of(figure)
    assert lines_of(axis) == ["STRESS", "pad (90)"]
    assert spots(axis, BLUE) == {(2.0, 0.75): True}
    assert spots(axis, ORANGE) == {(8.0, 1.0): False}
    assert spots(axis, GREEN) == {(-5.0, 1.25): True}
    assert spans(axis, ORANGE) == [(7.0, 10.0, 1.0)]


def test_an_arm_that_is_missing_is_said():
    rows = rewriting("core", "unbold", 0.6, 1.0) + rewriting("core", "unbold", None, 0.0, arm="chosen_only")
    rows += rewriting("core", "unbold", None, 0.0, arm="rejected_only") + rewriting("core", "quoted", None, 0.0)
    said = note(PLOTS["arms"](made(rows), {}))
    assert said == (
        f"not drawn: unbold in chosen only and rejected only, quoted in both ({WHY}); "
        "quoted in chosen only and rejected only (no such row)"
    )


def test_the_identity_alone_is_no_rewriting():
    with pytest.raises(InputError, match="the result has other sets"):
        PLOTS["dumbbell"](made(rewriting("identity", "identity", 0.6, 0.0)), {})


def test_arms_of_other_sets_alone_cannot_be_drawn():
    with pytest.raises(InputError, match="no drop of core or stress to draw: the result has other sets"):
        PLOTS["arms"](made(rewriting("lm", "paraphrase", 0.6, 1.0)), {})
    with pytest.raises(InputError, match=r"unbold.*20 are needed.*transforms=standard"):
        PLOTS["arms"](made(rewriting("core", "unbold", None, 0.0)), {})


# --- dose -----------------------------------------------------------------------------------------


def doses(family: str, **drops: float | None) -> list[MetricRecord]:
    return [
        row
        for rate, drop in drops.items()
        for row in rewriting(
            "noise",
            f"{family}_{rate[1:]}",
            None if drop is None else 0.6,
            drop or 0.0,
            family=family,
            rate=f"{rate[1:]}%",
        )
    ]


def test_dose_has_a_line_a_family_over_its_rates():
    rows = doses("swap", r5=9.0, r1=2.0, r3=4.0) + doses("typos", r1=1.0, r3=None, r5=3.0) + doses("delete", r3=7.0)
    rows += rewriting("noise", "lower", 0.6, 5.0, family="lower")
    figure = PLOTS["dose"](made(rows), {})
    (axis,) = axes_of(figure)
    curves = {line.get_color(): line for line in axis.lines if line.get_lw() == 1.1 and len(line.get_xdata()) > 1}
    assert list(curves[BLUE].get_ydata()) == [2.0, 4.0, 9.0]
    assert list(curves[ORANGE].get_ydata()) == [1.0, 3.0]
    assert set(curves) == {BLUE, ORANGE}
    assert curves[BLUE].get_xdata() == pytest.approx([1, 3, 5], abs=0.2)
    upright = [sorted(line.get_ydata()) for line in axis.lines if line.get_lw() == 0.7 and line.get_color() == BLUE]
    assert upright == [[1.0, 4.0], [3.0, 6.0], [8.0, 11.0]]
    assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["swap", "typos"]
    assert note(figure) == f"not drawn: typos_3 ({WHY})"


def test_one_rate_is_no_dose():
    with pytest.raises(InputError, match=r"-P rewrite_robustness.transforms=standard,noise"):
        PLOTS["dose"](made(doses("swap", r3=1.0, r5=None)), {})


# --- margins --------------------------------------------------------------------------------------


def test_margins_are_of_the_largest_drops_with_shares_of_the_quadrants():
    drops = {"unbold": 1.0, "quoted": 6.0, "nfc": 3.0, "unhead": 5.0, "contract": 4.0, "american": 9.0, "british": 2.0}
    rows = [row for name, drop in drops.items() for row in rewriting("core", name, 0.6, drop)]
    rows += rewriting("stress", "pad", 0.6, 2.0) + rewriting("stress", "url", 0.6, 20.0)
    pairs = np.array([[2.0, -1.0], [-1.0, 1.0], [1.0, 1.5], [1.0, 1.0], [-2.0, -3.0], [3.0, -0.5], [0.0, 1.0], [1, 0]])
    arrays = {f"scatter/model/core/{name}": pairs for name in drops if name != "american"}
    arrays |= {f"scatter/model/stress/{name}": pairs for name in ("pad", "url")}
    arrays["scatter/model/core/quoted"] = np.vstack([pairs, [np.nan, 1.0]])
    axes = axes_of(PLOTS["margins"](made(rows), arrays))
    assert [a.get_title(loc="left").split("\n")[0] for a in axes] == ["quoted", "unhead", "contract", "nfc", "url"]
    assert {a.get_title(loc="left").split(", ")[1] for a in axes} == {"8 pairs"}
    for axis in axes:
        broken, fixed = axis.texts
        assert (broken.get_text(), fixed.get_text()) == ("25.0%", "12.5%")
        assert broken.get_position() == (0.97, 0.04)
        assert fixed.get_position() == (0.03, 0.96)
        assert axis.get_xlim() == axis.get_ylim() == pytest.approx((-3.15, 3.15))
        assert np.asarray(axis.collections[-1].get_offsets()) == pytest.approx(pairs)


def test_shaded_quadrants_are_those_where_the_sign_changes():
    rows, pairs = rewriting("core", "unbold", 0.6, 1.0), np.array([[2.0, -1.0], [-1.0, 1.0]])
    (axis,) = axes_of(PLOTS["margins"](made(rows), {"scatter/model/core/unbold": pairs}))
    lower_right, upper_left = (c.get_paths()[0].get_extents() for c in axis.collections[:2])
    assert (lower_right.x0, lower_right.y1, upper_left.x1, upper_left.y0) == (0, 0, 0, 0)
    assert lower_right.x1 > 2 > 0 > lower_right.y0
    assert upper_left.x0 < 0 < upper_left.y1


def test_margins_of_members_with_other_rewritings_stand_in_lines():
    rows = [row for m in ("a", "b") for row in rewriting("core", "unbold", 0.6, 1.0, member=m)]
    rows += rewriting("core", "nfc", 0.6, 1.0, member="a")
    arrays = {f"scatter/{of}": np.ones((3, 2)) for of in ("a/core/unbold", "a/core/nfc", "b/core/unbold")}
    axes = axes_of(PLOTS["margins"](made(rows), arrays))
    names = [(a.get_ylabel().split("\n")[0], a.get_title(loc="left").split("\n")[0]) for a in axes]
    assert names == [("a", "nfc"), ("", "unbold"), ("b", "unbold")]


def test_without_kept_margins_there_is_nothing_to_draw():
    rows = rewriting("core", "unbold", 0.6, 1.0)
    with pytest.raises(InputError, match="it holds no arrays"):
        PLOTS["margins"](made(rows), {})
    with pytest.raises(InputError, match="it holds scatter/model/core/nfc"):
        PLOTS["margins"](made(rows), {"scatter/model/core/nfc": np.ones((3, 2))})


# --- styles ---------------------------------------------------------------------------------------


def test_cells_are_written_where_their_styles_say():
    values = {("concise", "concise"): 0.7, ("concise", "markdown"): 0.123, ("markdown", "concise"): 0.95, ("markdown", "markdown"): None}  # fmt: skip
    rows = [
        metric("acc_cell", v, 0.02, member="model", chosen_style=c, rejected_style=r) for (c, r), v in values.items()
    ]
    (axis,) = axes_of(PLOTS["cells"](made(rows), {}))
    assert lines_of(axis) == [t.get_text() for t in axis.get_xticklabels()] == ["concise", "markdown"]
    said = {t.get_position(): t.get_text() for t in axis.texts}
    assert said == {(0, 0): "70.0\n[68, 74]", (1, 0): "12.3\n[10, 16]", (0, 1): "95.0\n[93, 99]"}
    assert axis.get_ylabel() == "style of the chosen reply"
    colours = {(r.get_x() + 0.5, r.get_y() + 0.5): r for r in axis.patches}
    assert colours[1, 1].get_hatch()
    above, below = colours[0, 1].get_facecolor(), colours[1, 0].get_facecolor()
    assert above[2] > above[0]
    assert below[0] > below[2]
    assert above[3] == pytest.approx(0.9)


def test_without_styles_there_is_no_matrix():
    with pytest.raises(InputError, match="rm-bench"):
        PLOTS["cells"](made(rewriting("core", "unbold", 0.6, 1.0)), {})
