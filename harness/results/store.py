"""Result folders on disk: written whole or not at all, read back as records and tables."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from harness.errors import HarnessError, InputError
from harness.results.schema import FileRecord, ResultRecord
from harness.task import TABLE_COLUMNS, ScoreTable

RESULT, SAMPLES, ARRAYS = "result.json", "samples.parquet", "arrays.safetensors"
STAGED = ".writing-"
FLOAT32 = ("score", "score_raw")


def file_sha256(path: Path) -> str:
    """Sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_results(root: Path) -> list[Path]:
    """Every `result.json` below `root`, sorted by path; not those in folders that a killed run left half written."""
    return sorted(p for p in root.rglob(RESULT) if not p.parent.name.startswith(STAGED))


def read_record(path: Path) -> ResultRecord:
    """The record in a `result.json` or in the folder that holds one; raises InputError where there is none or it is broken."""
    file = path / RESULT if path.is_dir() else path
    try:
        return ResultRecord.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no result at {path}: expected a folder with {RESULT}; {error.strerror or error}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not a result of this version: {str(error).splitlines()[0]}") from error


def read_samples(folder: Path) -> ScoreTable:
    """The score table of a result folder."""
    try:
        return pd.read_parquet(folder / SAMPLES)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} has no readable {SAMPLES}: {error}") from error


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The named arrays of a result folder; empty where it has none."""
    from safetensors.numpy import load_file

    file = folder / ARRAYS
    return load_file(file) if file.exists() else {}


def storable(table: ScoreTable) -> ScoreTable:
    """The table exactly as it will be read back: contract columns first, sorted by key, types that went through Parquet.

    Metrics are computed from this form, so that recomputing them from the file gives the same numbers.
    """
    extra = sorted(c for c in table.columns if c not in TABLE_COLUMNS)
    table = table[[*TABLE_COLUMNS, *extra]].sort_values(["member", "seed", "condition", "replicate", "unit_id"])
    numbers = {c: table[c].astype("float32") for c in FLOAT32}
    buffer = io.BytesIO()
    table.assign(**numbers).to_parquet(buffer, index=False)
    return pd.read_parquet(buffer)


def write_result(
    root: Path, record: ResultRecord, table: ScoreTable, arrays: Mapping[str, np.ndarray], *, overwrite: bool = False
) -> tuple[Path, bool]:
    """Write a result below `root`, in the folder that its identity names. Returns the folder and whether it was written.

    Nothing is written where the same content lies there already. Raises HarnessError where other content
    of a finished run lies there and `overwrite` is off, or where the disk refuses.
    """
    folder = root.joinpath(*record.path_parts())
    staged = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=STAGED, dir=folder.parent))
        record = _write_files(staged, record, table, arrays)
        if (folder / RESULT).exists():
            old = read_record(folder)
            if content(old) == content(record):
                return folder, False
            if old.status == "success" and not overwrite:
                raise HarnessError(
                    f"{folder} holds a finished result with other content; pass --overwrite to replace it, "
                    "or another --results folder to keep both"
                )
        staged.chmod(0o755)
        old_place = staged.with_name(f"{staged.name}-old")
        if folder.exists():
            folder.rename(old_place)
        staged.rename(folder)
        staged = None
        shutil.rmtree(old_place, ignore_errors=True)
    except OSError as error:
        raise HarnessError(
            f"cannot write the result to {folder}: {error.strerror or error}; the scores are kept in the store, "
            "so the same command with another --results folder takes seconds"
        ) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    return folder, True


def _write_files(
    folder: Path, record: ResultRecord, table: ScoreTable, arrays: Mapping[str, np.ndarray]
) -> ResultRecord:
    from safetensors.numpy import save_file

    table.to_parquet(folder / SAMPLES, index=False, compression="zstd")
    files: dict[str, FileRecord | None] = {
        "samples": FileRecord(path=SAMPLES, sha256=file_sha256(folder / SAMPLES), rows=len(table)),
        "arrays": None,
    }
    if arrays:
        save_file({k: np.ascontiguousarray(v) for k, v in sorted(arrays.items())}, folder / ARRAYS)
        files["arrays"] = FileRecord(path=ARRAYS, sha256=file_sha256(folder / ARRAYS))
    record = record.model_copy(update=files)
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULT).write_text(text + "\n", encoding="utf-8")
    return record


def content(record: ResultRecord) -> dict[str, object]:
    """What two records must share to be the same result: everything but when, where and by which versions it was made."""
    return record.model_dump(mode="json", exclude={"run", "environment", "arrays", "numerics", "examinations"})
