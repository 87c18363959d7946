"""What a run would do: texts, tokens, seconds to expect, data that is missing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from harness.config import LoadOptions, resolve_subject
from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.preference import Unit
from harness.runner import plan
from harness.task import Task, TaskData

SAMPLE = 64


def dry_run(
    model: Any,
    tasks: Sequence[Task],
    *,
    roles: Any,
    family: Any,
    data: Any,
    data_dir: Any,
    params: dict[str, dict[str, Any]],
    limit: int | None,
    store: Any,
    options: LoadOptions,
) -> str:
    """Plan a run and time a sample of 64 texts of each member: expected seconds are its rate times all tokens."""
    memory = ScoreStore(store)
    subject = resolve_subject(model, roles, family, options, memory, lambda progress: None)
    lines: list[str] = []
    units: dict[str, Unit] = {}
    for task in tasks:
        planned = plan(task, subject, params.get(task.meta.name, {}), data, data_dir, limit)
        mine = TaskData(planned.suite.items).units()
        units |= {u.unit_id: u for u in mine}
        lines.append(f"{task.meta.name}@{task.meta.version}: {len(planned.suite.items)} items, {len(mine)} texts")
        if reason := subject.lacks(task.meta.needs):
            lines.append(f"  not applicable: {reason}")
        lines += [f"  missing: {name}" for name in planned.suite.missing]
    sample = [units[u] for u in sorted(units)][:: max(1, len(units) // SAMPLE)][:SAMPLE]
    for member in (m for m in subject.members if m.reads):
        lines.append(
            f"{member.member}/{member.seed} {member.resolved.name}: {_expect(member.engine, sample, len(units))}"
        )
    return "\n".join(lines)


def _expect(engine: Engine, sample: Sequence[Unit], n: int) -> str:
    if not sample:
        return "nothing to score"
    began = time.perf_counter()
    engine.ensure(Job(u) for u in sample)
    tokens = sum(engine.request(Job(u)).n_tokens for u in sample)
    total = round(tokens / len(sample) * n)
    if not engine.timing.texts:
        return f"about {total:,} tokens; the sample is in the store already"
    engine_seconds = engine.timing.forward * n / engine.timing.texts
    return f"about {total:,} tokens, {engine_seconds:.0f} s here (sample took {time.perf_counter() - began:.1f} s)"
