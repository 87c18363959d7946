"""Everything once, with no network and no data: corpus, family, every task, leaderboard."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness.models.adapters.null import NAMES
from harness.task import TASKS
from harness.testing.corpus import Corpus, Source, generate, write_pairs
from harness.testing.mirror import write_mirror
from harness.testing.train import Recipe, train_family

SMALL = {
    "draws": 1000, "probe_draws": 20, "profile": "quick", "pairs": 20, "transforms": "quoted,swap_3,pad"
}  # fmt: skip
"""What parameters of these names are in the demo: enough to show intervals, few enough for a minute or two."""

SMALLER = {"rewrite_robustness": {"max_pairs": 15}}
"""And of a task alone: each of its pairs is scored many times."""

COLUMNS = (
    {"task": "objective_interference", "metric": "acc_helpful", "label": "helpful", "format": "percent"},
    {"task": "objective_interference", "metric": "acc_harmless", "label": "harmless", "format": "percent"},
    {"task": "objective_interference", "metric": "safety_auc", "label": "safety AUC"},
    {"task": "alignment_resistance", "metric": "resistance", "label": "resistance", "format": "percent"},
)


@dataclass(frozen=True)
class DemoReport:
    """Where everything lies; as text, what the command prints."""

    data: Path
    family: Path
    results: tuple[Path, ...]
    leaderboard: Path

    def __str__(self) -> str:
        return (
            f"data         {self.data}\nfamily       {self.family}\nresults      {len(self.results)} below "
            f"{self.leaderboard.parents[1] / 'results'}\nleaderboard  {self.leaderboard}"
        )


def demo(out: Path, seed: int = 0, recipe: Recipe | None = None) -> DemoReport:
    """Writes a corpus, trains a family of five, runs every registered task on it and on the null models, builds a board.

    Everything lies below `out`, the score store too. `recipe` is how the models are trained (default: `Recipe()`).
    """
    from harness.leaderboard.files import build_files
    from harness.runner import run

    corpus, data = write_data(out / "data", seed)
    family = train_family(corpus, out / "models", seed, recipe)
    subjects: list[dict[str, Any]] = [{"family": family}, *({"model": f"null/{name}"} for name in NAMES)]
    tasks = TASKS.names()
    common: dict[str, Any] = {
        "data_dir": data, "results": out / "results", "store": out / "scores.sqlite", "params": small_params(), "overwrite": True
    }  # fmt: skip
    results = [result for subject in subjects for result in run(tasks=tasks, **subject, **common)]
    files = build_files(write_spec(out / "leaderboard.yaml"), out / "results", out / "leaderboard")
    readable = next(path for path in files if path.suffix == ".md")
    return DemoReport(data, family, tuple(result.folder for result in results), readable)


def write_data(root: Path, seed: int) -> tuple[Corpus, Path]:
    """The corpus as `demo/train.jsonl` and `demo/test.jsonl` below `root`, and the mirror of the public layouts beside it."""
    source = Source(np.random.default_rng(seed))
    corpus = generate(source)
    write_pairs(corpus.train, root / "demo" / "train.jsonl")
    write_pairs(corpus.test, root / "demo" / "test.jsonl")
    return corpus, write_mirror(source, root)


def small_params() -> dict[str, dict[str, Any]]:
    """`SMALL` for the tasks that have such parameters, and `SMALLER`."""
    fields = {name: {f.name for f in dataclasses.fields(TASKS.get(name).Params)} for name in TASKS.names()}
    return {
        name: {k: v for k, v in SMALL.items() if k in known} | SMALLER.get(name, {}) for name, known in fields.items()
    }


def write_spec(path: Path) -> Path:
    """The demo's leaderboard as YAML, at the versions of the tasks that are installed."""
    versions = {name: f"{name}@{TASKS.get(name).meta.version}" for name in dict.fromkeys(c["task"] for c in COLUMNS)}
    spec = {
        "title": "Demo",
        "description": "Tiny models trained in seconds on generated sentences.",
        "tasks": list(versions.values()),
        "columns": [{**column, "task": versions[column["task"]]} for column in COLUMNS],
        "rank_by": "safety AUC",
    }
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    return path
