"""What a run would do: texts, tokens, seconds to expect, data that is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import LoadOptions, resolve_subject
from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.models.base import Encoded
from harness.preference import Unit
from harness.runner import plan_all
from harness.task import Task

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
    labels: Path | None,
    rewrites: Path | None,
    store: Any,
    options: LoadOptions,
) -> str:
    """Plan a run and time a sample of 64 texts of each member: expected seconds are its rate times all tokens.

    Models that answer in words or behind an address are asked nothing: that would be paid for, or waited for.
    """
    memory = ScoreStore(store)
    subject = resolve_subject(model, roles, family, options, memory, lambda progress: None)
    lines: list[str] = []
    members = tuple((m.member, m.seed) for m in subject.members)
    passes: dict[tuple[str, int], dict[Unit, float]] = {key: {} for key in members}
    for planned in plan_all(tasks, subject, params, data, data_dir, limit, labels, rewrites):
        task, mine = planned.task, planned.data(members)
        lines.append(f"{task.meta.name}@{task.meta.version}: {len(mine.items)} items, {len(mine.units())} texts")
        lines += [f"  missing: {name}" for name in planned.suite.missing]
        if reason := subject.lacks(task.meta.needs):
            lines.append(f"  not applicable: {reason}")
            continue
        for member, known in passes.items():
            for unit, n in task.passes(mine, planned.params, member):
                known[unit] = max(n, known.get(unit, 0.0))
    for m in (m for m in subject.members if m.reads):
        lines.append(f"{m.member}/{m.seed} {m.resolved.name}: {_expect(m.engine, passes[m.member, m.seed])}")
    return "\n".join(lines)


def _expect(engine: Engine, passes: Mapping[Unit, float]) -> str:
    """Tokens of all passes, and their seconds at the rate of the sample."""
    if not passes:
        return "nothing to score"
    began = time.perf_counter()
    units = sorted(passes, key=lambda unit: unit.unit_id)
    sample = units[:: max(1, len(units) // SAMPLE)][:SAMPLE]
    if "generates" in engine.resolved.adapter.capabilities or engine.resolved.adapter.remote:
        encoded = zip(sample, engine.pool.encode([(unit, None) for unit in sample]), strict=True)
        total = sum(passes[u] * len(e) for u, e in encoded if isinstance(e, Encoded)) / len(sample) * len(units)
        return f"about {total:,.0f} tokens, or bytes of what a server is sent; nothing was asked, so no time is known"
    engine.ensure(Job(u) for u in sample)
    total = sum(passes[u] * engine.request(Job(u)).n_tokens for u in sample) / len(sample) * len(units)
    if not engine.timing.tokens:
        return f"about {total:,.0f} tokens; the sample is in the store already"
    seconds = engine.timing.forward * total / engine.timing.tokens
    return f"about {total:,.0f} tokens, {seconds:.0f} s here (sample took {time.perf_counter() - began:.1f} s)"
