"""Conversations, preference items and the units that are scored: plain frozen data, no behaviour beyond naming."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

OBJECTIVES = ("helpful", "refuse", "comply", "safety_mixed", "other")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: `role` is `system`, `user` or `assistant`, `content` its text."""

    role: str
    content: str


Conversation = tuple[Message, ...]
"""Messages in order; where a conversation is judged, the last one is the response."""


@dataclass(frozen=True)
class PreferenceItem:
    """A prompt with the replies that should win (`chosen`) and lose (`rejected`).

    `meta["styles"]`, where present, names the replies by style on both sides (RM-Bench): such an
    item is judged cell by cell instead of all chosen against all rejected.
    """

    id: str
    prompt: Conversation
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    dataset: str
    subset: str
    objective: str
    cluster_id: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """One conversation to score, and where it belongs: the row of the score table before it has a score."""

    unit_id: str
    item_id: str
    cluster_id: str
    dataset: str
    subset: str
    objective: str
    side: str
    conversation: Conversation
    variant: str = "original"

    def columns(self) -> dict[str, str]:
        """What a row of the score table says of it: all but the conversation."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "conversation"}


def cluster_id(prompt: Conversation) -> str:
    """Prompt identity: first 16 hex digits of the sha256 of the first user turn, NFKC, casefolded, white space collapsed."""
    first = next((m.content for m in prompt if m.role == "user"), prompt[0].content if prompt else "")
    text = " ".join(unicodedata.normalize("NFKC", first).casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no white space: the one text form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def messages_json(conversation: Conversation) -> list[dict[str, str]]:
    """The conversation as a list of `{"role", "content"}` dictionaries."""
    return [{"role": m.role, "content": m.content} for m in conversation]


def items_sha256(items: Iterable[PreferenceItem]) -> str:
    """Sha256 over the canonical items, sorted by id: equal exactly when two runs saw the same data."""
    digest = hashlib.sha256()
    for item in sorted(items, key=lambda i: i.id):
        row = [item.id, messages_json(item.prompt), item.chosen, item.rejected, item.subset, item.objective]
        digest.update(canonical_json(row).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


def side_names(item: PreferenceItem, side: str) -> tuple[str, ...]:
    """Names of an item's replies on one side: `chosen`, or `chosen/1 …`, or `chosen/1-{style} …` for a style matrix."""
    replies = item.chosen if side == "chosen" else item.rejected
    styles = item.meta.get("styles")
    if styles:
        return tuple(f"{side}/{i + 1}-{style}" for i, style in enumerate(styles))
    if len(replies) == 1:
        return (side,)
    return tuple(f"{side}/{i + 1}" for i in range(len(replies)))


def units(items: Iterable[PreferenceItem]) -> Iterator[Unit]:
    """Every reply of every item as a unit, in item order, chosen side first."""
    for item in items:
        for side, replies in (("chosen", item.chosen), ("rejected", item.rejected)):
            for name, reply in zip(side_names(item, side), replies, strict=True):
                yield Unit(
                    unit_id=f"{item.id}#{name}",
                    item_id=item.id,
                    cluster_id=item.cluster_id,
                    dataset=item.dataset,
                    subset=item.subset,
                    objective=item.objective,
                    side=name,
                    conversation=(*item.prompt, Message("assistant", reply)),
                )
