"""The seam between models and the engine: encoded ids in, numbers out."""

from __future__ import annotations

import hashlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.condition import NONE, Condition
from harness.errors import InputError
from harness.models import sniff
from harness.models.spec import ModelSpec
from harness.preference import Unit, canonical_json, messages_json
from harness.reading import Reading
from harness.registry import Registry

if TYPE_CHECKING:
    from harness.models.accumulate import Accumulator
    from harness.models.sites import Site
    from harness.models.tree import Tree


@dataclass(frozen=True)
class Encoded:
    """Token ids of one conversation: the only thing the engine ever sends to a model.

    `ids` and `type_ids` (None where the model has none) have one entry a token; `response_start` is the
    index of the first response token; `step_ends` are indices of the last token of each step.
    `truncated` says that the text was longer than the model's limit; it is not part of the identity.
    """

    ids: np.ndarray
    type_ids: np.ndarray | None = None
    response_start: int = 0
    step_ends: tuple[int, ...] = ()
    truncated: bool = False

    def digest(self) -> bytes:
        """Sha256 over every field that can change a score."""
        h = hashlib.sha256(np.ascontiguousarray(self.ids, dtype="<i8").tobytes())
        h.update(b"|" if self.type_ids is None else np.ascontiguousarray(self.type_ids, dtype="<i8").tobytes())
        h.update(struct.pack(f"<{1 + len(self.step_ends)}q", self.response_start, *self.step_ends))
        return h.digest()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Unencodable:
    """A unit the adapter cannot turn into ids: becomes a failed row with this reason, never a crash."""

    error: str


@dataclass(frozen=True)
class Forwarded:
    """What one batch gave: `outputs` float32 (batch, heads); `captures` by name, float32 (batch, …).

    `errors` says, by place in the batch, why a text got no score: it becomes a failed row, whatever its outputs are.
    """

    outputs: np.ndarray
    captures: dict[str, np.ndarray] = field(default_factory=dict)
    errors: Mapping[int, str] = field(default_factory=dict)


class BatchTooLargeError(Exception):
    """`forward` ran out of device memory: the engine halves the batch and goes on."""


@dataclass(frozen=True)
class Cost:
    """What a forward pass costs, for planning; the unit is one token through the linear layers.

    `attention` is the cost of one query-key pair of a row, `fixed` what every batch costs besides, and
    `budget` how many padded tokens a batch should hold.
    """

    attention: float = 0.0
    fixed: float = 0.0
    budget: int = 2048


