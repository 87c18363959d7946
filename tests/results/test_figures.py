"""Rows of a result looked up by their dims, and one legend for a figure."""

from __future__ import annotations

import pytest

from harness.results.figures import legend_below, rows_by, value
from harness.results.schema import MetricRecord
from tests.results.trees import record, scores


def row(name: str, number: float | None, **dims: str) -> MetricRecord:
    return MetricRecord(name=name, dims=dims, value=number, unit="pp", reason=None if number is not None else "no rows")


RECORD = record(scores()).model_copy(
    update={
        "metrics": (
            row("a", 1.0, member="one", feature="x"),
            row("a", 2.0, member="two", feature="x"),
            row("a", None, member="two", feature="y"),
            row("b", 3.0),
        )
    }
)


def test_rows_part_by_dims_and_are_found_by_the_others_exactly():
    parts = rows_by(RECORD, "member")
    assert sorted(parts) == [("",), ("one",), ("two",)]
    assert value(parts[("one",)].get("a", feature="x")) == 1.0
    assert value(parts[("two",)].get("a", feature="x")) == 2.0
    assert parts[("two",)].get("a") is None
    assert parts[("",)].get("b") is not None


def test_a_null_is_found_and_not_given():
    rows = rows_by(RECORD, "member")[("two",)]
    assert rows.get("a", feature="y") is None
    assert rows.find("a", feature="y").reason == "no rows"


def test_a_legend_stands_below_and_nothing_without_handles():
    figure_module = pytest.importorskip("matplotlib.figure")
    figure = figure_module.Figure(layout="constrained")
    legend_below(figure, {}, 2)
    assert not figure.legends
    (line,) = figure.subplots().plot([0, 1])
    legend_below(figure, {"a line": line}, 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a line"]
