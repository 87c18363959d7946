"""Templates: how a conversation becomes the text a model was trained on, and which part of it users wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import InputError
from harness.models.spec import ModelSpec, Template
from harness.preference import Conversation, canonical_json, messages_json

SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}
FROZEN_DATE = "26 Jul 2024"


class Unrenderable(ValueError):
    """This conversation does not fit this template; the text is the reason."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as one text, or as the two texts of a model that reads pairs.

    `contents` are the spans (segment, start, end) of what users and models wrote, in characters; all
    other characters are the template's own. `response` is the span (start, end) of the reply in the
    last segment. `contents` is None where the template rewrote the messages beyond recognition. `steps` are the
    characters of the last segment whose tokens a process reward is read at.
    """

    segments: tuple[str, ...]
    response: tuple[int, int]
    contents: tuple[tuple[int, int, int], ...] | None
    steps: tuple[int, ...] = ()


Renderer = Callable[[Conversation], Rendered]


@dataclass(frozen=True)
class BoundTemplate:
    """A template ready to render. `complete` says that its text already carries the model's first and last tokens.

    `replies` are the roles of the messages that are judged, the last of a conversation; `keeps` says that what the
    template itself writes stays whole where a conversation is too long.
    """

    render: Renderer
    complete: bool
    text: str
    replies: tuple[str, ...] = ("assistant",)
    keeps: bool = False

    @property
    def sha256(self) -> str:
        """Hash of the template's text: what results record."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()


# --- plain templates ------------------------------------------------------------------------------


def _join(pieces: list[tuple[str, bool]], segment: int) -> tuple[str, list[tuple[int, int, int]]]:
    """Text of (text, is content) pieces and the spans of its contents."""
    text, spans = "", []
    for piece, is_content in pieces:
        if is_content:
            spans.append((segment, len(text), len(text) + len(piece)))
        text += piece
    return text, spans


def _single(pieces: list[tuple[str, bool]]) -> Rendered:
    text, spans = _join(pieces, 0)
    return Rendered((text,), spans[-1][1:], tuple(spans))


def _pair(prompt: list[tuple[str, bool]], response: str) -> Rendered:
    first, spans = _join(prompt, 0)
    return Rendered((first, response), (0, len(response)), (*spans, (1, 0, len(response))))


def _transcript(messages: Conversation) -> list[tuple[str, bool]]:
    return [p for m in messages for p in ((f"\n\n{SPEAKERS.get(m.role, m.role)}: ", False), (m.content, True))]


def _lines(messages: Conversation) -> list[tuple[str, bool]]:
    return [p for i, m in enumerate(messages) for p in (("\n" if i else "", False), (m.content, True))]


def render_hh(conversation: Conversation) -> Rendered:
    """One hh-rlhf transcript: `\\n\\nHuman: …\\n\\nAssistant: …` (2204.05862)."""
    return _single(_transcript(conversation))


def render_raw(conversation: Conversation) -> Rendered:
    """All contents, the response last, joined by line feeds; roles are not told."""
    return _single(_lines(conversation))


def render_pair_hh(conversation: Conversation) -> Rendered:
    """First the prompt as a transcript that ends in `\\n\\nAssistant:`, second the response."""
    return _pair([*_transcript(conversation[:-1]), ("\n\nAssistant:", False)], conversation[-1].content)


def render_pair_plain(conversation: Conversation) -> Rendered:
    """First the contents of the prompt joined by line feeds, second the response."""
    return _pair(_lines(conversation[:-1]), conversation[-1].content)


PAIRS: dict[str, Renderer] = {"hh": render_pair_hh, "plain": render_pair_plain}


# --- templates of the tokenizer and of the spec ---------------------------------------------------


def _sentinel(index: int) -> str:
    """A marker no text contains: private-use characters around a number."""
    return f"\ue0f0\ue0f1{index}\ue0f2"


STRIPS: tuple[Callable[[str], str], ...] = (
    str,
    str.strip,
    str.rstrip,
    str.lstrip,
    lambda s: s.strip("\n"),
    lambda s: s.lstrip("\n"),
    lambda s: s.rstrip("\n"),
)
"""What templates do to a content: nothing, or a `trim`. Anything else is not recognised as the same text."""


def _structure(marked: str, n: int) -> list[tuple[str, int]] | None:
    """The template's own text before each content and that content's index, then the rest with index -1."""
    found = sorted((marked.find(_sentinel(i)), i) for i in range(n) if _sentinel(i) in marked)
    if not found or any(marked.count(_sentinel(i)) > 1 for _, i in found):
        return None
    parts, at = [], 0
    for where, i in found:
        parts.append((marked[at:where], i))
        at = where + len(_sentinel(i))
    return [*parts, (marked[at:], -1)]


def _align(text: str, structure: list[tuple[str, int]], contents: list[str]) -> list[tuple[int, int, int]] | None:
    """Spans of the contents in `text`, by index, if it is exactly the structure with the contents put in."""
    spans: dict[int, tuple[int, int, int]] = {}
    at = len(structure[0][0])
    if not text.startswith(structure[0][0]):
        return None
    for (_, index), (after, _) in pairwise(structure):
        options = dict.fromkeys(strip(contents[index]) for strip in STRIPS)
        fit = next((o for o in options if text.startswith(o + after, at)), None)
        if fit is None:
            return None
        spans[index] = (0, at, at + len(fit))
        at += len(fit) + len(after)
    return [spans[i] for i in sorted(spans)] if at == len(text) else None


