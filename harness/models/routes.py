"""How servers are asked for numbers: what is sent of a text, and where the numbers lie in the JSON that comes back.

By the servers' own documentation and code: vLLM's `/classify` and `/pooling` (docs/models/pooling_models and
entrypoints/pooling), SGLang's `/classify` (docs/basic_usage/native_api and managers/io_struct). SGLang's `/v1/classify` is
none of them: it makes a softmax of the scores, which of a single one is always 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.llm.ask import Ask, Mode, Reply, Turn
from harness.llm.endpoint import Endpoint
from harness.llm.served import root
from harness.llm.wire import MalformedError, Wire

Input = str | list[int]
"""What is sent of one conversation: its text, or its token ids."""


@dataclass(frozen=True)
class Route:
    """A path, the body for a text or its ids (the second argument asks for the server's activation or for none), and the numbers
    in an answer: one a label, or such a list for every token.

    `texts`: a text can be sent without the special tokens that a tokenizer puts around it. `activates`: the server
    can be asked for an activation, or none.
    """

    path: str
    body: Callable[[Input, bool], dict[str, Any]]
    numbers: Callable[[Any], Any]
    texts: bool = True
    activates: bool = True

    def ask(self, id: str, given: Input, activation: bool) -> Ask:
        """The question for the numbers of one conversation."""
        return Ask(id, (Turn("input", json.dumps(self.body(given, activation))),))

    def wire(self, endpoint: Endpoint) -> Wire:
        """How it goes to this server; a reply's text is the JSON list of the numbers."""
        return Wire(root(endpoint) + self.path, _request, self._read)

    def _read(self, said: object) -> Reply:
        try:
            # Of a model that has numbers at every token the last one's are the text's.
            numbers = np.atleast_2d(np.asarray(self.numbers(said), np.float32))[-1]
        except (LookupError, TypeError, ValueError, AttributeError):
            numbers = np.zeros(0)
        if numbers.ndim != 1 or not numbers.size:
            raise MalformedError(f"the body holds no numbers where the route {self.path} has them")
        return Reply("", json.dumps(numbers.tolist()))


def _request(endpoint: Endpoint, ask: Ask, mode: Mode) -> dict[str, Any]:
    return {"model": endpoint.model, **json.loads(ask.turns[0].content)}


def _vllm(given: Input, activation: bool) -> dict[str, Any]:
    # Some versions read any value of this field under its older names, `softmax` and `activation`, as true.
    return {"input": given, "add_special_tokens": False, "use_activation": activation}


def _sglang(given: Input, activation: bool) -> dict[str, Any]:
    return {"input_ids": given}


ROUTES: Mapping[str, Route] = {
    "classify": Route("/classify", _vllm, lambda said: said["data"][0]["probs"]),
    "pooling": Route("/pooling", _vllm, lambda said: said["data"][0]["data"]),
    "sglang": Route(
        "/classify",
        _sglang,
        lambda said: (said[0] if isinstance(said, list) else said)["embedding"],
        texts=False,
        activates=False,
    ),
}
"""By name, as `options.route` has it."""
