"""One question over an open connection: tried again where that can help, given up where it cannot."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from harness.errors import HarnessError, InputError
from harness.llm.ask import Ask, Failure, Mode, Reply
from harness.llm.cache import place
from harness.llm.cost import prompt_tokens
from harness.llm.endpoint import Endpoint
from harness.llm.limits import Backoff, Bucket, Sleep, retry_after
from harness.llm.wire import MalformedError, Wire

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent to a server of one's own where no key is set: the library wants one, such servers want none."""
PASSING_STATUS = (408, 409, 429)
"""Statuses below 500 that another try may not meet."""
HOPELESS: Mapping[int | str, str] = {
    401: "does not accept the key: put a valid one into the environment variable {env}",
    402: "wants to be paid first: top up the account that the key in {env} belongs to",
    403: "forbids the request: check that the key in {env} may use {model}",
    404: "does not know the model {model}, or not the address: correct model or base_url in the endpoint's file (base_url "
    "often ends in /v1)",
    "model_not_found": "does not know the model {model}: correct it in the endpoint's file",
    "insufficient_quota": "says that the quota is used up: top up the account that the key in {env} belongs to",
}
"""What no question can succeed after, by status or error code."""
SHOWN = 300
"""Characters of a complaint that are kept."""
BACKOFF = Backoff()


def connection(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments of `openai.OpenAI` or `openai.AsyncOpenAI` for an endpoint: without retries, which are ours.

    Raises InputError where no key is set for OpenAI's own endpoint, where it can be none, and where the address is none or
    holds a secret.
    """
    secret = os.environ.get(endpoint.api_key_env, "").strip()
    address = endpoint.base_url or OPENAI
    if not secret and endpoint.base_url is None:
        raise InputError(
            f"no key for {endpoint.model}: the environment variable {endpoint.api_key_env} is not set. Type "
            f"`export {endpoint.api_key_env}=...` first, or name another variable as api_key_env in the endpoint's file"
        )
    if not (secret.isascii() and secret.isprintable()):
        raise InputError(
            f"the environment variable {endpoint.api_key_env} holds no key: there are characters in it that no key has. "
            f"Type `export {endpoint.api_key_env}=...` with the key alone"
        )
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query:
        raise InputError(
            f"the base_url of {endpoint.model} cannot be used: expected an address such as http://localhost:8000/v1, "
            "without a user, a password or a query; a key belongs into the environment variable that api_key_env names"
        )
    return {"base_url": address, "api_key": secret or NO_KEY, "timeout": endpoint.timeout_s, "max_retries": 0}


def hopeless(endpoint: Endpoint, error: APIStatusError) -> HarnessError | None:
    """The error that ends a whole run where no question can succeed after this answer, else None.

    Nothing the server said is quoted: it may hold a part of the key.
    """
    why = HOPELESS.get(error.code or "") or HOPELESS.get(error.status_code)
    if why is None:
        return None
    told = why.format(env=endpoint.api_key_env, model=endpoint.model)
    return HarnessError(f"{place(endpoint)} {told}. It answered HTTP {error.status_code}; every reply so far is kept")


def complaint(error: APIStatusError, secret: str) -> str:
    """What a server says is wrong with a request: its message and parameter, never the question or the key."""
    body = error.body if isinstance(error.body, Mapping) else {}
    said = body.get("message") or body.get("detail") or ""
    if isinstance(said, list):  # FastAPI's list of faults, each of which quotes what was sent
        faults = [fault for fault in said if isinstance(fault, Mapping)]
        said = "; ".join(f"{fault.get('loc')}: {fault.get('msg')}" for fault in faults)
    parameter = f" ({body['param']})" if body.get("param") else ""
    return f"HTTP {error.status_code}: {str(said).replace(secret, '[key]')[:SHOWN]}{parameter}"


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("the body is no JSON") from None


@dataclass(frozen=True)
class Setback:
    """A try that failed and may be made again: why, and the seconds that the server asks to wait."""

    why: str
    wait: float | None = None


class Pace:
    """Both limits of an endpoint, on requests and on tokens a minute."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float], sleep: Sleep) -> None:
        self._requests = Bucket(endpoint.requests_per_minute, clock, sleep)
        self._tokens = Bucket(endpoint.tokens_per_minute, clock, sleep)

    async def take(self, tokens: int) -> None:
        """Wait until a request of so many tokens may go."""
        await self._requests.take(1)
        await self._tokens.take(tokens)

    def correct(self, surplus: int) -> None:
        """Give back tokens that were taken and not used."""
        self._tokens.correct(surplus)

    def hold(self, seconds: float) -> None:
        """Send nothing for this long: the server said so to one, and means all."""
        self._requests.hold(seconds)


class Sender:
    """Sends single questions and tries again: every fault becomes a reply, but those after which nothing can succeed."""

    def __init__(
        self,
        endpoint: Endpoint,
        http: AsyncOpenAI,
        pace: Pace,
        sleep: Sleep,
        rng: np.random.Generator,
        sent: Callable[[], None],
        wire: Wire,
    ) -> None:
        self._endpoint = endpoint
        self._http = http
        self._pace = pace
        self._sleep = sleep
        self._rng = rng
        self._sent = sent
        self._wire = wire

    async def send(self, ask: Ask, mode: Mode) -> Reply:
        """The reply to `ask` in this mode. Raises HarnessError where no question can succeed (`HOPELESS`)."""
        limit = ask.max_tokens or self._endpoint.max_tokens
        foreseen = prompt_tokens(self._endpoint, ask) + limit
        why = ""
        for attempt in range(self._endpoint.max_retries + 1):
            await self._pace.take(foreseen)
            start = time.monotonic()
            outcome = await self._try(ask, mode)
            if isinstance(outcome, Reply):
                used = outcome.usage.prompt_tokens + outcome.usage.completion_tokens
                if used:
                    self._pace.correct(foreseen - used)
                return replace(outcome, id=ask.id, mode=mode, seconds=time.monotonic() - start)
            why = outcome.why
            if attempt < self._endpoint.max_retries:
                await self._wait(attempt, outcome.wait)
        tries = self._endpoint.max_retries + 1
        return Reply(ask.id, None, "unreachable", f"{why}, tries: {tries}", mode=mode)

    async def _wait(self, attempt: int, asked: float | None) -> None:
        seconds = BACKOFF.wait(attempt, self._rng, asked)
        if asked is not None:
            self._pace.hold(seconds)
        await self._sleep(seconds)

    async def _try(self, ask: Ask, mode: Mode) -> Reply | Setback:
        import openai

        self._sent()
        try:
            body = self._wire.body(self._endpoint, ask, mode)
            return self._wire.read(_parsed(await self._http.post(self._wire.path, body=body, cast_to=str)))
        except openai.APIStatusError as error:
            return self._status(error)
        except openai.APITimeoutError:
            return Setback(f"no answer within {self._endpoint.timeout_s:g} s")
        except openai.APIConnectionError as error:
            return Setback(f"the connection failed ({type(error.__cause__).__name__})")
        except MalformedError as error:
            return Setback(str(error))

    def _status(self, error: APIStatusError) -> Reply | Setback:
        status = error.status_code
        end = hopeless(self._endpoint, error)
        if end is not None:
            raise end from None
        if status >= 500 or status in PASSING_STATUS:
            asked = retry_after(error.response.headers.get("retry-after"), datetime.now(UTC))
            return Setback(f"HTTP {status}", asked)
        # Azure answers with an error where its filter stops the question, and not the reply.
        failure: Failure = "filtered" if error.code == "content_filter" else "rejected"
        return Reply("", None, failure, complaint(error, str(self._http.api_key)))
