from __future__ import annotations

import matplotlib
import pytest

from harness.errors import InputError
from harness.results.result import Result, line, spell
from harness.results.schema import MetricRecord
from harness.results.store import read_record, write_result
from harness.task import TASKS, Task
from tests.results.trees import METRIC, record, scores, write

matplotlib.use("Agg")


@pytest.fixture
def result(tmp_path):
    table = scores()
    rows = [
        METRIC,
        {**METRIC, "name": "gap", "value": -3.25, "unit": "pp", "ci": None, "main": True},
        {**METRIC, "name": "gone", "value": None, "ci": None, "p": None, "reason": "too few"},
    ]
    folder = write(tmp_path, table, metrics=rows)
    made = record(table, metrics=rows)
    return Result(made, folder)


def test_per_cent_appears_only_when_rendered():
    m = MetricRecord.model_validate(METRIC)
    assert spell(m) == "70.0 [60.0, 80.0] %"
    assert line(m) == "acc[member=model] = 70.0 [60.0, 80.0] %"


def test_the_summary_has_every_metric_or_the_main_ones(result):
    assert "gone[member=model] = null (too few)" in result.summary()
    assert "gap[member=model] = -3.2 pp" in result.summary(main=True)
    assert "acc" not in result.summary(main=True).split("\n", 2)[2]


def test_one_metric_by_name_and_dims(result):
    assert result.metric("acc", member="model").value == 0.7
    with pytest.raises(KeyError, match="0 metrics are called 'acc'"):
        result.metric("acc", member="other")


def test_the_frame_and_the_table_come_from_the_files(result):
    assert result.to_frame()["value"].tolist()[:2] == [0.7, -3.25]
    assert len(result.table) == 24
    assert result.arrays == {}


def test_the_figure_has_a_panel_a_unit_and_a_point_a_metric(result):
    figure = result.plot(("acc", "gap"))
    labels = [t.get_text() for axis in figure.axes for t in axis.get_yticklabels()]
    assert [axis.get_xlabel().split(" (")[0] for axis in figure.axes] == ["per cent", "percentage points"]
    assert [label.split()[0] for label in labels] == ["acc", "gap"]
    with pytest.raises(InputError, match="no metric"):
        result.plot(("gone",))


def test_a_figure_of_the_task_is_drawn_by_name_from_the_record_and_the_arrays(result, monkeypatch):
    drawn = {"pair": lambda record, arrays: (record.task.name, dict(arrays))}
    monkeypatch.setitem(TASKS._objects, "t", type("T", (Task,), {"plots": drawn}))
    assert result.figures == ("pair",)
    assert result.plot(figure="pair") == ("t", {})
    with pytest.raises(InputError, match="no figure 'acc'; it has pair"):
        result.plot(figure="acc")
    monkeypatch.setitem(TASKS._objects, "t", type("T", (Task,), {}))
    with pytest.raises(InputError, match="none of its own"):
        result.plot(figure="pair")


def test_a_hostile_name_cannot_leave_the_results_folder(tmp_path):
    table = scores()
    made = record(table, "../../etc/passwd")
    evil = made.task.model_copy(update={"name": "../up", "config_hash": ".."})
    parts = made.model_copy(update={"task": evil}).path_parts()
    assert len(parts) == 4
    assert all(p and "/" not in p and not p.startswith(".") for p in parts)
    assert (tmp_path / "root").joinpath(*parts).resolve().is_relative_to(tmp_path / "root")
    assert record(table, "org/a").path_parts()[0] == "org__a"


def test_a_replaced_result_leaves_nothing_behind(tmp_path):
    table = scores()
    folder = write(tmp_path, table)
    changed = record(table, metrics=[{**METRIC, "value": 0.75}])
    again, written = write_result(tmp_path, changed, table, {}, overwrite=True)
    assert (again, written) == (folder, True)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert read_record(folder).metrics[0].value == 0.75
