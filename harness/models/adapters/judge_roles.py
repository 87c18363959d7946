r"""A language model trained to compare replies that come under the roles `response_1` and `response_2`.

NVIDIA's GenRM models. Nemotron-Super-49B-GenRM ends its answer with `\boxed{score_1, score_2}` between the lines
`[The Begin of Individual Scores]` and `[The End of Individual Scores]`, and `\boxed{ranking}` between two lines of
`Ranking Score` (2505.11475); Qwen3-Nemotron-GenRM with a JSON object that has the fields `score_1`, `score_2`, `ranking`
(NVIDIA-NeMo/Gym, resources_servers/genrm_compare, where the role `principle` comes from, too). Read from that code and
from model cards; not compared with a run of the models.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError
from harness.models.base import ADAPTERS, PARSED
from harness.models.judge import JudgeOptions, PairwiseJudge
from harness.models.prompt import ROLES
from harness.models.template import BoundTemplate, Unrenderable, bind_chat, chat_text, marked_renderer
from harness.preference import Conversation, Message, messages_json

PRINCIPLE = "principle"
SCORES, RANKING = (1.0, 5.0), (1.0, 6.0)
"""Bounds of a reply's score, and of the ranking: 1 is `the first is much better`, 6 `the second is much better`."""

SECTION = r"\[The Begin of {0}\](.*?)\[The End of {0}\]"
SECTIONS = {name: re.compile(SECTION.format(name), re.DOTALL) for name in ("Individual Scores", "Ranking Score")}
BRACES = 256
"""How many of the last braces in an answer are tried as the beginning of an object."""
BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


class Options(JudgeOptions):
    """`principle`: what the replies are judged by, under a role of its own, for a model that knows it."""

    principle: str | None = None


@dataclass(frozen=True)
class Roles:
    """The dialogue, the principle if there is one, and the replies under their roles."""

    principle: str | None

    def messages(self, conversation: Conversation) -> list[dict[str, str]]:
        """The messages as the server's chat template takes them."""
        said = [] if self.principle is None else [Message(PRINCIPLE, self.principle)]
        return messages_json((*conversation[:-2], *said, *conversation[-2:]))

    def bind(self, tokenizer: Any, *, chat: bool) -> BoundTemplate:
        """The same through the model's own chat template; raises InputError where that knows no such roles."""
        source = bind_chat(tokenizer).text

        def render(messages: list[dict[str, str]]) -> str:
            told = tuple(Message(**message) for message in messages)
            return chat_text(tokenizer, self.messages(told), answer=True)

        bound = BoundTemplate(marked_renderer(render, 2), complete=True, text=source, replies=ROLES, keeps=True)
        example = (Message("user", "q"), *(Message(role, f"the text of {role}") for role in ROLES))
        try:
            text = bound.render(example).segments[0]
        except Unrenderable:
            text = ""
        if not all(message.content in text for message in self._all(example)):
            asked = ", ".join((*([PRINCIPLE] if self.principle else []), *ROLES))
            raise InputError(
                f"the chat template does not write messages of the roles {asked}; use the template of the model's own "
                "repository, or the adapter judge-pairwise, which asks in the user's turn"
            )
        return bound

    def _all(self, conversation: Conversation) -> list[Message]:
        return [Message(**message) for message in self.messages(conversation)]


@ADAPTERS.register("judge-roles")
class JudgeRoles(PairwiseJudge):
    """Kind I2: P(first preferred) = (6 - ranking) / 5.

    The ranking has six steps and no tie: 3 and 4 are near-ties, and still sides (0.6 and 0.4). Read so, a clear ranking in
    one order outweighs a near-tie in the other, where counting wins would call them a tie. The scores of the replies are
    kept beside it (0 where none is said), and decide nothing: without a ranking there is no verdict.
    """

    asks = "a causal language model whose chat template knows the roles response_1 and response_2, or options.endpoint"
    options_model = Options
    options: Options
    outputs = ("preferred", PARSED, "score_1", "score_2", "ranking")

    def question(self) -> Roles:
        """The replies under their roles."""
        return Roles(self.options.principle)

    def read(self, text: str) -> tuple[float, ...] | None:
        """Outputs of an answer in either form; None where it says no ranking from 1 to 6."""
        said = last_object(text) or sections(text)
        ranking = within(said.get("ranking"), RANKING)
        if ranking is None:
            return None
        first, second = (within(said.get(name), SCORES) or 0.0 for name in ("score_1", "score_2"))
        return (6 - ranking) / 5, 1.0, first, second, ranking


def last_object(text: str) -> dict[str, Any]:
    """The last JSON object in a text that has a field `ranking`, whatever stands around it; empty where there is none."""
    decoder = json.JSONDecoder(strict=False)
    for start in [found.start() for found in re.finditer(r"\{", text)][: -BRACES - 1 : -1]:
        try:
            said, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and "ranking" in said:
            return said
    return {}


def sections(text: str) -> dict[str, Any]:
    """What the last boxes between the lines of each section hold, by the names of the JSON form."""
    scores, ranking = (_boxed(pattern, text) for pattern in SECTIONS.values())
    named = zip(("score_1", "score_2"), scores, strict=False) if len(scores) == 2 else ()
    return dict(named) | ({"ranking": ranking[0]} if len(ranking) == 1 else {})


def within(value: Any, bounds: tuple[float, float]) -> float | None:
    """The number, if it is one within the bounds."""
    try:
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and bounds[0] <= number <= bounds[1] else None


def _boxed(pattern: re.Pattern[str], text: str) -> list[str]:
    found = [box for section in pattern.findall(text) for box in BOXED.findall(section)]
    return [part.strip() for part in found[-1].split(",")] if found else []
