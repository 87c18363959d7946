from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import InputError
from harness.results.validate import validate
from harness.task import TASKS, Task
from tests.results.trees import METRIC, scores, write

PNG = b"\x89PNG"


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def call(*args: object):
        monkeypatch.setattr(sys, "argv", ["reward-harness", *map(str, args)])
        code = 0
        try:
            main.run()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


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


def test_no_torch_is_needed(tmp_path):
    table = scores()
    folder = write(tmp_path, table)
    blocked = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
    plugin = tmp_path / "t.py"
    plugin.write_text("from harness.task import TASKS, Task\n@TASKS.register('t')\nclass T(Task):\n    pass\n")
    argv = f"sys.argv = ['reward-harness', 'plot', {str(folder)!r}, '--plugin', {str(plugin)!r}]\n"
    code = f"{blocked}{argv}from harness.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert (folder / "figures" / "metrics.png").exists()
