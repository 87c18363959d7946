"""The demo with fewer steps: everything it promises is there; what it trains is the business of test_train."""

from __future__ import annotations

from harness.leaderboard.files import read_board
from harness.results.store import find_results, read_record
from harness.results.validate import validate
from harness.testing.demo import demo
from harness.testing.train import Recipe


def test_everything_once(tmp_path):
    report = demo(tmp_path / "demo", recipe=Recipe(epochs=1))
    records = [read_record(path) for path in find_results(tmp_path / "demo" / "results")]
    assert {r.task.name for r in records} == {
        "alignment_resistance", "feature_imprint", "neuron_ablation", "objective_interference",
        "rewrite_robustness",
    }  # fmt: skip
    without_neurons = [r for r in records if r.subject.name.startswith("null/") and r.task.name == "neuron_ablation"]
    assert {r.status for r in without_neurons} == {"not_applicable"}
    assert {r.status for r in records if r not in without_neurons} == {"success"}
    assert len(report.results) == len(records) == 20
    assert validate(tmp_path / "demo" / "results") == []
    board = read_board(tmp_path / "demo" / "leaderboard.yaml", tmp_path / "demo" / "results")
    names = {row.name for row in board.rows}
    assert {"null/random", "null/longest", "null/shortest"} < names
    assert len(names) == 8
    assert str(report.leaderboard) in str(report)
    assert report.leaderboard.read_text().startswith("# Demo")
