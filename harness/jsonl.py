"""Files of JSON lines: rows of a pydantic model, read with the number of the line that is wrong, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import HarnessError, InputError

R = TypeVar("R", bound=BaseModel)


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file of `what`; raises InputError where there is none."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror or error}") from error


def rows_of(
    content: bytes, model: type[R], adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> Iterator[tuple[int, R | str]]:
    """Every line that is not empty by its number: a row, or what is wrong with it; `adapt` may raise ValueError.

    `adapt` makes the fields of a row from a line.
    """
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield number, _row(line, model, adapt)


def _row(line: bytes, model: type[R], adapt: Callable[[dict[str, Any]], dict[str, Any]]) -> R | str:
    try:
        said = json.loads(line)
        if not isinstance(said, dict):
            return f"expected a JSON object, found {type(said).__name__}"
        return model.model_validate(adapt(said))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        return str(error)


def write_rows(path: Path, rows: Sequence[BaseModel]) -> None:
    """Write rows as JSON lines: the whole file, or the old one stays. Raises HarnessError where it cannot."""
    target = Path(path)
    staged = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes("".join(row.model_dump_json() + "\n" for row in rows).encode())
        os.replace(staged, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise HarnessError(
            f"cannot write {target}: {error.strerror or error}; replies are kept in the cache"
        ) from error
