"""Rendered text to token ids: one call a batch, special tokens in texts left text, BOS and length by the spec."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.models.base import Encoded, Unencodable
from harness.models.literal import hide_pieces
from harness.models.spec import ModelSpec
from harness.models.template import BoundTemplate, Rendered, Unrenderable, bind_template
from harness.preference import Conversation, Message

CHUNK = 512
MANY = 2**62
"""A character behind the last of any text."""

BOS_COUNT: dict[str, Callable[[int], int]] = {
    "auto": lambda n: min(n, 1),
    "none": lambda n: 0,
    "single": lambda n: 1,
    "double": lambda n: 2,
}
DROP_ORDER: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "prompt_left": lambda prompt, response: np.concatenate([prompt, response[::-1]]),
    "left": lambda prompt, response: np.concatenate([prompt, response]),
    "right": lambda prompt, response: np.concatenate([prompt, response])[::-1],
}


class Located:
    """Ids with the place in the text of each: segment (-1: put in by the tokenizer), first and past-the-last character."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.types: list[int] = []
        self.places: list[tuple[int, int]] = []
        self.segments: list[int | None] = []

    def add(self, encoding: Any, at: int = 0) -> None:
        """The tokens of one of the tokenizer's encodings of a text that begins at character `at`."""
        self.ids += encoding.ids
        self.types += encoding.type_ids
        self.segments += encoding.sequence_ids
        self.places += [(at + a, at + b) for a, b in encoding.offsets] if at else encoding.offsets

    def add_special(self, ids: Sequence[int], place: tuple[int, int] | None = None) -> None:
        """Special tokens that stand at one place of the first segment, or at none."""
        self.ids += ids
        self.types += [0] * len(ids)
        self.segments += [None if place is None else 0] * len(ids)
        self.places += [place or (0, 0)] * len(ids)


class Tokens:
    """Ids of one conversation while they are still being cut: `start` to `end` are the response's tokens.

    `parts` says, of a template that stays whole, which of the contents each token belongs to (-1: its own), `steps` where
    steps end.
    """

    def __init__(self, located: Located, rendered: Rendered, nowhere: int, keeps: bool) -> None:
        self.ids, self.types = np.asarray(located.ids, np.int32), np.asarray(located.types, np.int8)
        self._begin, self._end = np.fromiter(chain.from_iterable(located.places), np.int64).reshape(-1, 2).T
        self._segment = np.array([-1 if s is None else s for s in located.segments], np.int8)
        last = len(rendered.segments) - 1
        self.start, self.end = self._span(last, *rendered.response) or (nowhere, nowhere)
        self.parts = np.full(len(self.ids), -1)
        for i, content in enumerate((keeps and rendered.contents) or ()):
            self.parts[self._inside(*content)] = i
        ends = (self._span(last, at, at + 1) for at in rendered.steps)
        self.steps = np.array([span[0] for span in ends if span], np.int64)

    def _inside(self, segment: int, first: int, last: int) -> np.ndarray:
        """Which tokens hold a character from `first` to before `last` of a segment, ascending."""
        there = (self._segment == segment) & (self._begin < self._end)
        return np.flatnonzero(there & (self._begin < last) & (self._end > first))

    def _span(self, segment: int, first: int, last: int) -> tuple[int, int] | None:
        """Token span of some characters; empty at the next token of the segment if they hold none; None if none follows."""
        found = self._inside(segment, first, last)
        if len(found):
            return int(found[0]), int(found[-1]) + 1
        after = self._inside(segment, last, MANY)
        return (int(after[0]), int(after[0])) if len(after) else None

    def delete(self, where: np.ndarray) -> None:
        """Remove the tokens at these positions."""
        if len(self.steps):
            steps = self.steps[~np.isin(self.steps, where)]
            self.steps = steps - (where[None, :] < steps[:, None]).sum(axis=1)
        self.ids, self.types, self.parts = (np.delete(array, where) for array in (self.ids, self.types, self.parts))
        self.start, self.end = self.start - int((where < self.start).sum()), self.end - int((where < self.end).sum())

    def prepend(self, token: int, n: int) -> None:
        """Put a token in front, `n` times."""
        self.ids, self.types, self.parts = (
            np.concatenate([np.full(n, value, array.dtype), array])
            for array, value in ((self.ids, token), (self.types, 0), (self.parts, -1))
        )
        self.start, self.end, self.steps = self.start + n, self.end + n, self.steps + n