def _differing(text: str, marked: str) -> tuple[int, int]:
    """The span of `text` outside the prefix and the suffix it shares with `marked`."""
    start = next((i for i, (a, b) in enumerate(zip(text, marked, strict=False)) if a != b), min(len(text), len(marked)))
    tails = zip(reversed(text[start:]), reversed(marked[start:]), strict=False)
    same = next((i for i, (a, b) in enumerate(tails) if a != b), min(len(text), len(marked)) - start)
    return start, len(text) - same


def marked_renderer(render: Callable[[list[dict[str, str]]], str], replies: int = 1) -> Renderer:
    """A renderer for any function of messages: contents are located by rendering once more with markers in their place.

    The last `replies` messages are what is judged: the response is all from the first to the last of them in the text.
    """

    @lru_cache(maxsize=4096)
    def structure(roles: tuple[str, ...]) -> list[tuple[str, int]] | None:
        marked = render([{"role": r, "content": _sentinel(i)} for i, r in enumerate(roles)])
        return _structure(marked, len(roles))

    def run(conversation: Conversation) -> Rendered:
        messages = messages_json(conversation)
        try:
            text = render(messages)
            parts = structure(tuple(m.role for m in conversation))
            spans = parts and _align(text, parts, [m.content for m in conversation])
            if spans and {i for _, i in parts or ()} >= set(range(len(messages) - replies, len(messages))):
                judged = spans[-replies:]
                return Rendered((text,), (min(s[1] for s in judged), max(s[2] for s in judged)), tuple(spans))
            marked = render([*messages[:-1], {**messages[-1], "content": _sentinel(len(messages))}])
        except (TemplateError, TypeError, ValueError) as error:
            raise Unrenderable(f"the chat template refuses this conversation: {error}") from error
        return Rendered((text,), _differing(text, marked), None)

    return run


def chat_text(tokenizer: Any, messages: list[dict[str, str]], *, answer: bool) -> str:
    """Messages as the tokenizer's chat template writes them, without a system prompt of ours; `answer` adds what an answer begins with."""
    # A template that prints today's date must not make scores depend on the day.
    return tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=answer, date_string=FROZEN_DATE
    )


def bind_chat(tokenizer: Any, *, answer: bool = False) -> BoundTemplate:
    """The tokenizer's chat template; `answer` adds behind the conversation what the next answer would begin with.

    Raises InputError where the tokenizer has none.
    """
    try:
        source = str(tokenizer.get_chat_template())
    except ValueError as error:
        raise InputError(f"template: tokenizer, but the tokenizer has no chat template; known: {KNOWN}") from error
    render = partial(chat_text, tokenizer, answer=answer)
    return BoundTemplate(marked_renderer(render), complete=True, text=source)


def followed_by(bound: BoundTemplate, token: str, instead_of: str = "") -> BoundTemplate:
    """The template with a token of its own behind its text, unless it ends in it itself; characters of `instead_of` give way."""

    def render(conversation: Conversation) -> Rendered:
        rendered = bound.render(conversation)
        *before, last = rendered.segments
        # A reply that ends in the token's text does not have the token.
        reply, own = last[: rendered.response[1]], last[rendered.response[1] :].rstrip(instead_of)
        return replace(rendered, segments=(*before, reply + own + ("" if own.endswith(token) else token)))

    return replace(bound, render=render, text=bound.text + token)


def _bind_jinja(source: str, _: Any) -> BoundTemplate:
    """A sandboxed Jinja text of the spec; sees `messages`, `prompt` (contents joined by line feeds) and `response`."""
    try:
        compiled = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    except TemplateError as error:
        raise InputError(f"the spec's jinja template does not compile: {error}") from error

    def render(messages: list[dict[str, str]]) -> str:
        prompt = "\n".join(m["content"] for m in messages[:-1])
        return compiled.render(messages=messages, prompt=prompt, response=messages[-1]["content"])

    return BoundTemplate(marked_renderer(render), complete=False, text=source)


def _bind_pair(style: str, _: Any) -> BoundTemplate:
    return BoundTemplate(PAIRS[style], complete=False, text=f"pair/{style}")


BINDERS: dict[str, Callable[[str, Any], BoundTemplate]] = {
    "tokenizer": lambda _, tokenizer: bind_chat(tokenizer),
    "hh": lambda name, _: BoundTemplate(render_hh, complete=False, text=name),
    "raw": lambda name, _: BoundTemplate(render_raw, complete=False, text=name),
    "pair": _bind_pair,
    "jinja": _bind_jinja,
}
KNOWN = "tokenizer, hh, raw, {pair: hh}, {pair: plain}, {jinja: TEXT}"


def parse_template(template: Template) -> tuple[str, str]:
    """(binder, argument) of a spec's template; raises InputError with the known templates where there is none."""
    kind, argument = (template, template) if isinstance(template, str) else next(iter(template.items()), ("", ""))
    takes_argument = kind in ("pair", "jinja")
    known = kind in BINDERS and takes_argument == isinstance(template, dict)
    if not known or (kind == "pair" and argument not in PAIRS) or (isinstance(template, dict) and len(template) != 1):
        raise InputError(f"unknown template {canonical_json(template)}; known templates: {KNOWN}")
    return kind, argument


def require_template(spec: ModelSpec) -> None:
    """Raise InputError, with the known templates and where to name one, unless the spec has one of them."""
    if spec.template is None:
        raise InputError(
            f"{spec.model}: its tokenizer has no chat template, and no spec says how to write a conversation. Put a line "
            f"such as 'template: hh' into reward_model.yaml beside the model, or into a file given by --spec; templates: {KNOWN}"
        )
    parse_template(spec.template)


def bind_template(template: Template, tokenizer: Any) -> BoundTemplate:
    """The template with what it needs from the tokenizer; raises InputError if it is unknown or does not compile."""
    kind, argument = parse_template(template)
    return BINDERS[kind](argument, tokenizer)
