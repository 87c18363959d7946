"""A server on loopback, of chat completions above all, that misbehaves as it is told: real HTTP, standard library only.

    with serving(in_turn(status(429), answer("yes"))) as server:
        Client(endpoint_of(server), cache).ask(...)

A script is called with every request and says what is done about it; `server` remembers what came and what was paid for.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.llm.endpoint import Endpoint


@dataclass(frozen=True)
class Seen:
    """A request: its JSON body, the text of its last message or the JSON of its input, how many requests with that came before, and where."""

    body: dict[str, Any]
    question: str
    before: int
    path: str = ""

    @property
    def format(self) -> str:
        return self.body.get("response_format", {}).get("type", "text")


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Threads

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        told = self.server.told
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with told.lock:
            given = body.get("input", body.get("input_ids"))
            question = body["messages"][-1]["content"] if "messages" in body else json.dumps(given)
            seen = Seen(body, question, told.asked[question], self.path)
            told.asked[question] += 1
            told.bodies.append(body)
            told.seen.append(seen)
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.out += 1
            told.most_out = max(told.most_out, told.out)
        try:
            told.script(seen)(self, seen)
        finally:
            with told.lock:
                told.out -= 1

    def do_GET(self) -> None:
        found = self.server.told.pages.get(self.path)
        self.send(404 if found is None else 200, json.dumps(found).encode())

    def send(self, status: int, payload: bytes, headers: dict[str, str] | None = None, promised: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(promised or len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def complete(self, seen: Seen, completion: dict[str, Any]) -> None:
        """A completion that is paid for."""
        with self.server.told.lock:
            self.server.told.paid[seen.question] += 1
            self.server.told.out -= 1  # before the client can know, so that what it sends next is not counted beside it
        try:
            self.send(200, json.dumps(completion).encode())
        finally:
            with self.server.told.lock:
                self.server.told.out += 1


Act = Callable[[Connection, Seen], None]
Script = Callable[[Seen], Act]


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    told: LlmServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up early are part of the play."""


@dataclass
class LlmServer:
    """What came in and what was answered, by the text of the question."""

    script: Script
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    pages: dict[str, Any] = field(default_factory=dict)
    """What lies at an address that is read, by its path; anything else is not found."""
    out: int = 0
    most_out: int = 0
    lock: Any = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(script: Script | Act) -> Iterator[LlmServer]:
    """A server on a free port of loopback that follows `script`, or does one act for every request."""
    told = LlmServer(script if getattr(script, "is_script", False) else always(script))
    threads = _Threads(("127.0.0.1", 0), Connection)
    threads.told = told
    told.url = f"http://127.0.0.1:{threads.server_address[1]}/v1"
    thread = threading.Thread(target=threads.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        told.closing.set()
        threads.shutdown()
        thread.join()
        threads.server_close()


def endpoint_of(server: LlmServer, **changes: Any) -> Endpoint:
    """An endpoint on this server; four tries, a time-out of five seconds."""
    return Endpoint(**{"model": "m", "base_url": server.url, "max_retries": 3, "timeout_s": 5.0, **changes})


def script(choose: Callable[[Seen], Act]) -> Script:
    """Marks a function of a request as a script."""
    choose.is_script = True
    return choose


def always(act: Act) -> Script:
    return script(lambda seen: act)


def in_turn(*acts: Act) -> Script:
    """The first act for the first request with a text, the second for the second, the last one ever after."""
    return script(lambda seen: acts[min(seen.before, len(acts) - 1)])


def by_question(acts: dict[str, Act], other: Act | None = None) -> Script:
    """An act by the text of the question."""
    return script(lambda seen: acts.get(seen.question, other or answer()))


def completion(content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion of ten tokens on five."""
    said = {"role": "assistant", "content": content, **message}
    return {
        "id": "c", "object": "chat.completion", "created": 0, "model": "m", "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }  # fmt: skip


def answer(content: str | Callable[[Seen], str] = "fine", after: float = 0.0, finish: str = "stop") -> Act:
    """A completion with this content, `after` seconds."""

    def act(connection: Connection, seen: Seen) -> None:
        connection.server.told.closing.wait(after)
        connection.complete(seen, completion(content(seen) if callable(content) else content, finish))

    return act


def sending(body: dict[str, Any]) -> Act:
    """Any body with status 200, paid for."""
    return lambda connection, seen: connection.complete(seen, body)


def no_content() -> Act:
    return sending(completion(None))


def refusal(said: str = "I cannot help with that.") -> Act:
    return sending(completion(None, refusal=said))


def no_choices() -> Act:
    return sending({**completion(None), "choices": []})


def status(http: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any) -> Act:
    """An error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return lambda connection, seen: connection.send(http, body, headers)


def raw(body: bytes) -> Act:
    """These bytes with status 200."""
    return lambda connection, seen: connection.send(200, body)


def cut_body() -> Act:
    """Half of a completion's JSON as if it were all."""
    return raw(json.dumps(completion("fine")).encode()[:60])


def dropped() -> Act:
    """The connection closes in the middle of the body."""

    def act(connection: Connection, seen: Seen) -> None:
        whole = json.dumps(completion("fine")).encode()
        connection.send(200, whole[:60], promised=len(whole))
        connection.close_connection = True

    return act


def hung_up() -> Act:
    """The connection closes before the first byte."""

    def act(connection: Connection, seen: Seen) -> None:
        connection.close_connection = True

    return act


def slow(seconds: float = 3.0) -> Act:
    """Nothing at all for longer than the client waits."""

    def act(connection: Connection, seen: Seen) -> None:
        connection.server.told.closing.wait(seconds)
        connection.close_connection = True

    return act


def taking_only(*formats: str, content: str = '{"a": 1}') -> Script:
    """HTTP 400 on any other `response_format`; `text` is the absence of one."""
    refused = status(400, "This response_format is not supported.", param="response_format")
    return script(lambda seen: answer(content) if seen.format in formats else refused)