class TextEncoder:
    """Conversations to `Encoded`, for every model whose tokenizer is a fast one.

    Raises InputError on construction where the template is unknown or the tokenizer is a slow one.
    """

    def __init__(self, tokenizer: Any, spec: ModelSpec, template: BoundTemplate | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                f"{spec.model}: its tokenizer {type(tokenizer).__name__} has no tokenizer.json; "
                "save the fast version of the tokenizer into the model folder"
            )
        self.template = template or bind_template(spec.template or "tokenizer", tokenizer)
        self.spec, self.backend = spec, tokenizer.backend_tokenizer
        self.backend.no_truncation()
        self.backend.no_padding()
        added = self.backend.get_added_tokens_decoder()
        special = {t.content: i for i, t in added.items() if t.special}
        self.special = special
        hide_pieces(self.backend, special)
        self.special_ids = np.fromiter(sorted(special.values()), np.int32)
        flags = re.IGNORECASE if any(t.normalized for t in added.values() if t.special) else 0
        longest_first = sorted(special, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)", flags)
        self.bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
        if spec.bos in ("single", "double") and self.bos is None:
            raise InputError(
                f"{spec.model}: bos: {spec.bos} needs a tokenizer with a BOS token; leave bos out of the spec"
            )
        self.prefix, self.suffix = self._affixes(False)
        self.pair_suffix = self._affixes(True)[1]
        self._require_one_bos()

    def _affixes(self, pair: bool) -> tuple[list[int], list[int]]:
        """Ids the tokenizer itself puts before and after a text."""
        e = self._raw([("a", "a") if pair else "a"], add=not self.template.complete, literal=False)[0]
        inside = [i for i, s in enumerate(e.sequence_ids) if s is not None]
        return e.ids[: inside[0]], e.ids[inside[-1] + 1 :]

    def _raw(self, texts: list[Any], *, add: bool, literal: bool) -> list[Any]:
        """The tokenizer's own encodings; `literal` reads special tokens in the text as text."""
        self.backend.encode_special_tokens = literal
        try:
            return self.backend.encode_batch(texts, add_special_tokens=add)
        finally:
            self.backend.encode_special_tokens = False

    # --- batches ----------------------------------------------------------------------------------

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """Ids of every conversation, in order; one that does not fit the template or the limit becomes Unencodable."""
        rest: Iterator[Conversation] = iter(conversations)
        out: list[Encoded | Unencodable] = []
        while chunk := list(islice(rest, CHUNK)):
            out.extend(self._chunk(chunk))
        return out

    def _chunk(self, conversations: list[Conversation]) -> list[Encoded | Unencodable]:
        out: list[Encoded | Unencodable | None] = [None] * len(conversations)
        plain: dict[int, Rendered] = {}
        for i, conversation in enumerate(conversations):
            try:
                rendered = self._render(conversation)
                if self._written_out(rendered, conversation):
                    out[i] = self._finish(self._literal(rendered), len(rendered.segments))
                else:
                    plain[i] = rendered
            except Unrenderable as error:
                out[i] = Unencodable(str(error))
        encodings = self._raw([_text(r) for r in plain.values()], add=not self.template.complete, literal=False)
        for (i, rendered), encoding in zip(plain.items(), encodings, strict=True):
            out[i] = self._finish(self._located(encoding, rendered), len(rendered.segments))
        assert all(o is not None for o in out)
        return [o for o in out if o is not None]

    def _render(self, conversation: Conversation) -> Rendered:
        if tuple(m.role for m in conversation[-len(self.template.replies) :]) != self.template.replies:
            raise Unrenderable("the last message must be the assistant's reply")
        try:
            for message in conversation:
                message.content.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Unrenderable(f"the text is not valid Unicode: {error.reason}") from error
        return self.template.render(conversation)

    # --- special tokens written in a text ---------------------------------------------------------

    def _structural(self, rendered: Rendered) -> list[tuple[int, int, int]]:
        """Spans (segment, start, end) of the template's own special tokens."""
        contents = rendered.contents or ()
        found = ((s, *m.span()) for s, text in enumerate(rendered.segments) for m in self.pattern.finditer(text))
        return [(s, a, b) for s, a, b in found if not any(s == t and a < d and c < b for t, c, d in contents)]

    def _written_out(self, rendered: Rendered, conversation: Conversation) -> bool:
        """Does any message hold the text of a special token, or make one with what stands beside it?"""
        if rendered.contents is None:
            return any(self.pattern.search(m.content) for m in conversation)
        n = sum(len(self.pattern.findall(text)) for text in rendered.segments)
        return n > 0 and n != len(self._structural(rendered))

    def _literal(self, rendered: Rendered) -> Tokens:
        """Ids where special tokens in messages are text: the runs between the template's own special tokens, one by one.

        An added token always ends a run of the tokenizer, so runs encoded apart give the ids of one call.
        """
        if rendered.contents is None:
            raise Unrenderable("the chat template rewrites its messages, so special tokens cannot be told from text")
        marks = self._structural(rendered)
        if not marks:
            encoding = self._raw([_text(rendered)], add=not self.template.complete, literal=True)[0]
            return self._located(encoding, rendered)
        (text,) = rendered.segments
        found, at = Located(), 0
        found.add_special(self.prefix)
        for _, a, b in [*marks, (0, len(text), len(text))]:
            found.add(self._raw([text[at:a]], add=False, literal=True)[0], at)
            found.add_special([self.special[text[a:b]]] if a < b else [], (a, b))
            at = b
        found.add_special(self.suffix)
        return Tokens(found, rendered, len(found.ids) - len(self.suffix), self.template.keeps)

    # --- spans, BOS, length -----------------------------------------------------------------------

    def _located(self, encoding: Any, rendered: Rendered) -> Tokens:
        """The ids of one encoding with the response's place among them."""
        found = Located()
        found.add(encoding)
        suffix = self.pair_suffix if len(rendered.segments) > 1 else self.suffix
        return Tokens(found, rendered, len(found.ids) - len(suffix), self.template.keeps)

    def _finish(self, tokens: Tokens, segments: int) -> Encoded | Unencodable:
        self._set_bos(tokens, segments)
        limit, n = self.spec.max_length, len(tokens.ids)
        if limit is not None and n > limit:
            reason = self._truncate(tokens, n - limit)
            if reason:
                return Unencodable(reason)
        types = tokens.types if tokens.types.any() else None
        steps = tuple(int(i) for i in tokens.steps)
        return Encoded(tokens.ids, types, tokens.start, steps, truncated=len(tokens.ids) < n)

    def _require_one_bos(self) -> None:
        """Raise InputError where template and tokenizer together write several BOS tokens and the spec does not say which is meant."""
        if self.bos is None or "bos" in self.spec.model_fields_set:
            return
        try:
            rendered = self._render(tuple(Message(role, "a") for role in ("user", *self.template.replies)))
        except Unrenderable:
            return  # A template that wants another dialogue: the rule `auto` stands.
        ids = self._raw([_text(rendered)], add=not self.template.complete, literal=False)[0].ids
        n = leading(np.array(ids), self.bos)
        if n > 1:
            raise InputError(
                f"{self.spec.model}: its texts begin with {n} BOS tokens, one of the template and one of the tokenizer. Put "
                "'bos: auto' into its spec to score with one, or 'bos: double' if the model was trained with two"
            )

    def _set_bos(self, tokens: Tokens, segments: int) -> None:
        """Leading BOS tokens as the spec wants them; a second one that a pair brings along goes unless it asks for two."""
        if self.bos is None:
            return
        before = tokens.start - 1
        if segments > 1 and self.spec.bos != "double" and before > 0 and tokens.ids[before] == self.bos:
            tokens.delete(np.array([before]))
        n = leading(tokens.ids, self.bos)
        want = BOS_COUNT[self.spec.bos](n)
        if n > want:
            tokens.delete(np.arange(n - want))
        tokens.prepend(self.bos, max(0, want - n))

    def _truncate(self, tokens: Tokens, excess: int) -> str | None:
        """Drop `excess` tokens by the spec's policy, or say why that cannot be.

        Kept always: special tokens in front, those right before the response, and all after it.
        """
        order = DROP_ORDER.get(self.spec.truncation)
        if order is None:
            return f"{len(tokens.ids)} tokens, {excess} more than max_length {self.spec.max_length}"
        special = np.isin(tokens.ids[: tokens.start], self.special_ids)
        lead = int(np.argmin(special)) if not special.all() else tokens.start
        glue = int(np.argmin(special[::-1])) if not special.all() else 0
        prompt, response = np.arange(lead, tokens.start - glue), np.arange(tokens.start, tokens.end)
        if self.template.keeps:
            prompt, response = (some[tokens.parts[some] >= 0] for some in (prompt, response))
        droppable = order(prompt, _evenly(response, tokens.parts))
        if excess > len(droppable):
            return f"max_length {self.spec.max_length} is shorter than the template's own tokens"
        tokens.delete(droppable[:excess])
        return None


def leading(ids: np.ndarray, token: int) -> int:
    """How many times a token stands in front of all others."""
    other = np.flatnonzero(ids != token)
    return int(other[0]) if len(other) else len(ids)


def _text(rendered: Rendered) -> Any:
    """What the tokenizer takes: one text, or the two of a pair."""
    return rendered.segments if len(rendered.segments) > 1 else rendered.segments[0]


def _evenly(response: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Positions of the response so that of several replies in it those tokens come first that all have: the longest loses first.

    Of one reply: in their order.
    """
    part = parts[response]
    place = np.zeros(len(part), np.int64)
    for each in np.unique(part):
        place[part == each] = np.arange(np.count_nonzero(part == each))
    return response[np.argsort(place, kind="stable")]
