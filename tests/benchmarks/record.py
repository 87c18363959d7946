"""What a row of the benchmark says: findings, each with what it should at least be, and what they were measured on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.results.provenance import environment
from tests.benchmarks import machine


class NotMeasured(Exception):
    """This machine lacks what the row needs; the text says what."""


@dataclass(frozen=True)
class Setting:
    """How a row is run: measured rounds, the number of texts (None: the row's own), where real data and models lie
    (a folder that need not exist) and a folder that is deleted after the row."""

    rounds: int
    texts: int | None
    shared: Path
    scratch: Path

    def n(self, usual: int) -> int:
        """The number of texts: the row's own unless another was asked for."""
        return self.texts or usual


@dataclass(frozen=True)
class Finding:
    """One measured number. `rounds` is its lowest and highest value over single rounds, the spread.

    `at_least` (inclusive) and `under` (exclusive) are targets; a finding with neither is told, not judged.
    """

    what: str
    measured: float
    rounds: tuple[float, float] | None = None
    at_least: float | None = None
    under: float | None = None

    @property
    def target(self) -> str:
        """The target as the table prints it; empty where there is none."""
        bounds = (("", self.at_least), ("under ", self.under))
        return ", ".join(f"{words}{bound:g}" for words, bound in bounds if bound is not None)

    @property
    def met(self) -> bool | None:
        """Whether every target holds; None where there is none."""
        if not self.target:
            return None
        lowest = -math.inf if self.at_least is None else self.at_least
        above = math.inf if self.under is None else self.under
        return lowest <= self.measured < above

    @property
    def shown(self) -> str:
        """The number to three decimals, with the spread behind it."""
        spread = f" ({self.rounds[0]:.3f} to {self.rounds[1]:.3f})" if self.rounds else ""
        return f"{self.measured:.3f}{spread}"


@dataclass(frozen=True)
class Record:
    """A row that was measured: findings, the conditions they hold under, and the seconds of every round behind them."""

    findings: Sequence[Finding]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What, measured, at least, met: as printed."""
        return [(f.what, f.shown, f.target, MET[f.met]) for f in self.findings]

    def write(self, path: Path) -> None:
        """One JSON object, numbers rounded to what a clock can tell."""
        findings = [_rounded({**asdict(f), "met": f.met}) for f in self.findings]
        body = {"findings": findings, "conditions": self.conditions, "seconds": _rounded(self.seconds)}
        made_with = environment(str(self.conditions.get("device", "cpu"))) | {"cpu": machine.name()}
        _dump(path, {**body, "environment": made_with})


@dataclass(frozen=True)
class Absent:
    """A row that could not be measured here, and why. It never replaces numbers that another machine has left."""

    reason: str

    def rows(self) -> list[tuple[str, str, str, str]]:
        """One line without a number."""
        return [("", f"not measured: {self.reason}", "", "")]

    def write(self, path: Path) -> None:
        """The reason, where nothing is on record."""
        if not path.exists():
            _dump(path, {"not_measured": self.reason})


MET = {True: "yes", False: "NO", None: ""}


def show(found: Mapping[str, Record | Absent]) -> None:
    """Print the table of all rows."""
    table = Table("row", "what", "measured (lowest to highest round)", "at least", "met")
    for name, record in found.items():
        for i, cells in enumerate(record.rows()):
            table.add_row(name if i == 0 else "", *cells)
        table.add_section()
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(table)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def _dump(path: Path, body: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
