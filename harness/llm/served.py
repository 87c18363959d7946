"""What a server says of itself and of a model that it serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InputError
from harness.llm.cache import place
from harness.llm.endpoint import Endpoint
from harness.llm.send import connection, hopeless

if TYPE_CHECKING:
    from openai import OpenAI

TOLD = ("id", "root", "max_model_len")
"""What of a model's entry stays the same while it is served."""


def root(endpoint: Endpoint) -> str:
    """The address of the server itself, where routes lie that OpenAI has not: without a `/v1` at its end.

    Raises InputError where the endpoint names no server.
    """
    if endpoint.base_url is None:
        raise InputError(f"{endpoint.model}: its endpoint has no base_url; put the server's address there")
    return endpoint.base_url.rstrip("/").removesuffix("/v1")


def says(endpoint: Endpoint) -> dict[str, Any]:
    """The model's entry in `/v1/models` (null where there is no such list) and the answer to `/version` (null where there is none).

    Raises HarnessError where the server cannot be reached, InputError where it serves other models only.
    """
    from openai import OpenAI

    with OpenAI(**connection(endpoint) | {"max_retries": endpoint.max_retries}) as http:
        models = _get(http, endpoint, f"{root(endpoint)}/v1/models")
        version = _get(http, endpoint, f"{root(endpoint)}/version")
    listed = models.get("data") if isinstance(models, Mapping) else None
    entries = [entry for entry in listed or () if isinstance(entry, Mapping)]
    mine = next((entry for entry in entries if entry.get("id") == endpoint.model), None)
    if entries and mine is None:
        raise InputError(
            f"{place(endpoint)} does not serve {endpoint.model}; it serves "
            f"{', '.join(str(entry.get('id')) for entry in entries)}: put one of them into the spec's key 'model'"
        )
    return {"model": mine and {key: mine.get(key) for key in TOLD}, "version": version}


def _get(http: OpenAI, endpoint: Endpoint, address: str) -> Any:
    """The JSON that lies there; None where nothing does."""
    import openai

    try:
        return json.loads(http.get(address, cast_to=str))
    except openai.APIStatusError as error:
        if error.status_code in (404, 405):
            return None
        why, end = f"HTTP {error.status_code}", hopeless(endpoint, error)
        if end is not None:
            raise end from None
    except openai.APIConnectionError as error:
        why = f"the connection failed ({type(error.__cause__).__name__})"
    except (ValueError, RecursionError):
        return None
    raise HarnessError(f"{place(endpoint)} does not say what it serves ({why}): check that it is up and run again")
