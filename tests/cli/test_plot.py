from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.results.schema import MetricRecord
from harness.results.store import write_result
from harness.results.validate import validate
from harness.task import TASKS, Task
from tests.results.trees import METRIC, record, scores, write

PNG = b"\x89PNG"


@pytest.fixture
def offer(monkeypatch):
    """Make `t`, the task of the planted tree, one that offers these figures."""

    def register(**plots):
        monkeypatch.setitem(TASKS._objects, "t", type("T", (Task,), {"plots": plots}))

    return register


def blank(record, arrays):
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


def undrawable(record, arrays):
    raise InputError("no controls: run again with controls=20")


def test_a_task_without_figures_has_its_metrics_drawn_and_the_tree_stays_valid(cli, offer, tmp_path):
    offer()
    folder = write(tmp_path, scores())
    before = validate(tmp_path)
    code, out, err = cli("plot", folder)
    assert (code, out.strip(), err) == (0, str(folder / "figures" / "metrics.png"), "")
    assert (folder / "figures" / "metrics.png").read_bytes().startswith(PNG)
    assert validate(tmp_path) == before


def test_own_figures_are_written_and_one_that_cannot_be_drawn_is_one_line(cli, offer, tmp_path):
    offer(first=blank, second=undrawable, third=blank)
    folder = write(tmp_path, scores())
    code, out, _ = cli("plot", folder / "result.json", "--out", tmp_path / "else" / "where")
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "else" / "where").iterdir()) == ["first.png", "third.png"]
    assert "second: not drawn: no controls: run again with controls=20" in out.splitlines()
    assert not (folder / "figures").exists()


def test_nothing_to_draw_is_an_error_of_one_line(cli, offer, tmp_path):
    offer(only=undrawable)
    folder = write(tmp_path, scores())
    code, _, err = cli("plot", folder)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "reward-harness show" in err
    offer()
    gone = {**METRIC, "value": None, "ci": None, "reason": "too few"}
    assert cli("plot", write(tmp_path / "b", scores(), metrics=[gone]))[0] == 2
    assert cli("plot", tmp_path / "nothing")[0] == 2


def test_a_hostile_name_stays_in_the_folder(cli, offer, tmp_path):
    offer(**{"../../evil": blank, "..": blank})
    folder = write(tmp_path, scores())
    assert cli("plot", folder, "--out", tmp_path / "x" / "figures")[0] == 0
    assert sorted(p.name for p in (tmp_path / "x" / "figures").iterdir()) == ["evil.png", "figure.png"]
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["figures"]


def test_a_folder_that_cannot_be_written_is_one_line(cli, offer, tmp_path):
    offer(only=blank)
    (tmp_path / "taken").write_text("")
    code, _, err = cli("plot", write(tmp_path, scores()), "--out", tmp_path / "taken")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "--out" in err


def test_without_matplotlib_the_extra_is_named(cli, offer, tmp_path, monkeypatch):
    offer(only=blank)
    folder = write(tmp_path, scores())
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else real(name, *a))
    code, out, err = cli("plot", folder)
    assert (code, out) == (1, "")
    assert "pip install 'reward-harness[plots]'" in err
    assert len(err.splitlines()) == 1


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def test_no_torch_is_needed_not_even_for_a_task_about_neurons(tmp_path):
    made = record(scores(), metrics=[])
    params = {"headline": 5.0, "rank": "global", "ties": "exact"}
    task = made.task.model_copy(update={"name": "neuron_ablation", "params": params})
    k = {"name": "k", "value": 2, "unit": "count", "dims": {"member": "model", "seed": "0", "set": "shared", "p": "5"}}
    made = made.model_copy(update={"task": task, "metrics": (MetricRecord.model_validate(k),)})
    arrays = {f"chosen_by/model.0/{o}": np.arange(80.0).reshape(2, 40) for o in ("helpful", "harmless")}
    folder, _ = write_result(tmp_path, made, scores(), arrays)
    code = f"{BLOCKED}sys.argv = ['reward-harness', 'plot', {str(folder)!r}]\nfrom harness.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (folder / "figures").iterdir()] == ["depth.png"]
    assert "collapse: not drawn: " in done.stdout
