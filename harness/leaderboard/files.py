"""The edge: a spec file and a results folder in, the rendered leaderboard out."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.leaderboard.across import samples_across
from harness.leaderboard.board import Board
from harness.leaderboard.build import PairedTest, build
from harness.leaderboard.render import RENDERERS
from harness.leaderboard.sources import Source
from harness.leaderboard.spec import BoardSpec, ColumnSpec
from harness.results.compare import compare
from harness.results.store import find_results, read_record, read_samples

CACHED_TABLES = 64


def read_board(spec_path: Path, results_root: Path) -> Board:
    """The board of a spec file over a results folder; raises InputError where either cannot be read or holds nothing."""
    spec = BoardSpec.read(spec_path)
    records = [read_record(path) for path in find_results(results_root)]
    if not any(f"{r.task.name}@{r.task.version}" in spec.tasks for r in records):
        raise InputError(
            f"{results_root} holds no result of {' or '.join(spec.tasks)}; "
            f"make one with: reward-harness run --model MODEL --tasks {spec.tasks[0].split('@')[0]}"
        )
    return build(spec, records, samples_test(results_root), samples_across(results_root))


def build_files(spec_path: Path, results_root: Path, out_dir: Path) -> list[Path]:
    """Writes the board in every format to `out_dir`, each file at once; the same inputs give the same bytes.

    Returns the files. Raises InputError as `read_board` does, HarnessError where `out_dir` cannot be written.
    """
    board = read_board(spec_path, results_root)
    texts = {renderer.file: renderer.render(board) for renderer in RENDERERS.values()}
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        return [_write(out_dir / name, text) for name, text in texts.items()]
    except OSError as error:
        raise HarnessError(f"cannot write the leaderboard to {out_dir}: {error.strerror or error}") from error


def samples_test(results_root: Path) -> PairedTest:
    """A paired test of two rows on the items they share, from the samples of their results; None without samples."""
    samples = lru_cache(CACHED_TABLES)(read_samples)

    def test(column: ColumnSpec, a: Source, b: Source) -> float | None:
        if a.record.samples is None or b.record.samples is None:
            return None
        table_a, table_b = (samples(results_root.joinpath(*s.record.path_parts())) for s in (a, b))
        result = compare(
            a.record, table_a, b.record, table_b, member_a=a.member, member_b=b.member, where=column.paired
        )
        return result.overall.p

    return test


def _write(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise
    return path
