"""A batch API on loopback that misbehaves as it is told: real HTTP, files and batches as OpenAI's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Where = str
"""`output`, `expired`, `nowhere`, or an error by `ERRORS`: `refused` and `no model` of the request, `busy` of the server,
`nonsense` a success that is no completion."""
ERRORS = {"refused": 400, "no model": 404, "busy": 429, "nonsense": 200}


@dataclass
class Script:
    """What goes wrong. Lists are used up from the front; what is not said goes well."""

    ends: list[str] = field(default_factory=list)
    """How each batch ends, in order of creation."""
    where: Callable[[int, int], Where] = lambda batch, row: "output"
    """Where the answer to a row of a batch goes."""
    polls: int = 1
    """How often a batch says `in_progress` before it ends."""
    poll_errors: list[int] = field(default_factory=list)
    create_errors: list[int] = field(default_factory=list)
    retry_after: int | None = None
    """Seconds that every error asks to wait."""
    lost_creates: int = 0
    """Batches that are made while the connection drops before the reply."""
    dropped_downloads: int = 0
    tail: bytes = b""
    """Appended to every output file."""
    twice: bool = False
    """Every line of an output file comes twice."""
    echo_key: bool = False
    """Every error repeats the key it was sent, as real servers do in part."""


@dataclass
class BatchServer:
    """What it was sent and what it answered: `paid` are the questions it answered, once per answer."""

    script: Script
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    polled: int = 0
    keys: set[str] = field(default_factory=set)
    """The `Authorization` of every request."""

    def rows(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def store(self, content: bytes) -> str:
        """Keeps a file; returns its id."""
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Makes a batch and answers it at once; polls decide when that is told."""
        number = len(self.batches)
        end = self.script.ends.pop(0) if self.script.ends else "completed"
        batch = {
            "id": f"batch-{number}", "object": "batch", "status": end, "created_at": number, "polls": self.script.polls,
            **{name: wanted[name] for name in ("endpoint", "completion_window", "input_file_id")},
        }  # fmt: skip
        self.batches.append(batch)
        output, errors = [], []
        for row, request in enumerate(self.rows(batch)):
            where = "nowhere" if end == "failed" else self.script.where(number, row)
            if where == "output":
                self.paid.append(request["body"]["messages"][-1]["content"])
                output.append(_answer(request))
            said = f"{where} by the server {self.script.echo_key and self.keys}"
            errors += [_error(request, where, said)] if where not in ("output", "nowhere") else []
        if end == "failed":
            said = f"no such model {self.script.echo_key and self.keys}"
            batch["errors"] = {"object": "list", "data": [{"code": "invalid_file", "message": said}]}
        batch["output"] = _jsonl(output[::-1] * (2 if self.script.twice else 1)) + self.script.tail
        batch["error"] = _jsonl(errors)
        return batch

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch as its poll tells it."""
        told = {name: value for name, value in batch.items() if name not in ("polls", "output", "error")}
        total = len(self.rows(batch))
        if batch["polls"] > 0:
            batch["polls"] -= 1
            counts = {"total": total, "completed": 0, "failed": 0}
            return told | {"status": "in_progress", "errors": None, "request_counts": counts}
        for name in ("output", "error"):
            if batch[name] and f"{name}_file_id" not in batch:
                batch[f"{name}_file_id"] = told[f"{name}_file_id"] = self.store(batch[name])
        return told | {"request_counts": {"total": total, "completed": total, "failed": 0}}


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """One line of an output file: the answer repeats the last message."""
    message = {"role": "assistant", "content": f"answer to {request['body']['messages'][-1]['content']}"}
    completion = {
        "id": "c", "object": "chat.completion", "created": 0, "model": request["body"]["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, "system_fingerprint": "fp",
    }  # fmt: skip
    response = {"status_code": 200, "request_id": "r", "body": completion}
    return {"id": "x", "custom_id": request["custom_id"], "response": response, "error": None}


def _error(request: dict[str, Any], where: Where, said: str) -> dict[str, Any]:
    """One line of an error file."""
    line = {"id": "x", "custom_id": request["custom_id"], "response": None, "error": None}
    if where == "expired":
        return line | {"error": {"code": "batch_expired", "message": "This request could not be executed in time."}}
    body = {"error": {"message": said, "code": where}}
    return line | {"response": {"status_code": ERRORS[where], "request_id": "r", "body": body}}


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        mine, body = self.server.mine, self.rfile.read(int(self.headers["Content-Length"]))
        mine.keys.add(self.headers["Authorization"])
        if self.path == "/v1/files":
            return self._json({"id": mine.store(_uploaded(body, self.headers["Content-Type"])), "object": "file",
                               "bytes": 0, "created_at": 0, "filename": "f", "purpose": "batch", "status": "processed"})  # fmt: skip
        if mine.script.create_errors:
            return self._fail(mine.script.create_errors.pop(0))
        batch = mine.create(json.loads(body))
        if mine.script.lost_creates > 0:
            mine.script.lost_creates -= 1
            return self._drop()
        return self._json(mine.shown(batch | {"polls": 1}))

    def do_GET(self) -> None:
        mine, (kind, *rest) = self.server.mine, self.path.partition("?")[0].removeprefix("/v1/").split("/")
        if kind == "files":
            return self._download(mine.files[rest[0]])
        if not rest:
            data = [mine.shown(batch | {"polls": 1}) for batch in reversed(mine.batches)]
            return self._json({"object": "list", "data": data, "has_more": False})
        mine.polled += 1
        if mine.script.poll_errors:
            return self._fail(mine.script.poll_errors.pop(0))
        found = [batch for batch in mine.batches if batch["id"] == rest[0]]
        return self._json(mine.shown(found[0])) if found else self._fail(404)

    def _download(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.mine.script.dropped_downloads > 0:
            self.server.mine.script.dropped_downloads -= 1
            self.wfile.write(content[: len(content) // 2])
            return self._drop()
        self.wfile.write(content)

    def _drop(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def _fail(self, status: int) -> None:
        key = self.headers["Authorization"] if self.server.mine.script.echo_key else ""
        self._json({"error": {"message": f"status {status} {key}", "code": "told"}}, status)

    def _json(self, data: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 200 and self.server.mine.script.retry_after is not None:
            self.send_header("Retry-After", str(self.server.mine.script.retry_after))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def _uploaded(body: bytes, content_type: str) -> bytes:
    """The file of a multipart form."""
    boundary = b"--" + content_type.partition("boundary=")[2].strip('"').encode()
    (part,) = [part for part in body.split(boundary) if b'name="file"' in part]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


@contextmanager
def serving(script: Script | None = None) -> Iterator[BatchServer]:
    """A running server on a free port; stopped at the end."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.mine = BatchServer(script or Script(), f"http://127.0.0.1:{http.server_address[1]}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield http.mine
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
