"""From what a labeler wrote to a label, checked here whatever the server promised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.labels import Label, wrong_values
from harness.llm.ladder import extract_json
from harness.llm.schema import LABELS


def read_answer(text: str) -> Label:
    """The label in an answer: every field, in the schema's order, its value one of those listed, and nothing besides.

    Lenient on case and on white space around a value, and on prose around the JSON object; `true` is not `yes`. A field
    that is given twice is refused: an answer that quotes a label from the dialogue before its own has two.
    Raises ValueError with what is wrong, in words that can go back to who answered.
    """
    answer = extract_json(text)
    if answer is None:
        raise ValueError("it holds no complete JSON object")
    if twice := [name for name in LABELS if len(re.findall(rf'"{name}"\s*:', text)) > 1]:
        raise ValueError(f"{twice[0]} is given more than once")
    label = tidy(answer)
    if missing := [name for name in LABELS if name not in label]:
        raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return label


def tidy(answer: Mapping[str, Any]) -> Label:
    """Some fields of a label, plain: in the schema's order, values without case and white space around them, each of a list once.

    Raises ValueError for a field or a value that is not in the schema.
    """
    found = {name: _plain(value) for name, value in answer.items()}
    if problem := wrong_values(found):
        raise ValueError(problem)
    return {
        name: [value for value in field.values if value in found[name]] if field.several else found[name]
        for name, field in LABELS.items()
        if name in found
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.strip().casefold() if isinstance(value, str) else value
