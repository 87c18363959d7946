"""Scores for a file of pairs: what `scores:FILE` reads back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import preference
from harness.config import LoadOptions, Model, open_engine
from harness.datasets import InputRow, rows
from harness.engine.engine import Job
from harness.engine.progress import Progress
from harness.engine.store import ScoreStore
from harness.errors import HarnessError, InputError
from harness.subject import Member, oriented


def score_file(
    model: Model,
    source: Path,
    target: Path,
    *,
    options: LoadOptions | None = None,
    store: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> tuple[int, int]:
    """Score each row of `source` and write it to `target` as a JSON line, in order, with `chosen_score` and `rejected_score`.

    A side with several replies gets a list. A row that cannot be used or scored has null scores and an
    `error`. Scores are oriented so that higher is better. Returns how many lines, and how many without scores.
    """
    memory = ScoreStore(store)
    found = rows(source)
    member = Member("model", 0, open_engine(model, options or LoadOptions(), memory, report))
    if "scores" not in member.capabilities:
        raise InputError(
            f"{member.resolved.name} gives no score to a single reply; evaluate it with: reward-harness run"
        )
    with closing(member.engine):
        member.engine.ensure(Job(u) for row in found if row.item is not None for u in preference.units([row.item]))
    lines = [_line(member, row) for row in found]
    _write(target, lines)
    return len(lines), sum(line["error"] is not None for line in lines)


def _line(member: Member, row: InputRow) -> dict[str, Any]:
    line: dict[str, Any] = {**row.raw, "chosen_score": None, "rejected_score": None, "error": row.error}
    if row.item is None:
        return line
    line["id"] = row.item.id
    scores: dict[str, list[float]] = {"chosen": [], "rejected": []}
    for unit in preference.units([row.item]):
        stored = member.engine.outputs(Job(unit))
        if stored.outputs is None:
            return line | {"error": stored.error}
        scores[unit.side.partition("/")[0]].append(oriented(member, stored.outputs)[1])
    listed = {side: isinstance(row.raw[side], str) for side in scores}
    return line | {f"{side}_score": s[0] if listed[side] else s for side, s in scores.items()}


def _write(target: Path, lines: list[dict[str, Any]]) -> None:
    """Write all lines or leave the old file as it is."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        os.replace(file.name, target)
    except OSError as error:
        raise HarnessError(
            f"cannot write {target}: {error.strerror or error}; the scores are kept in the store"
        ) from error
