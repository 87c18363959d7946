"""A leaderboard as data: which numbers of which tasks, in which order, under which conditions. The file form is YAML."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from harness.errors import InputError
from harness.models.spec import Frozen


class ColumnSpec(Frozen):
    """One column: the metric of `task` whose dims, member apart, are exactly `dims`.

    `format` decides how the stored number is printed: `percent` (a proportion, times 100), `pp`
    (percentage points, signed), `number` (as it is). `higher_is_better` overrides what the metric says.
    `floored` marks a scalar that was cut at zero: its zeros are printed as "< upper end".
    `paired` selects, by columns of the item outcomes, the items whose mean credit this column is
    (`{objective: helpful}`); only such a column can be compared item by item when rows are ranked. A metric that
    the task computes across results (`Task.across`) is computed when the board is built, from the samples.
    """

    metric: str
    label: str
    task: str = ""
    dims: dict[str, str] = Field(default_factory=dict)
    format: Literal["percent", "pp", "number"] = "number"
    higher_is_better: bool | None = None
    floored: bool = False
    paired: dict[str, str] | None = None


class Requirement(Frozen):
    """Ranked only where the lower end of `column`'s interval lies above `low_above` (in stored units)."""

    column: str
    low_above: float


class RowsSpec(Frozen):
    """Which subjects are shown, by shell patterns on `org/name`, and which of them only as unranked baselines."""

    subjects: tuple[str, ...] = ("*",)
    baselines: tuple[str, ...] = ("null/*",)

    def shows(self, name: str) -> bool:
        """Is this subject on the board? Baselines always are."""
        return self.is_baseline(name) or any(fnmatchcase(name, pattern) for pattern in self.subjects)

    def is_baseline(self, name: str) -> bool:
        """Is this subject shown for reference only?"""
        return any(fnmatchcase(name, pattern) for pattern in self.baselines)


class BoardSpec(Frozen):
    """A leaderboard. Several `tasks` (`name@version`) make one table, joined by model and revision.

    `rank_by` is the label of the column that orders the rows; `min_n` and `min_clusters` are the least
    that its value may rest on to be ranked.
    """

    title: str
    description: str = ""
    tasks: tuple[str, ...] = Field(min_length=1)
    columns: tuple[ColumnSpec, ...] = Field(min_length=1)
    rank_by: str
    min_n: int = Field(default=0, ge=0)
    min_clusters: int = Field(default=0, ge=0)
    rows: RowsSpec = RowsSpec()
    requires: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _only_task(cls, data: object) -> object:
        """With one task, columns need not name it."""
        if isinstance(data, dict) and len(data.get("tasks") or ()) == 1 and isinstance(data.get("columns"), list):
            columns = [{"task": data["tasks"][0], **c} if isinstance(c, dict) else c for c in data["columns"]]
            return {**data, "columns": columns}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> BoardSpec:
        labels = [column.label for column in self.columns]
        if len(set(labels)) != len(labels):
            raise ValueError(f"column labels must differ, found {', '.join(labels)}")
        for name in (self.rank_by, *(r.column for r in self.requires)):
            if name not in labels:
                raise ValueError(f"no column is labelled {name!r}; the labels are {', '.join(labels)}")
        for column in self.columns:
            if column.task not in self.tasks:
                raise ValueError(f"column {column.label!r} needs task: one of {', '.join(self.tasks)}")
        return self

    @classmethod
    def read(cls, path: Path) -> BoardSpec:
        """The leaderboard in a YAML file; raises InputError naming the file, the key and what it expects."""
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"cannot read the leaderboard spec {path}: {error}") from error
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            known = ", ".join(cls.model_fields)
            raise InputError(f"{path}: {where}: {first['msg']}; a leaderboard's keys are {known}") from error
