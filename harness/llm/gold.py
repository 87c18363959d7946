"""Labels by people, read beside those of a language model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.jsonl import read_file
from harness.labels import LabelRow, read_rows, text_id
from harness.llm.answer import tidy
from harness.llm.schema import schema_sha256
from harness.preference import PreferenceItem, units


def read_gold(path: Path, items: Iterable[PreferenceItem]) -> list[LabelRow]:
    """Rows of the pass `gold`, one a line of JSON: as the verb `label` writes them (its `labels` are taken, its pass is not),
    or plain, such as `{"id": "my/1#chosen", "helpful": "yes"}`.

    A plain line names a reply of `items` by its unit id, or any by `text` (`harness.labels.text_id`); it may say who
    labelled (`labeler`), and gives as many fields as were judged. Raises InputError where a line is neither, names
    a reply that is not there, or one that an earlier line labelled.
    """
    texts = {unit.unit_id: text_id(unit.conversation) for unit in units(items)}

    def adapt(line: dict[str, Any]) -> dict[str, Any]:
        """The fields of a row."""
        row = line if "labels" in line else _plain(line, texts)
        return row | {"labeled_by": "gold"}

    return list(read_rows(path, read_file(path, "labels"), adapt).values())


def _plain(line: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    given = dict(line)
    unit, text, labeler = given.pop("id", None), given.pop("text", None), given.pop("labeler", "people")
    if (unit is None) == (text is None):
        raise ValueError("expected one of id (such as my/1#chosen) and text (32 hex digits)")
    if text is None and str(unit) not in texts:
        raise ValueError(f"no reply of the data is called {unit!r}; expected an item's id with #chosen or #rejected")
    if not given:
        raise ValueError("no field is judged; expected some such as helpful: yes")
    labels = tidy(given)
    return {
        "text": texts[unit] if text is None else text,
        "labeler": labeler,
        "schema_sha256": schema_sha256(),
        "labels": labels,
    }
