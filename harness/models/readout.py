"""Reward models that are a transformer and a head: hidden states at known tokens of a text, and what is made of them."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.condition import NONE, Condition
from harness.errors import HarnessError, InputError
from harness.models.base import Adapter, BatchTooLargeError, Encoded, Forwarded, Resolved, Unencodable
from harness.models.batch import Layout, batchable
from harness.models.cost import measure
from harness.models.encoding import TextEncoder
from harness.models.last_layer import Pooled, only_at
from harness.models.loading import checkpoint_config, load_tokenizer, require_embedded
from harness.models.neurons import ablated
from harness.models.pooling import native, pooling
from harness.models.shortcuts import check
from harness.models.sites import Sites
from harness.models.tree import Tree, single
from harness.preference import Message, Unit
from harness.reading import Reading

if TYPE_CHECKING:
    import torch

    from harness.models.accumulate import Accumulator

EXAMPLES = (
    (Message("user", "Is water wet?"), Message("assistant", "Yes.")),
    (Message("user", "Name two colours."), Message("assistant", "Red, and also the green of leaves in early spring.")),
)


class Readout(Adapter):
    """A kind of model says which transformer runs (`load_model`), what its head is (`load_head`), and, where they are not
    the one place of `spec.pooling`, which tokens are read (`places`) and what their states give (`read`).

    What is the same for all of them is here: one row for texts that begin alike, the last layer only where it is
    read, interventions on neurons and sums over them; each only if a check at loading finds the same outputs.
    """

    capabilities = frozenset({"scores", "hidden_states", "neurons"})

    def __init__(self, resolved: Resolved) -> None:
        self.spec, self.source = resolved.spec, resolved.name
        self.checkpoint = checkpoint_config(resolved)
        self.tokenizer = load_tokenizer(resolved)
        self.encoder = self.bind()
        require_embedded(
            resolved,
            max((int(t.ids.max()) for t in self.encoder.encode(EXAMPLES) if isinstance(t, Encoded)), default=0),
        )
        self._require_pooling(self.checkpoint.get("pad_token_id"))
        self.model = self.load_model(resolved)
        self.sites = Sites(self.model)
        config = self.model.config.get_text_config()
        self.pad = config.pad_token_id
        self.pool = pooling(self.spec.pooling, self.pad)
        # Stock code refuses batches without a pad id; which token it would pool does not matter, we pool ourselves.
        config.pad_token_id = self.pad if self.pad is not None else 0
        accepted = inspect.signature(self.model.forward).parameters
        self.layout = Layout(
            device=resolved.device,
            dtype=self.model.dtype,
            fill=config.pad_token_id,
            types="token_type_ids" in self.tokenizer.model_input_names and "token_type_ids" in accepted,
            masks=False,
            attention=self.model.config._attn_implementation,
        )
        self.cost = measure(self.model, resolved.backend)
        self.head = self.load_head(resolved)
        self.last_layer: list[Any] = []
        self.attention_kernels: dict[str, list[str]] = {}
        # Until a check has shown more: one state a text, and texts of different length are not mixed.
        self.per_token = self.mixes = False
        check(self)
        self.neurons_missing = self._why_no_neurons()
        if self.spec.heads is not None and len(self.spec.heads.weights) > 1:
            self.capabilities = self.capabilities | {"objectives"}

    # --- what a kind of model decides ---------------------------------------------------------------

    def bind(self) -> TextEncoder:
        """How texts become ids; by the spec's template, unless a kind has one of its own."""
        return TextEncoder(self.tokenizer, self.spec)

    @abstractmethod
    def load_model(self, resolved: Resolved) -> Any:
        """The transformers model that runs, every tensor of it from the checkpoint."""

    @abstractmethod
    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """What makes outputs (places, heads) of states (places, width), in float32."""

    def hidden(self, tensors: dict[str, Any]) -> torch.Tensor:
        """States of a batch, (rows, tokens, width), or (rows, width) of a model that pools inside itself."""
        return self.model(**tensors).last_hidden_state

    def places(self, text: Encoded) -> Sequence[int]:
        """Positions of a text that are read, in order; a model that pools inside itself is taken to read the first one."""
        at = self.pool(text.ids) if self.per_token else 0
        return (0 if at is None else at,)

    def read(self, states: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """Outputs (texts, heads), float32, from the states (places, width) of the texts' places, one text after the other."""
        return self.head(states)

    def examples(self) -> list[Encoded]:
        """Two texts of different length, for the checks at loading; fewer where the model's template refuses them."""
        return [e for e in self.encode([_unit(talk) for talk in EXAMPLES]) if isinstance(e, Encoded)]

    def require_own(self, examples: Sequence[Encoded], outputs: torch.Tensor) -> None:
        """Raise InputError where the model has scores of its own for these texts and they are others than our `outputs`."""

    # --- the seam to the engine ---------------------------------------------------------------------

    @classmethod
    def load(cls, resolved: Resolved) -> Readout:
        """The model in memory; raises InputError for missing tensors or a head that does not act as expected."""
        return cls(resolved)

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Ids by the template; Unencodable also where the text has no token that is to be read."""
        return [self.readable(e) for e in self.encoder.encode([u.conversation for u in units])]

    def readable(self, text: Encoded | Unencodable) -> Encoded | Unencodable:
        """The text, or why it cannot be read: the pooling rule finds no token in it."""
        if isinstance(text, Encoded) and self.pool(text.ids) is None:
            return Unencodable(f"no token for pooling {self.spec.pooling} in the text")
        return text

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Outputs of texts that each have a row of their own; see `forward_trees`."""
        return self.forward_trees([single(text) for text in batch], capture)

    def forward_trees(self, batch: Sequence[Tree], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Outputs of all texts of all rows, float32; capture `head_input` is the state a text's one place has before the head.

        Raises BatchTooLargeError where the device has not enough memory, and ValueError for a row that
        holds several texts although the model cannot keep them apart.
        """
        import torch

        self._require_separable(batch)
        groups = batchable(batch, self.mixes)
        try:
            with torch.inference_mode():
                found = [self.run([batch[i] for i in rows]) for rows in groups]
                outputs = torch.cat([outputs for outputs, _ in found]).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error
        texts = np.split(np.arange(len(outputs)), np.cumsum([len(t.texts) for t in batch])[:-1])
        back = np.argsort(np.concatenate([texts[i] for rows in groups for i in rows]))
        if "head_input" not in capture:
            return Forwarded(outputs[back])
        states = torch.cat([states for _, states in found]).cpu().numpy()
        return Forwarded(outputs[back], {"head_input": states[back]})

    def under(self, condition: Condition) -> AbstractContextManager[None]:
        """Neurons held at fixed values in every forward pass while the context lives."""
        return ablated(self.sites, condition) if condition != NONE else nullcontext()

    def accumulate(self, batch: Sequence[Tree], weights: Sequence[float], reading: Reading, into: Accumulator) -> None:
        """Add the tokens of a batch to running sums at the neurons; see `Adapter.accumulate`."""
        import torch

        self._require_separable(batch)
        first = np.cumsum([0, *(len(t.texts) for t in batch)])
        try:
            for rows in batchable(batch, self.mixes):
                part = [batch[i] for i in rows]
                total = np.concatenate([np.asarray(weights)[first[i] : first[i + 1]] for i in rows])
                self._accumulate(part, self.layout.put(total.astype(np.float32)), reading, into)
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        import torch

        return {
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attn_implementation": self.layout.attention,
            "attention_kernels": self.attention_kernels,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "pooling": self.spec.pooling if self.per_token else "inside the model",
            "max_length": self.spec.max_length,
            "template_sha256": self.encoder.template.sha256,
            "n_parameters": sum(p.numel() for p in self.model.parameters()),
            "masks_padding": self.mixes,
            "neurons_missing": self.neurons_missing,
            "bos_token_id": self.encoder.bos,
            "pad_token_id": self.pad,
        }

    def heads(self, site: str) -> np.ndarray | None:
        """Attention heads of every layer at this kind of site, (layers,); None where its neurons are no heads'."""
        heads = np.array([layer.heads for layer in self.sites[site]])
        return heads if heads.any() else None

    # --- one padded batch ---------------------------------------------------------------------------

    def run(self, batch: Sequence[Tree], last_layer: Sequence[Any] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (texts, heads) of the texts of some rows, and the states (places, width) they are made of, both float32.

        `last_layer` are the modules that compute only what is read, by default those that were found to allow it.
        """
        pooled = self._pooled(batch)
        with only_at(self.last_layer if last_layer is None else last_layer, pooled):
            states = self.hidden(self.layout.tensors(batch))
        if states.dim() == 3 and not self.per_token:  # The first text tells.
            self.per_token = True
            pooled = self._pooled(batch)
        if self.per_token:
            states = states[pooled.on(states)]
        states = states.float().to(next(self.head.parameters()).device)
        return self.read(states, [text for tree in batch for text in tree.texts]), states

    def _pooled(self, batch: Sequence[Tree]) -> Pooled:
        """Where each text is read: (row, packed token) of each of its places."""
        tokens, rows = [], []
        for row, tree in enumerate(batch):
            for text, path in zip(tree.texts, tree.paths, strict=True):
                here = path[list(self.places(text))]
                tokens.append(here)
                rows.append(np.full(len(here), row))
        shape = len(batch), max(len(tree) for tree in batch)
        return Pooled(self.layout.put(np.concatenate(rows)), self.layout.put(np.concatenate(tokens)), shape)

    def _accumulate(self, batch: Sequence[Tree], weights: torch.Tensor, reading: Reading, into: Accumulator) -> None:
        import torch

        from harness.models.accumulate import SPANS

        span = SPANS[reading.span]
        counts = into.count(batch, lambda text: span(text, self.places(text)[-1], reading.skip))
        with torch.set_grad_enabled(into.needs_grad), into.watching(self.sites[reading.site], self.layout.put(counts)):
            outputs, _ = self.run(batch, last_layer=())
            if into.needs_grad:
                heads = self.spec.heads.weights if self.spec.heads else (1.0, *(0.0,) * (outputs.shape[1] - 1))
                scores = outputs @ torch.tensor(heads, device=outputs.device, dtype=outputs.dtype)
                into.backward((weights.to(scores.device) * scores).sum())

    # --- what stands in the way ---------------------------------------------------------------------

    def _require_separable(self, batch: Sequence[Tree]) -> None:
        longest = max((len(path) for tree in batch for path in tree.paths), default=0)
        if any(tree.forks for tree in batch) and longest > self.shares:
            raise ValueError(
                f"{self.source}: a batch shares prefixes although a text of it has {longest} tokens; the mask that keeps "
                f"texts apart is exact only up to {self.shares}"
            )

    def _require_pooling(self, pad: int | None) -> None:
        """Raise InputError where texts end in the checkpoint's pad token and the spec does not say whether it is read."""
        if "pooling" in self.spec.model_fields_set or pad is None:
            return
        for text in self.encoder.encode(EXAMPLES):
            if isinstance(text, Encoded) and native(text.ids, pad) != len(text) - 1:
                token = self.tokenizer.convert_ids_to_tokens(int(text.ids[-1]))
                raise InputError(
                    f"{self.source}: its texts end in {token}, which is also its pad token, so stock code reads the token "
                    "before it. Put 'pooling: native' into its spec if it was trained that way (TRL and stock transformers "
                    "do), or 'pooling: last_attended' if the end token was read"
                )

    def _why_no_neurons(self) -> str | None:
        """What stands in the way of reading the MLPs' neurons of a first short text; None where nothing does."""
        from harness.models.accumulate import Moments

        try:
            self.sites[Reading().site]
            for text in self.examples()[:1]:
                self.accumulate([single(text)], [0.0], Reading(), Moments())
        except HarnessError as error:
            return str(error)
        return None


def _unit(conversation: tuple[Message, ...]) -> Unit:
    return Unit("", "", "", "", "", "", "", conversation)
