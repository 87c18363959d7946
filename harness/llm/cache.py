"""Replies of language models on disk: SQLite, committed one by one, so that a killed run never pays twice."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from harness.errors import HarnessError
from harness.llm.ask import Ask, Failure, Mode, Reply, Usage
from harness.llm.endpoint import Endpoint
from harness.llm.ladder import rungs
from harness.preference import canonical_json
from harness.wal import open_wal

SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT, failure TEXT, detail TEXT, prompt_tokens INTEGER,
                                    completion_tokens INTEGER, seconds REAL, fingerprint TEXT, mode TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS modes (endpoint TEXT PRIMARY KEY, mode TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (batch TEXT PRIMARY KEY, endpoint TEXT, keys TEXT) WITHOUT ROWID;
"""
CHUNK = 900  # below SQLite's historic limit of 999 parameters a statement
PASSING: tuple[Failure, ...] = ("unreachable", "expired", "not_asked")
"""Failures that the next run may not meet again: they are not stored."""


def default_path() -> Path:
    """`$REWARD_HARNESS_LLM_CACHE`, or `replies.sqlite` in the platform's cache folder."""
    named = os.environ.get("REWARD_HARNESS_LLM_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("reward-harness")) / "replies.sqlite"


def place(endpoint: Endpoint) -> str:
    """Where an endpoint is, without what may be secret in its address: `openai`, or scheme, host, port and path."""
    if endpoint.base_url is None:
        return "openai"
    parts = urlsplit(endpoint.base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"


def endpoint_name(endpoint: Endpoint) -> str:
    """One model at one place: what a mode and the batches are remembered under."""
    return f"{endpoint.model} at {place(endpoint)}"


def question(endpoint: Endpoint, ask: Ask) -> str:
    """Sha256 of all that decides a reply but the mode: equal questions have one, whatever their ids are."""
    # A model writes the fields of a schema in their order, so the schema goes in unsorted.
    schema = None if ask.schema is None else json.dumps(dict(ask.schema), ensure_ascii=False, separators=(",", ":"))
    decides = {
        "model": endpoint.model,
        "place": place(endpoint),
        "temperature": endpoint.temperature,
        "seed": endpoint.seed,
        "max_tokens": ask.max_tokens or endpoint.max_tokens,
        "turns": [[turn.role, turn.content] for turn in ask.turns],
        "schema": schema,
        "schema_name": None if schema is None else ask.schema_name,
        "repeat": ask.repeat,
    }
    return hashlib.sha256(canonical_json(decides).encode("utf-8", "surrogatepass")).hexdigest()


def key(endpoint: Endpoint, ask: Ask, mode: Mode) -> str:
    """Sha256 of everything that decides a reply: model, place, sampling, turns, schema, repeat and mode.

    The API key, the ask's id, limits, prices and time-outs are no part of it.
    """
    return _in_mode(question(endpoint, ask), mode)


def _in_mode(asked: str, mode: Mode) -> str:
    return hashlib.sha256(f"{asked}|{mode}".encode()).hexdigest()


class ReplyCache:
    """Final replies, the mode each endpoint takes, and the batches that are out. Safe for several processes and SIGKILL."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path) if path else default_path()
        # A notebook asks from a second thread, while the first one waits for it.
        self._lock = threading.Lock()
        with self._readable():
            self._db = open_wal(self.path, SCHEMA, check_same_thread=False)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise HarnessError(
                f"the cache of replies {self.path} cannot be used: {error}; free some space, or name another file with "
                "REWARD_HARNESS_LLM_CACHE. What was committed is kept."
            ) from error

    def _execute(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._readable():
            return self._db.execute(sql, values).fetchall()

    def get(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Stored replies by key, marked as cached; their `id` is empty, for the caller to set."""
        wanted = list(keys)
        found = {}
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            for row in self._execute(f"SELECT * FROM replies WHERE key IN ({','.join('?' * len(part))})", part):
                of, text, failure, detail, n_in, n_out, seconds, fingerprint, mode = row
                usage = Usage(n_in, n_out)
                found[of] = Reply("", text, failure, detail, usage, seconds, fingerprint, mode, cached=True)
        return found

    def find(self, endpoint: Endpoint, asks: Iterable[Ask]) -> dict[str, Reply]:
        """Stored replies by the asks' ids, in whichever mode counts for each (`harness.llm.ladder.rungs`)."""
        remembered = self.mode(endpoint)
        wanted: dict[str, list[str]] = {}
        for ask in asks:
            asked = question(endpoint, ask)
            wanted[ask.id] = [_in_mode(asked, mode) for mode in rungs(endpoint, ask, remembered)]
        stored = self.get({of for keys in wanted.values() for of in keys})
        hits = {name: next((stored[of] for of in keys if of in stored), None) for name, keys in wanted.items()}
        return {name: replace(reply, id=name) for name, reply in hits.items() if reply is not None}

    def put(self, of: str, reply: Reply) -> None:
        """Commit a reply at once. The first one stays, and a failure that may pass is not stored."""
        if reply.failure in PASSING:
            return
        usage = reply.usage
        values = (of, reply.text, reply.failure, reply.detail, usage.prompt_tokens, usage.completion_tokens)
        sql = "INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?,?,?,?,?)"
        self._execute(sql, (*values, reply.seconds, reply.fingerprint, reply.mode))

    def mode(self, endpoint: Endpoint) -> Mode | None:
        """How this endpoint is known to take questions for JSON; None: not tried yet."""
        rows = self._execute("SELECT mode FROM modes WHERE endpoint = ?", (endpoint_name(endpoint),))
        return rows[0][0] if rows else None

    def remember_mode(self, endpoint: Endpoint, mode: Mode) -> None:
        """Remember how this endpoint takes questions for JSON."""
        self._execute("INSERT OR REPLACE INTO modes VALUES (?,?)", (endpoint_name(endpoint), mode))

    def save_batch(self, batch_id: str, endpoint: Endpoint, keys: Mapping[str, str]) -> None:
        """Remember a batch that was sent: the cache key of each of its requests by `custom_id`."""
        self._execute(
            "INSERT OR REPLACE INTO batches VALUES (?,?,?)", (batch_id, endpoint_name(endpoint), json.dumps(dict(keys)))
        )

    def open_batches(self, endpoint: Endpoint) -> dict[str, dict[str, str]]:
        """Batches of an endpoint that are not closed: cache key by `custom_id`, by the batch's id."""
        rows = self._execute("SELECT batch, keys FROM batches WHERE endpoint = ?", (endpoint_name(endpoint),))
        return {batch: json.loads(keys) for batch, keys in rows}

    def close_batch(self, batch_id: str) -> None:
        """Forget a batch: all its replies are stored or will be asked for again."""
        self._execute("DELETE FROM batches WHERE batch = ?", (batch_id,))

    def close(self) -> None:
        """Close the database file."""
        self._db.close()
