"""`python -m tests.benchmarks [ROW ...]`: measure, print a table, keep one JSON a row under results/performance.

Without names all rows run but those marked slow; with `BENCH=full` in the environment those too, and ten
rounds instead of two. With `--texts`, a quick look, nothing is kept unless `--out` says where.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import (
    cached,
    causal,
    encoder,
    features,
    gpu,
    half_precision,
    memory,
    neurons,
    rewrites,
    sharing,
    sweep,
    workers,
)
from tests.benchmarks.record import Absent, NotMeasured, Record, Setting, show

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "results" / "performance"


@dataclass(frozen=True)
class Row:
    """What measures a row; a slow one runs when it is named or everything is asked for."""

    measure: Callable[[Setting], Record]
    slow: bool = False


ROWS = {
    "encoder": Row(encoder.at_its_limit),
    "encoder-256": Row(encoder.cut_shorter, slow=True),
    "causal": Row(causal.measure),
    "sharing": Row(sharing.measure),
    "half-precision": Row(half_precision.measure),
    "cached": Row(cached.measure),
    "features": Row(features.measure),
    "neurons": Row(neurons.measure),
    "sweep": Row(sweep.measure),
    "rewrites": Row(rewrites.measure),
    "workers": Row(workers.measure),
    "gpu": Row(gpu.measure),
    "memory": Row(memory.measure, slow=True),
}


def main() -> None:
    """Measure the rows asked for, one after the other."""
    _quiet()
    full = os.environ.get("BENCH") == "full"
    arguments = _arguments(full)
    out = arguments.out or (None if arguments.texts else KEPT)
    shared = Path(os.environ.get("REWARD_HARNESS_SHARED", ROOT.parent / "shared"))
    found: dict[str, Record | Absent] = {}
    for name in arguments.row or [name for name, row in ROWS.items() if full or not row.slow]:
        print(f"{name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = _measured(ROWS[name], Setting(arguments.rounds, arguments.texts, shared, Path(scratch)))
        if out:
            found[name].write(out / f"{name}.json")
    show(found)


def _measured(row: Row, setting: Setting) -> Record | Absent:
    try:
        return row.measure(setting)
    except NotMeasured as reason:
        return Absent(str(reason))


def _quiet() -> None:
    """Neither bars nor advice of the libraries between the lines of the table."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _arguments(full: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    # argparse holds the empty list against the choices too where no row is named
    parser.add_argument("row", nargs="*", choices=[*ROWS, []], metavar="ROW", help=f"any of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=10 if full else 2)
    parser.add_argument("--texts", type=int, help="texts a row, for a quick look: targets are for the usual number")
    parser.add_argument("--out", type=Path, help=f"folder of the JSON files [{KEPT.relative_to(ROOT)}]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
