"""Labels of replies by a language model or by people: a file of JSON lines, joined to units by what they say."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.errors import InputError
from harness.jsonl import read_file, rows_of, write_rows
from harness.llm.schema import LABELS, NUMBERED
from harness.models.spec import Frozen
from harness.preference import Conversation, Unit, canonical_json, messages_json
from harness.results.schema import LabelsRecord

Label = dict[str, str | list[str]]
"""Values by field: one, or a list of them."""

Pass = Literal["first", "retest", "second", "gold"]
"""Who labelled: the labeler, the labeler again, another labeler, people."""

PASSES: tuple[Pass, ...] = ("first", "retest", "second", "gold")


class LabelRow(Frozen):
    """One labelled reply, one line of the file. The text itself is not in it: `text` is `text_id` of the conversation.

    `labels` is null where the reply could not be labelled; `error` then says why. `prompt` is the version of the words
    that asked (`harness.llm.prompt`), null for people.
    """

    text: str
    labeled_by: Pass = "first"
    labeler: str
    schema_sha256: str
    prompt: str | None = None
    labels: Label | None
    error: str | None = None


@dataclass(frozen=True)
class Labels:
    """Labels by pass and text: one of each at most."""

    rows: Mapping[tuple[Pass, str], LabelRow] = field(default_factory=dict)
    sha256: str = ""

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Who labelled anything, in the order of `PASSES`."""
        present = {labeled_by for labeled_by, _ in self.rows}
        return tuple(p for p in PASSES if p in present)

    def about(self, units: Iterable[Unit]) -> Labels:
        """These labels where any of the units' texts has one, else none: what fits no text is no part of a result."""
        labelled = {text for (_, text), row in self.rows.items() if row.labels}
        return self if any(text_id(unit.conversation) in labelled for unit in units) else NO_LABELS

    def frame(self, units: Iterable[Unit]) -> pd.DataFrame:
        """Labels as columns to attach: `unit_id`, and for each field with numbers `x_label_{field}`, of other passes
        `x_label_{field}_{pass}`; yes 1, no 0, tones -1, 0, 1. Missing where unclear, not labelled, or failed.
        """
        known = tuple(units)
        texts = [text_id(unit.conversation) for unit in known]
        columns: dict[str, object] = {"unit_id": [unit.unit_id for unit in known]}
        for labeled_by in self.passes:
            rows = [self.rows.get((labeled_by, text)) for text in texts]
            for name in NUMBERED:
                columns[column(name, labeled_by)] = np.array([_number(row, name) for row in rows], dtype=float)
        return pd.DataFrame(columns)

    def record(self) -> LabelsRecord:
        """What a result says of the labels it used."""
        return LabelsRecord(
            sha256=self.sha256,
            labelers={p: tuple(sorted({r.labeler for (q, _), r in self.rows.items() if q == p})) for p in self.passes},
            schema_sha256=tuple(sorted({row.schema_sha256 for row in self.rows.values()})),
            n_texts=sum(q == "first" for q, _ in self.rows),
            n_failed=sum(row.labels is None for row in self.rows.values()),
        )


NO_LABELS = Labels()


def column(name: str, labeled_by: Pass = "first") -> str:
    """The column of a label field in a score table, by who labelled."""
    return LABELS[name].column + ("" if labeled_by == "first" else f"_{labeled_by}")


def text_id(conversation: Conversation) -> str:
    """Identity of a conversation, reply included: 32 hex digits of the sha256 of its messages as canonical JSON."""
    text = canonical_json(messages_json(conversation))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def read_labels(path: Path) -> Labels:
    """The labels of a file. Raises InputError where it cannot be read, a line is not a label, or a text is labelled twice in one pass."""
    content = read_file(path, "labels")
    return Labels(read_rows(path, content), hashlib.sha256(content).hexdigest())


def read_rows(
    path: Path, content: bytes, adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> dict[tuple[Pass, str], LabelRow]:
    """The rows in a file's content by pass and text; `adapt` makes the fields of a row from a line, or raises ValueError.

    Raises InputError with the line's number where it is not a label, or its text was labelled in this pass already.
    """
    rows: dict[tuple[Pass, str], LabelRow] = {}
    for number, row in rows_of(content, LabelRow, adapt):
        problem = row if isinstance(row, str) else wrong_values(row.labels or {})
        if problem or isinstance(row, str):
            raise InputError(f"{path}:{number}: not a label: {problem}")
        key = row.labeled_by, row.text
        if key in rows:
            raise InputError(
                f"{path}:{number}: text {row.text} has two labels of the pass {row.labeled_by!r}; keep one"
            )
        rows[key] = row
    if not rows:
        raise InputError(f"{path} holds no labels; reward-harness label makes such a file")
    return rows


def write_labels(path: Path, rows: Iterable[LabelRow]) -> None:
    """Write rows as JSON lines sorted by pass and text: the whole file, or the old one stays. Raises HarnessError where it cannot."""
    ordered = sorted(rows, key=lambda row: (PASSES.index(row.labeled_by), row.text))
    write_rows(path, ordered)


def wrong_values(labels: Mapping[str, object]) -> str | None:
    """What is wrong with the values of a label, or None: fields that are not in the schema, and values that are not listed."""
    for name, value in labels.items():
        if name not in LABELS:
            return f"no label field is called {_short(name)}; fields are {', '.join(LABELS)}"
        known = LABELS[name]
        given = value if known.several else [value]
        if not isinstance(given, list):
            return f"{name} is {_short(value)}; expected a list of {', '.join(known.values)}"
        if bad := [v for v in given if not isinstance(v, str) or v not in known.values]:
            return f"{name} is {_short(bad[0])}; expected {', '.join(known.values)}"
    return None


def _short(value: object) -> str:
    # What a labeler writes may repeat the text; a file of labels holds none of it.
    return reprlib.repr(value)


def _number(row: LabelRow | None, name: str) -> float:
    if row is None or row.labels is None or name not in row.labels:
        return float("nan")
    value = LABELS[name].values[str(row.labels[name])]
    return float("nan") if value is None else value
