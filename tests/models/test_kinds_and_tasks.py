"""Every task on one model of every kind: it runs, or the result says why not; the table of it in the documentation."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import harness
from harness.config import LoadOptions
from harness.results.schema import ResultRecord
from harness.task import TASKS
from harness.testing.corpus import Source, pairs, write_pairs
from tests.models.kinds import KINDS

PAGE = Path(__file__).resolve().parents[2] / "harness" / "models" / "README.md"
BEGIN, END = "<!-- kinds x tasks -->\n", "<!-- /kinds x tasks -->"
SMALL = {
    "alignment_resistance": {"draws": 20},
    "feature_imprint": {"draws": 20, "edited_texts": 2},
    "neuron_ablation": {
        "profile": "quick", "draws": 20, "pairs": 6, "corpus_pairs": 6, "controls": 1, "percents": (10,), "headline": 10.0,
    },
    "objective_interference": {"draws": 20, "probe_draws": 2},
    "rewrite_robustness": {"draws": 20, "transforms": "quoted"},
}  # fmt: skip
RUNS = "runs"


def write_data(path: Path) -> Path:
    """A few pairs of every objective."""
    source = Source(np.random.default_rng(0))
    items = [item for objective in ("helpful", "refuse", "comply") for item in pairs(source, objective, 14, "test")]
    return write_pairs(items, path)


def cells(name: str, data: Path, folder: Path) -> list[str]:
    """What becomes of every task on a model of a kind: `runs`, or what the model lacks."""
    with ExitStack() as stack:
        stack.enter_context(patch("harness.metrics.BASELINES", ()))  # they cost three quarters and hang on no model
        done = harness.run(
            KINDS[name](folder / "model", stack), TASKS.names(), data=[str(data)], params=SMALL,
            results=folder / "results", store=folder / "scores", options=LoadOptions(trust_remote_code=True),
        )  # fmt: skip
    return [cell(result.record) for result in done]


def cell(record: ResultRecord) -> str:
    """One of them; raises AssertionError where a task neither ran whole nor says why it does not apply."""
    assert record.status in ("success", "not_applicable"), f"{record.task.name}: {record.status}, {record.reason}"
    if record.status == "not_applicable":
        found = re.search(r"needs (\w+)", str(record.reason)) or re.search(r"lacks (\w+)", str(record.reason))
        assert found is not None, record.reason
        return f"needs {found[1]}"
    assert record.counts.failed == 0
    assert any(m.value is not None for m in record.metrics)
    return RUNS


def table() -> str:
    """What stands between the marks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def rows(text: str) -> dict[str, list[str]]:
    """Cells by kind of a Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return {kind: cells for kind, *cells in lines[2:]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "pairs.jsonl")


@pytest.mark.parametrize("name", list(KINDS))
def test_every_task_runs_or_says_why_not(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARD_HARNESS_LLM_CACHE", str(tmp_path / "replies"))
    assert cells(name, data, tmp_path) == rows(table()).get(name), f"write the page again: python -m {__name__}"


def test_the_page_lists_every_kind() -> None:
    assert list(rows(table())) == sorted(KINDS)


def main() -> None:
    """Run every task on every kind and write the table into the page."""
    lines = [["kind", *(f"`{task}`" for task in TASKS.names())], ["---"] * (1 + len(TASKS.names()))]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["REWARD_HARNESS_LLM_CACHE"] = str(Path(scratch) / "replies")
        data = write_data(Path(scratch) / "pairs.jsonl")
        for i, name in enumerate(sorted(KINDS)):
            lines.append([name, *cells(name, data, Path(scratch) / str(i))])
    text = PAGE.read_text(encoding="utf-8")
    made = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    PAGE.write_text(text.replace(BEGIN + table() + END, BEGIN + made + END), encoding="utf-8")


if __name__ == "__main__":
    main()