class Adapter(ABC):
    """One kind of reward model. Subclass in a file of its own under `models/adapters` and register.

    `capabilities` are among `scores`, `compares`, `objectives`, `steps`, `generates`, `hidden_states`, `neurons`; a loaded model may add to its class's.
    A model with `neurons` in its class but none that can be read says why under `neurons_missing` in `describe`.
    `reads_unit_ids` says that `encode` looks at more of a unit than its conversation.
    """

    capabilities: frozenset[str] = frozenset({"scores"})
    version: ClassVar[str] = "1"
    asks: ClassVar[str] = ""
    """What a model of this kind must have, or its spec must say, in a few words: listed where no kind is recognised."""
    reads_unit_ids: ClassVar[bool] = False
    cost: Cost = Cost()
    shares: int = 0
    """Tokens up to which a text may share a row with others that begin alike (`forward_trees`); 0: not at all."""
    bounded: bool = False
    """Whether its scores are meant to lie between 0 and 1, as probabilities do: a doctor looks for a sigmoid too many in all others."""
    remote: bool = False
    """Whether a forward pass asks somebody's server, which may cost money: such a model is not examined unless one asks for it."""
    runs_code: ClassVar[bool] = False
    """Whether loading runs code from the model's repository, which needs --trust-remote-code."""
    replicate: int = 0
    """Which time the engine scores the texts of the next `forward`: a model that remembers answers must ask anew for another."""
    sites: Mapping[str, Sequence[Site]] = MappingProxyType({})
    """Of a loaded model with `neurons`: where they are, by kind; asking for a kind it does not have raises InputError."""
    spec: ModelSpec

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """Whether a config and the names of the stored tensors (None where they are pickled) show a model of this kind beyond doubt."""
        return False

    @classmethod
    def longest(cls, config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int | None:
        """Longest input in tokens by the model's config and its tokenizer's; None where they do not bound a model of this kind."""
        return sniff.position_limit(config, tokenizer)

    @classmethod
    def companions(cls, spec: ModelSpec) -> Mapping[str, str]:
        """Other models that this kind loads beside its own, folders or Hub ids by the part they play; their content is part of its own."""
        return {}

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with what this kind reads from the model's config and tensor names (None where they are pickled).

        Raises InputError where they show, before any weight is loaded, that the model cannot score.
        """
        return spec

    @classmethod
    @abstractmethod
    def load(cls, resolved: Resolved) -> Adapter:
        """The model in memory, ready to encode and forward; raises InputError with the cure where it cannot be loaded."""

    @abstractmethod
    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Ids of every unit's conversation, in order: rendered once, truncated by the spec, special tokens in texts left text."""

    @abstractmethod
    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Raw head outputs of a batch, in its order. Must not depend on what else is in the batch."""

    def forward_trees(self, batch: Sequence[Tree], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Raw head outputs of all texts of all rows, in order. A model whose `shares` is 0 only gets rows of one text."""
        return self.forward([text for tree in batch for text in tree.texts], capture)

    def under(self, condition: Condition) -> AbstractContextManager[None]:
        """For as long as the context lives, `forward` answers under this intervention; raises InputError where it cannot."""
        if condition == NONE:
            return nullcontext()
        raise InputError(
            f"{type(self).__name__} has no neurons to intervene on, so the condition {condition.name!r} does not apply to it"
        )

    def accumulate(self, batch: Sequence[Tree], weights: Sequence[float], reading: Reading, into: Accumulator) -> None:
        """Add a batch to the running sums `into`; `weights` has one number a text, in order.

        Raises InputError where the model has no neurons.
        """
        raise InputError(f"{type(self).__name__} has no neurons whose activations could be read")

    def heads(self, site: str) -> np.ndarray | None:
        """How many attention heads share the neurons of every layer at this kind of site, (layers,); None where no heads do."""
        return None

    @classmethod
    def raw_score(cls, spec: ModelSpec, outputs: np.ndarray) -> np.ndarray:
        """Score as the model said it, float32 (n,), from head outputs (n, heads): weighted sum, or the only head.

        A class method, because stored outputs are read without the model.
        """
        if spec.heads is not None:
            return (outputs.astype(np.float64) @ np.asarray(spec.heads.weights)).astype(np.float32)
        return outputs[:, 0]

    def describe(self) -> dict[str, object]:
        """What was decided at load time and belongs into the result: dtype, attention, pooling, max_length, template hash."""
        return {}


PARSED = "parsed"
"""Name of a head's output that is 1 where a model that answers in words gave a verdict, and 0 where it gave none."""


class PairwiseAdapter(Adapter):
    """A model that only compares: it answers P(a preferred to b) for one order; the engine asks both and averages."""

    capabilities = frozenset({"compares"})

    @abstractmethod
    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        """Ids of every ordered pair. The score of what `forward` then returns is P(first preferred to second)."""

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Every unit is refused: this model gives no score to a single reply."""
        return [Unencodable("this model only compares replies") for _ in units]


@dataclass(frozen=True)
class Resolved:
    """A model that has been found but not loaded: enough to name, fingerprint and later load it.

    `spec` has every `None` and `auto` that can be decided without the weights decided (dtype, attention,
    template, max_length). `name` is `org/model`, with org `local` for a folder, `null` for a null model and `endpoint`
    for one behind an address; `revision` the 40-hex commit, or `local-` or `endpoint-` and 12 hex digits of the content.
    `files` are all files whose bytes can change a score, `content` a hash of them.
    """

    name: str
    spec: ModelSpec
    adapter: type[Adapter]
    revision: str
    content: str
    device: str = "cpu"
    path: Path | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False

    patch: Path | None = None
    """The folder of a PEFT adapter that is merged into the checkpoint at `path`."""
    companions: Mapping[str, Path] = field(default_factory=dict)
    """Folders of the models that the kind loads beside this one."""

    instance: Adapter | None = None
    """An adapter that was handed over as an object and needs no loading."""

    def load(self) -> Adapter:
        """The model in memory."""
        return self.instance or self.adapter.load(self)

    @property
    def backend(self) -> str:
        """`cpu` or `cuda`: the kind of device, which can change a score in its last digits; its number cannot."""
        return self.device.split(":")[0]

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over what decides a score: content, spec without prose, adapter version, backend. Devices share nothing."""
        adapter = f"{self.adapter.__module__}.{self.adapter.__qualname__}@{self.adapter.version}"
        backend = self.device.split(":")[0]
        return hashlib.sha256(
            canonical_json([self.content, self.spec.identity(), adapter, backend]).encode()
        ).hexdigest()


def request_digest(resolved: Resolved, unit: Unit) -> bytes:
    """Key of a unit before it is encoded: sha256 over who scores and all that the adapter may read of the unit."""
    ids = [unit.unit_id, unit.item_id, unit.side] if resolved.adapter.reads_unit_ids else []
    text = canonical_json([resolved.fingerprint, ids, messages_json(unit.conversation)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


ADAPTERS: Registry[type[Adapter]] = Registry("adapter", "reward_harness.adapters", "harness.models.adapters")
