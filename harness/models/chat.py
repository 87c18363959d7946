"""A chat model behind an address: questions sent as messages, through `harness.llm` with its limits, retries and stored replies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.llm.ask import Ask, Reply, Turn
from harness.llm.cache import ReplyCache
from harness.llm.client import Client
from harness.llm.endpoint import Endpoint
from harness.models.base import Cost, Encoded, Unencodable
from harness.models.remote import A_WORKER, ALWAYS, ask_all
from harness.models.template import Unrenderable
from harness.preference import Conversation, canonical_json

if TYPE_CHECKING:
    from harness.models.judge import Question


class Chat:
    """A chat model at an endpoint. The ids of a question are the UTF-8 bytes of its messages as canonical JSON.

    What a text says is sent as it is: whether a server reads `<|end|>` in it as the end of a message is the server's own
    doing, which a model in a folder is spared.
    """

    def __init__(self, endpoint: Endpoint, question: Question, max_new_tokens: int) -> None:
        self.endpoint, self.question, self.max_new_tokens = endpoint, question, max_new_tokens
        self.cost = Cost(fixed=ALWAYS, budget=endpoint.concurrency * A_WORKER)
        self.cache = ReplyCache()

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """The messages of every question; Unencodable where a conversation does not fit it, or holds what UTF-8 cannot."""
        return [self._encode(conversation) for conversation in conversations]

    def _encode(self, conversation: Conversation) -> Encoded | Unencodable:
        try:
            text = canonical_json(self.question.messages(conversation)).encode("utf-8")
        except Unrenderable as error:
            return Unencodable(str(error))
        except UnicodeEncodeError as error:
            return Unencodable(f"the text is not valid Unicode: {error.reason}")
        return Encoded(np.frombuffer(text, np.uint8))

    def answers(self, batch: Sequence[Encoded], replicate: int) -> list[Reply]:
        """The reply to every question, in order, from the stored ones where it is known; a replicate is asked anew.

        Raises HarnessError where the server cannot be reached: the other replies are stored.
        """
        asks = [Ask(str(i), _turns(q), repeat=replicate, max_tokens=self.max_new_tokens) for i, q in enumerate(batch)]
        return ask_all(Client(self.endpoint, self.cache), asks)

    def describe(self) -> dict[str, object]:
        """Nothing: what is known of the model stands in its spec."""
        return {}


def _turns(question: Encoded) -> tuple[Turn, ...]:
    messages = json.loads(question.ids.astype(np.uint8).tobytes())
    return tuple(Turn(message["role"], message["content"]) for message in messages)
