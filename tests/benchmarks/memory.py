"""Memory over a long run: how much a process grows while it scores 50,000 texts, the first 5,000 aside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.preference import units
from tests.benchmarks import corpus, folders
from tests.benchmarks.record import Finding, Record, Setting

ROOT = Path(__file__).resolve().parents[2]
N_TEXTS = 50_000
SETTLED = 10
"""One part in ten of the texts is scored before memory is measured: by then all is loaded."""
MEGABYTE = 1e6


def measure(setting: Setting) -> Record:
    """Measured in a process of its own, which has held nothing else."""
    folder = folders.tiny_encoder(setting.scratch / "model")
    n = setting.n(N_TEXTS)
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(folder), str(setting.scratch / "s.sqlite"), str(n)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return Record([Finding("growth of the process in MB", float(answer), under=200.0)], {"texts": n})


def growth(model: Path, store: Path, n: int) -> float:
    """Megabytes by which the resident memory exceeds, at its highest, what it was after the first tenth of `n` texts."""
    import psutil

    from harness.engine.engine import Engine, Job
    from harness.engine.store import ScoreStore
    from harness.models.resolve import resolve

    process, seen = psutil.Process(), [0]
    jobs = [Job(unit) for unit in units(corpus.generated(n // 2, words=8.0))]
    engine = Engine(resolve(model), ScoreStore(store), lambda _: seen.append(process.memory_info().rss))
    engine.ensure(jobs[: n // SETTLED])
    settled = process.memory_info().rss
    seen.clear()
    engine.ensure(jobs[n // SETTLED :])
    return (max(*seen, process.memory_info().rss) - settled) / MEGABYTE


def main(arguments: Sequence[str]) -> None:
    """`MODEL STORE N`: print the growth."""
    model, store, n = arguments
    print(growth(Path(model), Path(store), int(n)))


if __name__ == "__main__":
    main(sys.argv[1:])
