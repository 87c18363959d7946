"""The calls of a Batch API: patient with a server that is busy, and no batch is made twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from harness.errors import HarnessError
from harness.llm.batch_file import URL
from harness.llm.cache import place
from harness.llm.endpoint import Endpoint
from harness.llm.limits import Backoff, retry_after
from harness.llm.send import PASSING_STATUS, complaint, connection, hopeless

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import Batch

T = TypeVar("T")

LISTED = 500
"""How many of the latest batches are looked through for one whose making was not heard of."""

PATIENCE = Backoff(first=5.0, longest=300.0)
"""A batch takes hours: a server that is away for minutes is waited for."""

KEPT = "Batches that are on their way are remembered: the same command picks them up, and nothing is paid for again"


class BatchApi:
    """Files and batches of one endpoint. `sleep` waits for seconds, `rng` draws the jitter of the waits.

    Every method raises HarnessError where the server refuses, or is still busy or out of reach after the endpoint's
    `max_retries`. Making one raises InputError where the endpoint has no key or no usable address.
    """

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None], rng: np.random.Generator) -> None:
        from openai import OpenAI

        self._endpoint = endpoint
        self._http = OpenAI(**connection(endpoint))
        self._sleep = sleep
        self._rng = rng

    def upload(self, content: bytes) -> str:
        """Send the file of a batch; its id."""
        return self._patiently(lambda: self._http.files.create(file=("batch.jsonl", content), purpose="batch")).id

    def create(self, file: str) -> str:
        """Make the one batch of an uploaded file; its id. A reply that got lost is no reason to make it again."""
        return self._patiently(lambda: self._create(file), after_failure=lambda: self._latest(file))

    def made_of(self, file: str) -> str | None:
        """The id of the batch of an uploaded file; None if it was never made."""
        return self._patiently(lambda: self._latest(file))

    def state(self, batch: str) -> Batch | None:
        """What the server says of a batch; None where it is gone."""
        return self._patiently(lambda: _unless_gone(lambda: self._http.batches.retrieve(batch)))

    def content(self, file: str) -> bytes:
        """The whole of a file; nothing where it is gone, as files are after a month."""
        return self._patiently(lambda: _unless_gone(lambda: self._http.files.content(file).content)) or b""

    def hide(self, said: str) -> str:
        """The words without the key."""
        return said.replace(str(self._http.api_key), "[key]")

    def _create(self, file: str) -> str:
        return self._http.batches.create(input_file_id=file, endpoint=URL, completion_window="24h").id

    def _latest(self, file: str) -> str | None:
        listed = islice(self._http.batches.list(limit=100), LISTED)
        return next((batch.id for batch in listed if batch.input_file_id == file), None)

    def _patiently(self, call: Callable[[], T], after_failure: Callable[[], T | None] = lambda: None) -> T:
        """What `call` gives, again after a failure that may pass; then what `after_failure` gives, if anything, comes first."""
        import openai

        for attempt in range(self._endpoint.max_retries + 1):
            try:
                found = after_failure() if attempt else None
                return call() if found is None else found
            except openai.APIStatusError as error:
                self._give_up_if_final(error)
                why, asked = f"HTTP {error.status_code}", error.response.headers.get("retry-after")
            except openai.APIConnectionError as error:
                why, asked = type(error.__cause__ or error).__name__, None
            if attempt < self._endpoint.max_retries:
                asked_s = retry_after(asked, datetime.now(UTC))
                self._sleep(PATIENCE.wait(attempt, self._rng, asked_s))
        tries = self._endpoint.max_retries + 1
        raise HarnessError(
            f"{place(self._endpoint)} does not answer ({why}, tries: {tries}): check that it is up and run again. {KEPT}"
        )

    def _give_up_if_final(self, error: APIStatusError) -> None:
        if end := hopeless(self._endpoint, error):
            raise end from None
        if error.status_code < 500 and error.status_code not in PASSING_STATUS:
            said = complaint(error, str(self._http.api_key))
            raise HarnessError(f"{place(self._endpoint)} takes no batch: {said}. {KEPT}") from None


def _unless_gone(call: Callable[[], T]) -> T | None:
    from openai import NotFoundError

    try:
        return call()
    except NotFoundError:
        return None
