"""SQLite files that several processes write at once: opened in one way, by the score store and the cache of replies."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

PREPARE = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
PATIENCE_S = 60.0
"""How long a process waits for another one's write."""


def open_wal(path: Path, schema: str, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """A connection in WAL mode whose statements commit one by one; the folder and the tables of `schema` are made where missing.

    Raises OSError or sqlite3.Error where the file cannot be used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=check_same_thread)
    prepare(db, schema)
    return db


def prepare(db: sqlite3.Connection, schema: str) -> None:
    """Turn the file to WAL and make its tables, waiting where another process is doing the same."""
    # SQLite does not wait its time-out when two processes turn a new file to WAL at once: one of them is told `busy`.
    patience = time.monotonic() + PATIENCE_S
    while True:
        try:
            db.executescript(PREPARE + schema)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.02)
