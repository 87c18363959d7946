"""`reward-harness score` where every score is in the store: seconds from the start of the process, and what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from harness.testing.corpus import write_pairs
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import timed
from tests.benchmarks.record import Finding, Record, Setting

N_TEXTS = 10_000
HEAVY = ("torch", "transformers", "tokenizers", "sentence_transformers")
COMMAND = "from harness.cli.main import run; run()"


def measure(setting: Setting) -> Record:
    """Seconds are absolute here: what is promised is how long somebody waits. The run that fills the store is not timed."""
    n, folder = setting.n(N_TEXTS), setting.scratch
    pairs = write_pairs(corpus.generated(n // 2), folder / "pairs.jsonl")
    model = folders.tiny_encoder(folder / "model")
    first = _score(folder, model, pairs)
    seconds = [timed(lambda: _score(folder, model, pairs)) for _ in range(setting.rounds)]
    assert _output(folder).read_bytes() == first, "the cached run wrote other scores than the run that filled the store"
    found = imported(_score_process(folder, model, pairs, "-X", "importtime").stderr)
    return Record(
        [
            Finding("seconds, process start included", min(seconds), (min(seconds), max(seconds)), under=4.0),
            Finding(f"imported of {', '.join(HEAVY)}", len(found), under=1),
        ],
        {"scores": n, "rounds": setting.rounds, "imported": sorted(found)},
        {"cached": seconds},
    )


def imported(report: str) -> set[str]:
    """Which of `HEAVY` are in what `python -X importtime` reports."""
    modules = re.findall(r"^import time:.*\|\s*([\w.]+)\s*$", report, re.MULTILINE)
    assert "harness" in modules, "no import times in the report"
    return {module.partition(".")[0] for module in modules} & set(HEAVY)


def _score(folder: Path, model: Path, pairs: Path) -> bytes:
    """Run the verb; the file it wrote."""
    _score_process(folder, model, pairs)
    return _output(folder).read_bytes()


def _score_process(folder: Path, model: Path, pairs: Path, *python: str) -> subprocess.CompletedProcess[str]:
    names = {"--model": model, "--input": pairs, "--output": _output(folder), "--store": folder / "store.sqlite"}
    options = [str(word) for pair in names.items() for word in pair]
    command = [sys.executable, *python, "-c", COMMAND, "score", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def _output(folder: Path) -> Path:
    return folder / "scored.jsonl"
