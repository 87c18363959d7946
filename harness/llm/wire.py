"""What goes over the wire: where a question is sent, the body of the request, and the reply in the body that comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.llm.ask import Ask, Failure, Mode, Reply, Usage
from harness.llm.endpoint import Endpoint


class MalformedError(ValueError):
    """A body that is no answer."""


@dataclass(frozen=True)
class Wire:
    """One kind of question: `path` below the endpoint's address, or a whole address; the JSON `body` of a request; and what
    `read` finds in the JSON that comes back, with an empty id. It raises MalformedError where that is no answer.
    """

    path: str
    body: Callable[[Endpoint, Ask, Mode], dict[str, Any]]
    read: Callable[[object], Reply]


def _strict(ask: Ask) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": ask.schema_name, "strict": True, "schema": dict(ask.schema or {})},
    }


FORMATS: Mapping[Mode, Callable[[Ask], dict[str, Any]]] = {
    "json_schema": lambda ask: {"response_format": _strict(ask)},
    "json_object": lambda ask: {"response_format": {"type": "json_object"}},
    "text": lambda ask: {},
}


def request_body(endpoint: Endpoint, ask: Ask, mode: Mode) -> dict[str, Any]:
    """The JSON body of a chat completion request. The seed sent is the endpoint's plus the ask's repeat."""
    # OpenAI's newer models refuse `max_tokens`; the servers that imitate it do not all know the newer name.
    limit = "max_completion_tokens" if endpoint.base_url is None else "max_tokens"
    seed = {} if endpoint.seed is None else {"seed": endpoint.seed + ask.repeat}
    return {
        "model": endpoint.model,
        "messages": [{"role": turn.role, "content": sendable(turn.content)} for turn in ask.turns],
        "temperature": endpoint.temperature,
        limit: ask.max_tokens or endpoint.max_tokens,
        **seed,
        **FORMATS[mode](ask),
    }


def sendable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot carry, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def read_completion(body: object) -> Reply:
    """The reply in a chat completion's body, with an empty id. Raises MalformedError where it is none."""
    if not isinstance(body, Mapping) or "choices" not in body:
        raise MalformedError("the body is no chat completion")
    try:
        said = _first(body["choices"] or [])
        usage = body.get("usage") or {}
        counted = Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        raise MalformedError(f"the chat completion is malformed ({type(error).__name__})") from None
    text, failure, detail = said
    fingerprint = body.get("system_fingerprint")
    return Reply("", text, failure, detail, counted, fingerprint=None if fingerprint is None else str(fingerprint))


def _first(choices: list[Any]) -> tuple[str | None, Failure | None, str | None]:
    """Text, failure and detail of the first choice."""
    if not choices:
        return None, "empty", "no choice came back"
    choice = choices[0]
    message, finish = choice.get("message") or {}, choice.get("finish_reason")
    if finish == "content_filter":
        return None, "filtered", "a content filter stopped the reply"
    if message.get("refusal"):
        return None, "refused", sendable(str(message["refusal"]))
    if finish == "length":
        return None, "cut", "the reply reached its limit of tokens: raise max_tokens in the endpoint's file"
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise TypeError("content is no text")
    if content is None or not content.strip():
        return None, "empty", "the reply has no content"
    return sendable(content), None, None


CHAT = Wire("/chat/completions", request_body, read_completion)
"""A chat completion."""
