"""A chat model behind an address: questions sent as messages, through `harness.llm` with its limits, retries and stored replies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.llm.ask import Ask, Reply, Turn
from harness.llm.cache import ReplyCache
from harness.llm.client import Client
from harness.llm.endpoint import Endpoint
from harness.models.base import Cost, Encoded, Unencodable
from harness.models.remote import A_WORKER, ALWAYS, AsBytes, ask_all
from harness.preference import Conversation, canonical_json

if TYPE_CHECKING:
    from harness.models.judge import Question


class Chat:
    """A chat model at an endpoint. The ids of a question are the UTF-8 bytes of its messages as canonical JSON.

    What a text says is sent as it is: whether a server reads `<|end|>` in it as the end of a message is the server's own
    doing, which a model in a folder is spared.
    """

    def __init__(self, endpoint: Endpoint, question: Question, max_new_tokens: int) -> None:
        self.endpoint, self.max_new_tokens = endpoint, max_new_tokens
        self.encoder = AsBytes(lambda conversation: canonical_json(question.messages(conversation)))
        self.cost = Cost(fixed=ALWAYS, budget=endpoint.concurrency * A_WORKER)
        self.cache = ReplyCache()

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """The messages of every question; Unencodable where a conversation does not fit it, or holds what UTF-8 cannot."""
        return self.encoder.encode(conversations)

    def answers(self, batch: Sequence[Encoded], replicate: int) -> list[Reply]:
        """The reply to every question, in order, from the stored ones where it is known; a replicate is asked anew.

        Raises HarnessError where the server cannot be reached: the other replies are stored.
        """
        asks = [
            Ask(str(i), self._turns(text), repeat=replicate, max_tokens=self.max_new_tokens)
            for i, text in enumerate(batch)
        ]
        return ask_all(Client(self.endpoint, self.cache), asks)

    def describe(self) -> dict[str, object]:
        """Nothing: what is known of the model stands in its spec."""
        return {}

    def _turns(self, text: Encoded) -> tuple[Turn, ...]:
        return tuple(Turn(message["role"], message["content"]) for message in json.loads(self.encoder.text(text)))
