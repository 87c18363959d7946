"""What figures show is what the rows say, and what cannot be drawn says why."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import InputError
from harness.metrics import evaluate
from harness.preference import units
from harness.results.schema import MetricRecord, ResultRecord
from harness.task import TASKS, pair_rows
from harness.testing import planted
from tests.leaderboard.records import model, result
from tests.tasks.alignment_resistance import labelled
from tests.tasks.alignment_resistance.test_features import lengthy, varied

TASK = TASKS.get("alignment_resistance")()
PARAMS = TASK.Params(draws=0)
ITEMS = varied(300)
RNG = np.random.default_rng(0)
VERDICTS = {i.id: str(RNG.choice(["c", "i", "r"])) for i in ITEMS}
LABELS = labelled.labels(ITEMS, VERDICTS)


def record_of(metrics, members) -> ResultRecord:
    seats = [{"member": m, "seed": 0, "model": model(f"org/{m}")} for m in members]
    rows = [m.model_dump() for m in metrics]
    return result("org/fam", rows, task=TASK.meta.name, members=seats, params={"verdict": PARAMS.verdict})


def record(members=("model",), labels=LABELS, scorer=lengthy) -> ResultRecord:
    table, arrays, _ = planted.drive(
        TASK, ITEMS, scorer, members=tuple((m, 0) for m in members), params=PARAMS, labels=labels
    )
    return record_of(evaluate(TASK, table, arrays, PARAMS), members)


def find(result: ResultRecord, name: str, **dims: str) -> float:
    (found,) = [m for m in result.metrics if m.name == name and m.dims == dims]
    return found.value


def draw(name: str, of: ResultRecord):
    figure = TASK.plots[name](of, {})
    figure.canvas.draw()
    return figure


def texts(figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def bars(axis) -> list[tuple[float, float, float]]:
    """(y, left, width) of every bar."""
    return [(round(p.get_y() + p.get_height() / 2), p.get_x(), p.get_width()) for p in axis.patches]


def test_bars_are_regimes_inside_each_verdict_and_fill_it():
    scorers = {"mixed": lengthy, "reference": planted.noise}
    made = record(("mixed", "reference"), scorer=scorers)
    (axis,) = draw("verdicts", made).axes
    shown = bars(axis)
    assert len(shown) == 12
    for y, verdict in ((2, "c"), (1, "i"), (0, "r")):
        mine = [bar for bar in shown if bar[0] == y]
        dims = {"member": "mixed", "rule": "pareto", "verdict": verdict}
        widths = [find(made, name, **dims) for name in ("stayed", "got", "reversed", "resists")]
        assert [w for _, _, w in mine] == pytest.approx(widths)
        assert mine[-1][1] + mine[-1][2] == pytest.approx(1)
    assert "labeler sides with" in texts(axis.figure)
    assert f"chosen (n = {find(made, 'n_c', member='mixed', rule='pareto'):.0f})" in texts(axis.figure)


def test_without_a_reference_bars_are_right_and_wrong():
    made = record()
    (axis,) = draw("verdicts", made).axes
    wrong = [bar for bar in bars(axis) if bar[1] > 0]
    expected = [find(made, f"resistance_{v}", member="model", rule="pareto") for v in "cir"]
    assert [w for _, _, w in wrong] == pytest.approx(expected[::-1])


def test_word_lists_are_never_shown_as_a_labeler():
    figure = draw("verdicts", record(labels=None))
    assert "word lists" in texts(figure)
    assert "labeler" not in texts(figure)


def test_an_unreliable_labeler_is_named_above_the_bars():
    shuffled = dict(zip(VERDICTS, np.random.default_rng(1).permutation(list(VERDICTS.values())), strict=True))
    for second, said in ((shuffled, True), (VERDICTS, False)):
        figure = draw("verdicts", record(labels=labelled.labels(ITEMS, VERDICTS, second=second)))
        assert ("not reliable" in texts(figure)) == said


def test_points_of_calibration_are_the_bins_that_hold_pairs():
    made = record()
    (axis,) = draw("calibration", made).axes
    points = np.array([c.get_offsets()[0] for c in axis.collections])
    bins = [f"{k:02d}" for k in range(1, 16)]
    rows = [
        (find(made, "bin_confidence", member="model", bin=b), find(made, "bin_accuracy", member="model", bin=b))
        for b in bins
    ]
    assert points == pytest.approx(np.array([r for r in rows if r[0] is not None]))
    assert f"{find(made, 'ece', member='model'):.3f}" in texts(axis.figure)


def test_features_are_lines_in_order_and_filled_after_holm():
    made = record()
    (axis,) = draw("features", made).axes
    shown = [t.get_text() for t in axis.get_yticklabels()][::-1]
    known = {m.dims["feature"]: m for m in made.metrics if m.name == "resist_coef" and "source" not in m.dims}
    assert shown == [name for name, m in known.items() if m.value is not None]
    points = {shown[::-1][int(line.get_ydata()[0])]: line for line in axis.lines if line.get_marker() == "o"}
    for name in shown:
        assert points[name].get_xdata()[0] == known[name].value
        assert (points[name].get_mfc() != "white") == (known[name].p_holm < 0.05)
    assert points["log_words"].get_mfc() != "white"
    assert "code" in texts(axis.figure)


def test_every_member_but_the_reference_has_a_part():
    made = record(
        ("helpful", "mixed", "reference"), scorer={"helpful": lengthy, "mixed": lengthy, "reference": planted.oracle}
    )
    for name in TASK.plots:
        assert [a.get_title(loc="left") for a in draw(name, made).axes] == ["helpful", "mixed"]


def test_what_cannot_be_drawn_says_why():
    table = planted.compare_table(pair_rows(units(ITEMS)), lengthy)
    compares = record_of(evaluate(TASK, table, {}, PARAMS), ("model",))
    for name, said in (
        ("verdicts", "no pair has a verdict"),
        ("calibration", "only compares"),
        ("features", "no feature has"),
    ):
        with pytest.raises(InputError, match=said):
            TASK.plots[name](compares, {})
        with pytest.raises(InputError, match="no model was measured"):
            TASK.plots[name](result("org/a", [], status="error", reason="boom"), {})


def test_features_without_any_coefficient_say_the_reasons_of_the_rows():
    rows = [
        MetricRecord(
            name="resist_coef", value=None, unit="pp", reason=reason, dims={"member": "model", "feature": feature}
        )
        for feature, reason in (("question", "separation: x"), ("bold", "too rare"), ("code", "too rare"))
    ]
    with pytest.raises(InputError, match=r"no feature has a coefficient: separation: x; too rare$"):
        TASK.plots["features"](record_of(rows, ("model",)), {})
