"""The score store: SQLite, keyed by content, committed batch by batch, safe for several processes and for SIGKILL."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from harness.errors import HarnessError
from harness.wal import open_wal

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (key BLOB PRIMARY KEY, fingerprint TEXT, ids_hash BLOB, n_tokens INTEGER,
                                     truncated INTEGER, error TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, fingerprint TEXT, outputs BLOB, error TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS captures (key BLOB, what TEXT, fingerprint TEXT, data BLOB, PRIMARY KEY (key, what));
CREATE TABLE IF NOT EXISTS aggregates (key BLOB PRIMARY KEY, fingerprint TEXT, data BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (fingerprint TEXT PRIMARY KEY, name TEXT, description TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS examinations (fingerprint TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID;
"""
CHUNK = 900  # below SQLite's historic limit of 999 parameters a statement


@dataclass(frozen=True)
class StoredRequest:
    """What a unit became: the hash of its ids and their number, or the reason it could not be encoded."""

    ids_hash: bytes
    n_tokens: int
    truncated: bool
    error: str | None = None


@dataclass(frozen=True)
class StoredScore:
    """Raw head outputs float32 (heads,), or the reason there is no finite number."""

    outputs: np.ndarray | None
    error: str | None = None


def default_path() -> Path:
    """`$REWARD_HARNESS_STORE`, or `scores.sqlite` in the platform's cache folder."""
    named = os.environ.get("REWARD_HARNESS_STORE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("reward-harness")) / "scores.sqlite"


def score_key(fingerprint: str, ids_hash: bytes, condition: str = "none", replicate: int = 0) -> bytes:
    """Sha256 of everything a score depends on: who scores, which ids, under what intervention, which replicate."""
    return hashlib.sha256(f"{fingerprint}|{ids_hash.hex()}|{condition}|{replicate}".encode()).digest()


class ScoreStore:
    """Scores, captures and file hashes on disk. Everything is written with INSERT OR REPLACE, so doing work twice is harmless."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        with self._readable():
            self._db = open_wal(self.path, SCHEMA)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise HarnessError(
                f"the score store {self.path} cannot be used: {error}; free some space or name another file with --store. "
                "What was committed is kept."
            ) from error

    def _write(self, sql: str, rows: Iterable[tuple]) -> None:
        with self._readable():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(sql, rows)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _select(self, sql: str, keys: Sequence[bytes], *more: str) -> Iterator[tuple]:
        with self._readable():
            for start in range(0, len(keys), CHUNK):
                part = keys[start : start + CHUNK]
                yield from self._db.execute(sql.format(",".join("?" * len(part))), (*part, *more))

    def requests(self, keys: Sequence[bytes]) -> dict[bytes, StoredRequest]:
        """Known encodings by request key."""
        sql = "SELECT key, ids_hash, n_tokens, truncated, error FROM requests WHERE key IN ({})"
        return {k: StoredRequest(h, n, bool(t), e) for k, h, n, t, e in self._select(sql, keys)}

    def put_requests(self, fingerprint: str, rows: dict[bytes, StoredRequest]) -> None:
        """Remember encodings."""
        values = ((k, fingerprint, r.ids_hash, r.n_tokens, int(r.truncated), r.error) for k, r in rows.items())
        self._write("INSERT OR REPLACE INTO requests VALUES (?,?,?,?,?,?)", values)

    def scores(self, keys: Sequence[bytes]) -> dict[bytes, StoredScore]:
        """Known scores by score key."""
        sql = "SELECT key, outputs, error FROM scores WHERE key IN ({})"
        return {
            k: StoredScore(None if o is None else np.frombuffer(o, "<f4"), e) for k, o, e in self._select(sql, keys)
        }

    def put_scores(self, fingerprint: str, rows: dict[bytes, StoredScore]) -> None:
        """Commit a batch of scores."""
        values = (
            (k, fingerprint, None if s.outputs is None else s.outputs.astype("<f4").tobytes(), s.error)
            for k, s in rows.items()
        )
        self._write("INSERT OR REPLACE INTO scores VALUES (?,?,?,?)", values)

    def captures(self, keys: Sequence[bytes], what: str) -> dict[bytes, np.ndarray]:
        """Known captures of one kind by score key."""
        sql = "SELECT key, data FROM captures WHERE key IN ({}) AND what = ?"
        return {k: np.frombuffer(d, "<f4") for k, d in self._select(sql, keys, what)}

    def put_captures(self, fingerprint: str, what: str, rows: dict[bytes, np.ndarray]) -> None:
        """Commit a batch of captures."""
        values = ((k, what, fingerprint, v.astype("<f4").tobytes()) for k, v in rows.items())
        self._write("INSERT OR REPLACE INTO captures VALUES (?,?,?,?)", values)

    def aggregate(self, key: bytes) -> dict[str, np.ndarray] | None:
        """Named arrays that were computed over a whole set of texts, or None."""
        from safetensors.numpy import load

        rows = list(self._select("SELECT data FROM aggregates WHERE key IN ({})", [key]))
        return load(rows[0][0]) if rows else None

    def put_aggregate(self, fingerprint: str, key: bytes, arrays: dict[str, np.ndarray]) -> None:
        """Remember what was computed over a set of texts."""
        from safetensors.numpy import save

        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        self._write("INSERT OR REPLACE INTO aggregates VALUES (?,?,?)", [(key, fingerprint, save(whole))])

    def description(self, fingerprint: str) -> dict[str, object] | None:
        """What a model said of itself when it was last loaded."""
        with self._readable():
            sql = "SELECT description FROM models WHERE fingerprint = ?"
            row = self._db.execute(sql, (fingerprint,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put_description(self, fingerprint: str, name: str, description: dict[str, object]) -> None:
        """Remember what a loaded model says of itself."""
        self._write("INSERT OR REPLACE INTO models VALUES (?,?,?)", [(fingerprint, name, json.dumps(description))])

    def examination(self, fingerprint: str) -> dict[str, Any] | None:
        """What a doctor last found of a model, or None."""
        with self._readable():
            sql = "SELECT data FROM examinations WHERE fingerprint = ?"
            row = self._db.execute(sql, (fingerprint,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put_examination(self, fingerprint: str, data: Mapping[str, Any]) -> None:
        """Remember what a doctor found."""
        self._write("INSERT OR REPLACE INTO examinations VALUES (?,?)", [(fingerprint, json.dumps(data))])

    def file_sha256(self, path: Path) -> str:
        """Sha256 of a file's bytes, memoised by path, size and modification time."""
        stat = path.stat()
        known = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        sql = "SELECT sha256 FROM files WHERE path = ? AND size = ? AND mtime_ns = ?"
        with self._readable():
            row = self._db.execute(sql, known).fetchone()
        if row is None:
            with path.open("rb") as file:
                row = (hashlib.file_digest(file, "sha256").hexdigest(),)
            self._write("INSERT OR REPLACE INTO files VALUES (?,?,?,?)", [(*known, row[0])])
        return str(row[0])

    def info(self) -> list[dict[str, object]]:
        """One row a model: name, fingerprint, stored scores, captures."""
        sql = """SELECT fingerprint, (SELECT name FROM models m WHERE m.fingerprint = s.fingerprint), COUNT(*),
                 (SELECT COUNT(*) FROM captures c WHERE c.fingerprint = s.fingerprint)
                 FROM scores s GROUP BY fingerprint ORDER BY 2, 1"""
        with self._readable():
            rows = self._db.execute(sql).fetchall()
        return [dict(zip(("fingerprint", "model", "scores", "captures"), r, strict=True)) for r in rows]

    def clear(self) -> int:
        """Forget everything; returns how many scores there were."""
        with self._readable():
            n = int(self._db.execute("SELECT COUNT(*) FROM scores").fetchone()[0])
            for table in ("requests", "scores", "captures", "aggregates", "models", "examinations", "files"):
                self._db.execute(f"DELETE FROM {table}")
            self._db.execute("VACUUM")
        return n

    def close(self) -> None:
        """Close the database file."""
        self._db.close()
