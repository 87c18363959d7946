"""A user's own file of pairs: prompt, chosen, rejected, and what else may stand beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.datasets import _fields
from harness.datasets._base import Pair, Row, Unusable, checked
from harness.datasets._read import read, stem
from harness.errors import InputError
from harness.preference import OBJECTIVES, PreferenceItem, canonical_json

REQUIRED = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class InputRow:
    """One row of the file: the item it is, or `error`, why it is none. `number` counts lines or records from 1."""

    number: int
    raw: Row
    item: PreferenceItem | None
    error: str | None = None


def rows(path: Path) -> list[InputRow]:
    """Every row of the file in order, the unusable ones included.

    Columns: `prompt` (string or messages), `chosen`, `rejected` (string or list of strings), and optionally
    `id`, `subset`, `objective`. Without `id` it is the first 16 hex digits of the sha256 of the canonical JSON of the list `[prompt, chosen, rejected]`; without `subset` the file's name; without `objective` `other`.
    An id that an earlier row has makes the row unusable. Raises InputError where the file cannot be read, has
    no rows, or has none of a required column.
    """
    numbered = read(path)
    columns = sorted({column for _, row in numbered for column in row})
    absent = [name for name in REQUIRED if name not in columns]
    if absent:
        raise InputError(
            f"{path} has no column {' or '.join(absent)}; found {', '.join(columns) or 'none'}; "
            f"expected {', '.join(REQUIRED)}: rename the columns"
        )
    seen: set[str] = set()
    return [_input_row(number, row, stem(path), seen) for number, row in numbered]


def _input_row(number: int, row: Row, dataset: str, seen: set[str]) -> InputRow:
    try:
        item = _item(row, dataset)
        if item.id in seen:
            raise Unusable("duplicate id")
    except Unusable as reason:
        return InputRow(number, row, None, str(reason))
    seen.add(item.id)
    return InputRow(number, row, item)


def _item(row: Row, dataset: str) -> PreferenceItem:
    pair = Pair(
        id=_id(row),
        prompt=_fields.prompt(row),
        chosen=_fields.replies(row, "chosen"),
        rejected=_fields.replies(row, "rejected"),
    )
    subset = _fields.text(row, "subset") if "subset" in row else dataset
    objective = _objective(row) if "objective" in row else "other"
    return checked(pair, dataset, subset, objective)


def _id(row: Row) -> str:
    if "id" in row:
        if isinstance(row["id"], bool) or not isinstance(row["id"], str | int):
            raise Unusable("id is neither a string nor a whole number")
        return str(row["id"])
    content = canonical_json([row.get(name) for name in REQUIRED])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _objective(row: Row) -> str:
    value = row["objective"]
    if value not in OBJECTIVES:
        raise Unusable(f"objective is {_fields.shown(value)}, not one of {', '.join(OBJECTIVES)}")
    return str(value)
