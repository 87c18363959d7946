"""A reward model behind an address that answers with numbers: served by vLLM or SGLang."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.errors import InputError
from harness.llm.ask import Reply
from harness.llm.cache import ReplyCache, place
from harness.llm.client import Client
from harness.llm.endpoint import Endpoint
from harness.llm.served import says
from harness.models.base import ADAPTERS, Cost, Encoded, Forwarded, Resolved, Unencodable
from harness.models.encoding import TextEncoder
from harness.models.files import CONFIGS, sha256_file
from harness.models.loading import load_tokenizer
from harness.models.options import parse_options
from harness.models.remote import A_WORKER, ALWAYS, AsBytes, Served, ask_all, own_endpoint, own_spec
from harness.models.routes import ROUTES, Input
from harness.models.spec import Frozen, ModelSpec
from harness.models.template import bind_template, parse_template
from harness.preference import Unit, canonical_json

PROBES = ((2057, 1996, 3021, 2003), (5003, 4010, 2999, 3500, 2100, 6007, 4444), (7001, 2222))
"""Ids of tokens that every vocabulary has: their scores tell one model from another, whatever tokenizer is at hand."""
DIGITS = ".3g"
"""What counts of these scores: further digits move with the company that a text has on a server."""
MEMORY = Path(":memory:")
"""Replies are not kept: a server may get other weights under the same name, and scores that came are in the store."""


class Options(Frozen):
    """Where and how the server is asked (`harness.models.routes`).

    `tokenizer` is a folder with the model's tokenizer, relative to the spec's file: with it the server is sent token ids.
    vLLM puts scores through a sigmoid, or of several labels a softmax, unless `activation` is false; a version that does
    not know the question does so all the same, and what comes back then lies between 0 and 1.
    """

    endpoint: dict[str, Any]
    route: str = "classify"
    tokenizer: str | None = None
    activation: bool = False


@ADAPTERS.register("scalar-endpoint")
class ScalarEndpoint(Served):
    """Kind K. The ids of a conversation are its tokens', or, without a tokenizer, the UTF-8 bytes of its text by the spec's template.

    What tells the model from others is what the server says of it and of itself, and its scores of fixed texts; at which
    address it stands is not.
    """

    asks = "a server's address in options.endpoint that answers with numbers, and a tokenizer or a template"
    remote = True
    decides: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, resolved: Resolved) -> None:
        self.spec, self.source = resolved.spec, resolved.name
        self.options = parse_options(Options, self.spec)
        endpoint, tokenizer = own_endpoint(resolved), own_spec(resolved).options.get("tokenizer")
        assert endpoint is not None, "its options have one"
        self.endpoint, self.bounded = endpoint, self.options.activation
        self.cost = Cost(fixed=ALWAYS, budget=endpoint.concurrency * A_WORKER)
        self.encoder: TextEncoder | AsBytes
        if tokenizer is None:
            template = bind_template(self.spec.template or "", None)
            self.encoder = AsBytes(lambda conversation: template.render(conversation).segments[0])
        else:
            assert resolved.path is not None
            folder = _folder(tokenizer, resolved.path.parent, self.source)
            self.encoder = TextEncoder(load_tokenizer(replace(resolved, path=folder)), self.spec)

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all options and its template; raises InputError where an option is wrong or texts cannot be sent."""
        options = parse_options(Options, spec)
        if config:
            raise InputError(f"{spec.model} has files; give the file of a spec as --model endpoint:FILE")
        route = ROUTES.get(options.route)
        if route is None:
            raise InputError(f"{spec.model}: no route {options.route!r}; options.route is one of {', '.join(ROUTES)}")
        if options.activation and not route.activates:
            raise InputError(
                f"{spec.model}: the route {options.route} knows no activation; leave that out of its options"
            )
        if options.tokenizer is None and not route.texts:
            raise InputError(
                f"{spec.model}: the route {options.route} adds special tokens to texts, so it must be sent ids; name the "
                "folder of the model's tokenizer as options.tokenizer"
            )
        template = spec.template or "tokenizer"
        if parse_template(template)[0] == "pair" or (template == "tokenizer" and options.tokenizer is None):
            raise InputError(
                f"{spec.model}: a text by the template {canonical_json(template)} cannot be sent; name the folder of the "
                "model's tokenizer as options.tokenizer, or write the whole text, BOS included, as a template {jinja: TEXT}"
            )
        told = options.model_dump(mode="json", exclude_none=True)
        return spec.model_copy(update={"options": told, "template": template})

    @classmethod
    def recorded(cls, spec: ModelSpec, endpoint: Endpoint, beside: Path) -> tuple[ModelSpec, object]:
        """The spec without addresses and paths, and what the server says of the model and scores of fixed texts.

        Raises InputError where the model has several outputs and the spec no weight for each.
        """
        recorded, _ = super().recorded(spec, endpoint, beside)
        options = parse_options(Options, spec)
        if options.tokenizer is not None:
            digest = _digest(_folder(options.tokenizer, beside, spec.model))
            recorded = recorded.model_copy(update={"options": {**recorded.options, "tokenizer": digest}})
        server = says(endpoint)
        scores = _probe(endpoint, options)
        outputs, weights = len(scores[0]), len(spec.heads.weights) if spec.heads else 1
        if outputs != weights:
            raise InputError(
                f"{spec.model}: {place(endpoint)} answers with {outputs} numbers a text, and its spec has weights for "
                f"{weights}; put 'heads: {{weights: [{', '.join(['…'] * outputs)}]}}' into it: score = sum of weight x output"
            )
        return recorded, {"server": server, "scores": [[format(x, DIGITS) for x in row] for row in scores]}

    @classmethod
    def load(cls, resolved: Resolved) -> ScalarEndpoint:
        """The tokenizer, where there is one; the model stays where it is."""
        return cls(resolved)

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Ids of every conversation's tokens, or the bytes of its text."""
        return self.encoder.encode([unit.conversation for unit in units])

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """The server's numbers for every conversation; a failed row where it refuses one, or answers with too many or too few.

        Raises HarnessError where it cannot be reached.
        """
        replies = _ask(self.endpoint, self.options, [self._input(text) for text in batch])
        outputs = np.zeros((len(batch), len(self.spec.heads.weights) if self.spec.heads else 1), np.float32)
        errors = {}
        for i, reply in enumerate(replies):
            numbers = json.loads(reply.text) if reply.text is not None else None
            if numbers is None or len(numbers) != outputs.shape[1]:
                found = reply.detail if numbers is None else f"{len(numbers)} numbers, expected {outputs.shape[1]}"
                errors[i] = f"the server gave no score: {found}"
            else:
                outputs[i] = numbers
        return Forwarded(outputs, errors=errors)

    def _input(self, text: Encoded) -> Input:
        return self.encoder.text(text) if isinstance(self.encoder, AsBytes) else text.ids.tolist()


