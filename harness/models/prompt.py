"""Questions about replies: a dialogue and one or two replies as the text that a judge or a preference model is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import InputError
from harness.models.template import BoundTemplate, Unrenderable, chat_text, marked_renderer
from harness.preference import Conversation, Message, Unit, messages_json

ROLES = ("response_1", "response_2")
"""Roles of two replies that are compared: the last two messages of a conversation made by `pair`."""

ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)


def pair(a: Unit, b: Unit) -> Conversation:
    """The dialogue of `a` with the replies of both units behind it, under `ROLES`."""
    replies = (Message(role, unit.conversation[-1].content) for role, unit in zip(ROLES, (a, b), strict=True))
    return (*a.conversation[:-1], *replies)


def compile_prompt(text: str, names: Mapping[str, str] | None = None) -> Template:
    """A sandboxed Jinja text that sees these names besides the conversation's; raises InputError where it does not compile."""
    try:
        return ENVIRONMENT.from_string(text, globals=dict(names or {}))
    except TemplateError as error:
        raise InputError(f"the spec's prompt does not compile as a Jinja text: {error}") from error


def render_prompt(prompt: Template, messages: list[dict[str, str]]) -> str:
    """The question about a conversation, given as `{"role", "content"}` dictionaries.

    The text sees `messages` (the dialogue), `prompt` (its contents joined by line feeds), and `response`, or
    `response_a` and `response_b` where the last two messages are a pair. Raises Unrenderable where it refuses.
    """
    n = 2 if messages[-1]["role"] == ROLES[1] else 1
    dialogue, replies = messages[:-n], [m["content"] for m in messages[-n:]]
    names = ("response",) if n == 1 else ("response_a", "response_b")
    try:
        text = "\n".join(m["content"] for m in dialogue)
        return prompt.render(messages=dialogue, prompt=text, **dict(zip(names, replies, strict=True)))
    except (TemplateError, TypeError, ValueError) as error:
        raise Unrenderable(f"the spec's prompt refuses this conversation: {error}") from error


def question(prompt: Template, conversation: Conversation) -> str:
    """The question about a conversation; see `render_prompt`."""
    return render_prompt(prompt, messages_json(conversation))


def bind_prompt(
    text: str,
    tokenizer: Any,
    *,
    chat: bool,
    answer: bool = True,
    pairs: bool = True,
    names: Mapping[str, str] | None = None,
) -> BoundTemplate:
    """A question of the spec as a template of `TextEncoder`, whose own words stay whole where a dialogue is too long.

    `chat` makes the question the one user's turn of the tokenizer's chat template, `answer` with what that puts in front
    of an answer; without `chat` the question is all. `pairs`: it compares the two replies of `pair`.
    `names` are seen besides (`compile_prompt`).
    """
    prompt, replies = compile_prompt(text, names), ROLES if pairs else ("assistant",)

    def render(messages: list[dict[str, str]]) -> str:
        asked = render_prompt(prompt, messages)
        return chat_text(tokenizer, [{"role": "user", "content": asked}], answer=answer) if chat else asked

    return BoundTemplate(marked_renderer(render, len(replies)), complete=chat, text=text, replies=replies, keeps=True)
