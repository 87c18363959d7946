"""The share of tokens that prefix trees save on each set of data: counted from the planner, nothing is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import preference
from harness.datasets import load, restrict
from harness.engine.plan import plan
from harness.models.resolve import resolve
from harness.preference import Unit
from tests.benchmarks import folders
from tests.benchmarks.record import Finding, NotMeasured, Record, Setting

SETS = (
    "hh-rlhf/helpful-base",
    "hh-rlhf/harmless-base",
    "rm-bench/chat",
    "rm-bench/code",
    "rm-bench/safety-refuse",
    "rm-bench/safety-response",
    "llmbar",
    "xstest",
    "hhh-alignment",
    "evalbiasbench",
)
MOST_ITEMS = 300
"""Items of each part of a set: the share hardly moves beyond."""


def measure(setting: Setting) -> Record:
    """The share of every set at hand; raises NotMeasured where there is no real data."""
    if not (setting.shared / "data").is_dir():
        raise NotMeasured("no real data at hand; set REWARD_HARNESS_SHARED")
    most = setting.n(2 * MOST_ITEMS) // 2
    sets = {name: _units(name, setting.shared, most) for name in SETS}
    trained_on = [unit for units in sets.values() for unit in units]
    folder = folders.decoder(setting.scratch / "llama", trained_on, folders.LLAMA)
    adapter: Any = resolve(folder, device="cpu").load()
    findings = [removed(adapter, units, name) for name, units in sets.items() if units]
    return Record(findings, {"texts": {name: len(units) for name, units in sets.items()}})


def _units(name: str, shared: Path, most: int) -> list[Unit]:
    """The texts of at most `most` items of each part of a set; none where it is absent."""
    return list(preference.units(restrict(load([f"{name}?"], shared / "data"), most).items))


def removed(adapter: Any, units: Sequence[Unit], name: str) -> Finding:
    """Share of the tokens of all different texts that the plan for this model does not compute."""
    texts = list({e.digest(): e for e in adapter.encode(units)}.values())
    batches = plan(texts, adapter.cost.budget, adapter.cost, adapter.shares)
    packed = sum(len(tree) for batch in batches for tree in batch)
    return Finding(name, 1 - packed / sum(map(len, texts)))