def _ask(endpoint: Endpoint, options: Options, inputs: Sequence[Input]) -> list[Reply]:
    route = ROUTES[options.route]
    asks = [route.ask(str(i), given, options.activation) for i, given in enumerate(inputs)]
    return ask_all(Client(endpoint, ReplyCache(MEMORY), wire=route.wire(endpoint)), asks)


def _probe(endpoint: Endpoint, options: Options) -> list[list[float]]:
    """Scores of the fixed texts, each in a batch of its own."""
    replies = _ask(endpoint.model_copy(update={"concurrency": 1}), options, [list(ids) for ids in PROBES])
    failed = next((reply for reply in replies if reply.text is None), None)
    if failed is not None:
        raise InputError(
            f"{place(endpoint)} scores no short text on the route {options.route} ({failed.detail}); put the route that it "
            f"has into the spec's options: one of {', '.join(ROUTES)}"
        )
    return [json.loads(reply.text or "") for reply in replies]


def _folder(tokenizer: str, beside: Path, source: str) -> Path:
    """The folder that `options.tokenizer` names; raises InputError where there is none."""
    folder = beside / Path(tokenizer).expanduser()
    if not folder.is_dir():
        raise InputError(
            f"{source}: options.tokenizer: no folder {tokenizer}; expected one saved with save_pretrained()"
        )
    return folder


def _digest(folder: Path) -> str:
    """Sha256 of the files that a tokenizer is read from."""
    files = sorted({path for pattern in CONFIGS for path in folder.glob(pattern)})
    return hashlib.sha256(canonical_json([[path.name, sha256_file(path)] for path in files]).encode()).hexdigest()
