"""Models behind an address: a file says which, and what decides their answers names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.errors import HarnessError, InputError
from harness.llm.ask import Ask, Reply
from harness.llm.cache import PASSING, place
from harness.llm.client import Client
from harness.llm.endpoint import Endpoint, parse_endpoint, read_yaml
from harness.models.base import ADAPTERS, Adapter, Encoded, Resolved, Unencodable
from harness.models.spec import ModelSpec
from harness.models.template import Unrenderable
from harness.preference import Conversation, canonical_json

ELSEWHERE: Mapping[str, str] = {
    "model": "the spec's own key 'model' names the model",
    "max_tokens": "write 'max_new_tokens' beside the endpoint",
}
"""Fields of an endpoint that a spec says in another place."""
FIELDS = tuple(field for field in Endpoint.model_fields if field not in ELSEWHERE)

A_WORKER = 2**15
"""Ids of questions in a batch for each of those that are out at once: enough of them that none waits long for the last."""
ALWAYS = 2.0**40
"""What a batch costs besides its texts: so much that there is no use in batches of one length."""


class Served(Adapter):
    """A kind of model that can stand behind an address: `options.endpoint` of its spec says where (`harness.llm.endpoint`).

    `decides` are the fields of an endpoint that an answer depends on; how hard a server is pressed is no part of a model.
    """

    decides: ClassVar[frozenset[str]] = frozenset({"base_url", "temperature", "seed"})

    @classmethod
    def recorded(cls, spec: ModelSpec, endpoint: Endpoint, beside: Path) -> tuple[ModelSpec, object]:
        """The spec as results record it, and what else than it and the model's name tells the model from others.

        `beside` is the folder that paths of the spec are relative to. Raises HarnessError where a server must say what it
        serves and does not, InputError where that cannot score.
        """
        known = {**endpoint.model_dump(mode="json"), "base_url": place(endpoint)}
        kept = {field: known[field] for field in sorted(cls.decides)}
        return spec.model_copy(update={"options": {**spec.options, "endpoint": kept}}), None


@dataclass(frozen=True)
class AsBytes:
    """Conversations as texts that `write` makes of them: their ids are UTF-8 bytes, which a server without its tokenizer is sent."""

    write: Callable[[Conversation], str]

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """Ids of every conversation, in order; Unencodable where it does not fit, or holds what UTF-8 cannot."""
        return [self._encode(conversation) for conversation in conversations]

    def _encode(self, conversation: Conversation) -> Encoded | Unencodable:
        try:
            return Encoded(np.frombuffer(self.write(conversation).encode("utf-8"), np.uint8))
        except Unrenderable as error:
            return Unencodable(str(error))
        except UnicodeEncodeError as error:
            return Unencodable(f"the text is not valid Unicode: {error.reason}")

    @staticmethod
    def text(encoded: Encoded) -> str:
        """The text of such ids."""
        return encoded.ids.astype(np.uint8).tobytes().decode("utf-8")


def endpoint_of(spec: ModelSpec) -> Endpoint | None:
    """The endpoint that a spec's options describe, None where they name none.

    Raises InputError with the fields that are wrong and no value of them: a key may stand there by mistake.
    """
    given = spec.options.get("endpoint")
    if given is None:
        return None
    misplaced = [cure for field, cure in ELSEWHERE.items() if isinstance(given, Mapping) and field in given]
    try:
        if misplaced:
            raise ValueError("; ".join(misplaced))
        return parse_endpoint({**given, "model": spec.model} if isinstance(given, Mapping) else given)
    except ValueError as error:
        raise InputError(f"{spec.model}: options.endpoint: {error}; its fields are {', '.join(FIELDS)}") from None


def own_spec(resolved: Resolved) -> ModelSpec:
    """The spec of a model behind an address as its file has it: `resolved.spec` is what may be published of it."""
    assert resolved.path is not None, "a model behind an address has a file"
    return _read(resolved.path)


def own_endpoint(resolved: Resolved) -> Endpoint | None:
    """The endpoint of a resolved model with all its fields, None of one that lies in a folder."""
    return endpoint_of(own_spec(resolved)) if "endpoint" in resolved.spec.options else None


def ask_all(client: Client, asks: Sequence[Ask]) -> list[Reply]:
    """The reply to every question, in order: failures are replies too.

    Raises HarnessError where some got no answer although another time they might: the answers that came are in the
    client's cache.
    """
    found = client.ask(asks)
    lost = [reply for reply in found.values() if reply.failure in PASSING]
    if lost:
        raise HarnessError(
            f"{place(client.endpoint)} gave no answer to {len(lost)} of {len(asks)} questions ({lost[0].detail}): check "
            "that it is up and run the same command again, which goes on from here"
        )
    return [found[ask.id] for ask in asks]


def find_endpoint(file: str, hash_file: Callable[[Path], str]) -> Resolved:
    """The model `endpoint:{file}`: a spec in YAML whose options name an endpoint.

    Raises InputError where the file says no such model, and what its kind raises (`Served.recorded`).
    """
    path = Path(file).expanduser()
    given = _read(path)
    kind = ADAPTERS.get(given.adapter) if given.adapter else None
    endpoint = endpoint_of(given)
    if kind is None or not issubclass(kind, Served) or endpoint is None:
        found = "no adapter" if kind is None else f"the adapter {given.adapter}"
        raise InputError(
            f"endpoint:{file}: found {found} and {'an' if endpoint else 'no'} endpoint; expected a spec such as {{model: "
            "NAME, adapter: judge-pairwise, options: {endpoint: {base_url: http://localhost:8000/v1}}}, with an adapter "
            "that can ask a server: judge-pairwise, judge-roles, judge-pointwise, scalar-endpoint"
        )
    spec, facts = kind.recorded(kind.prepare(given, {}, None), endpoint, path.parent)
    content = hashlib.sha256(canonical_json([given.model, spec.identity(), facts]).encode()).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", endpoint.name).strip("-.") or "model"
    return Resolved(f"endpoint/{name}", spec, kind, f"endpoint-{content[:12]}", content, path=path)


def _read(path: Path) -> ModelSpec:
    try:
        return ModelSpec.parse(read_yaml(path), str(path))
    except ValueError as error:
        raise InputError(
            f"cannot read the model {path}: {error}; expected a spec in YAML whose options name an endpoint"
        ) from None
