"""The files of a batch: requests as JSON lines in shards that the API takes, and results read line by line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from harness.llm.ask import Mode

MAX_REQUESTS = 50_000
MAX_BYTES = 180_000_000
"""Of one file. OpenAI takes 200 MB and counts in ways of its own."""

URL: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class Shard:
    """One file to send: its bytes, and the cache key behind each `custom_id`."""

    content: bytes
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """One result: a chat completion's body, or else the HTTP status (None: never sent), the error's code and its words."""

    custom_id: str
    body: Mapping[str, Any] | None
    status: int | None = None
    code: str | None = None
    said: str = ""


def custom_id(key: str, mode: Mode) -> str:
    """A name for a cache key that a batch takes (64 characters at most): 32 hex digits of its sha256, and the mode."""
    return f"{hashlib.sha256(key.encode()).hexdigest()[:32]}-{mode}"


def mode_of(name: str) -> Mode:
    """The mode in a `custom_id`."""
    return cast(Mode, name.partition("-")[2])


def shards(
    requests: Iterable[tuple[str, Mode, Mapping[str, Any]]], most: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> Iterator[Shard]:
    """Files for requests (cache key, mode, body), each of at most `most` lines and `max_bytes` bytes; no line is split."""
    lines: list[bytes] = []
    keys: dict[str, str] = {}
    size = 0
    for key, mode, body in requests:
        name = custom_id(key, mode)
        line = json.dumps({"custom_id": name, "method": "POST", "url": URL, "body": body}).encode() + b"\n"
        if lines and (len(lines) >= most or size + len(line) > max_bytes):
            yield Shard(b"".join(lines), keys)
            lines, keys, size = [], {}, 0
        lines.append(line)
        keys[name] = key
        size += len(line)
    if lines:
        yield Shard(b"".join(lines), keys)


def read_lines(content: bytes) -> Iterator[Line | None]:
    """The results in an output or error file; None for a line that is none (cut off, not JSON, another shape)."""
    return (_line(text) for text in content.splitlines() if text.strip())


def _line(text: bytes) -> Line | None:
    try:
        data = json.loads(text)
        response = data.get("response") or {}
        name, status, body = str(data["custom_id"]), response.get("status_code"), response.get("body")
        if status == 200:
            return Line(name, body or {}, status)
        error = data.get("error") or (body or {}).get("error") or {}
        said = " ".join(str(error[part]) for part in ("message", "param") if error.get(part))
        return Line(name, None, status, error.get("code"), said)
    except (ValueError, AttributeError, KeyError, RecursionError):
        return None
