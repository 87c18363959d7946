"""Reward models that transformers loads as sequence classifiers: decoders and encoders, one label or several."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.condition import NONE, Condition
from harness.errors import HarnessError, InputError
from harness.models import sniff
from harness.models.attention import kernels
from harness.models.base import ADAPTERS, Adapter, BatchTooLargeError, Encoded, Forwarded, Resolved, Unencodable
from harness.models.batch import TREE_MASKS, Layout
from harness.models.cost import measure
from harness.models.encoding import TextEncoder
from harness.models.last_layer import Pooled, behind_attention, is_causal, only_at
from harness.models.loading import first_line, load_classifier, load_tokenizer
from harness.models.neurons import ablated
from harness.models.pooling import pooling
from harness.models.sites import Sites
from harness.models.spec import Heads, ModelSpec
from harness.models.template import require_template
from harness.models.tree import Tree, grow, single
from harness.preference import Message, Unit
from harness.reading import Reading

if TYPE_CHECKING:
    import torch

    from harness.models.accumulate import Accumulator

PROBES = (
    (Message("user", "Is water wet?"), Message("assistant", "Yes.")),
    (Message("user", "Name two colours."), Message("assistant", "Red, and also the green of leaves in early spring.")),
)
UNBOUNDED = 2**31
TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "bfloat16": 1e-1}
"""Largest difference, relative to the larger of 1 and the score, that rounding explains."""


@ADAPTERS.register("sequence-classification")
class SequenceClassifier(Adapter):
    """Any `AutoModelForSequenceClassification`: kinds A1, A2, A4 (one label) and B1 (several, weighted by the spec).

    The input of the last linear layer is taken by a hook, pooled at an explicit position where it has
    one state a token, and multiplied with the head in float32.
    """

    capabilities = frozenset({"scores", "hidden_states", "neurons"})

    def __init__(self, resolved: Resolved) -> None:
        self.spec, self.source = resolved.spec, resolved.name
        tokenizer = load_tokenizer(resolved)
        self.encoder = TextEncoder(tokenizer, self.spec)
        self.model = load_classifier(resolved)
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
            types="token_type_ids" in tokenizer.model_input_names and "token_type_ids" in accepted,
            masks=False,
            attention=self.model.config._attn_implementation,
        )
        self.cost = measure(self.model, resolved.backend)
        self._find_head(self.model.config.num_labels)
        self.last_layer: list[Any] = []
        self.attention_kernels: dict[str, list[str]] = {}
        # Until a check has shown more: one state a text, and texts of different length are not mixed.
        self.per_token = self.mixes = False
        self._check()
        self.neurons_missing = self._why_no_neurons()
        if self.model.config.num_labels > 1:
            self.capabilities = self.capabilities | {"objectives"}

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """Names of the outputs, after checking that there are a template, a head, and weights where outputs are several."""
        require_template(spec)
        names = sniff.labels(config)
        if tensors is not None:
            sniff.require_head(tensors, spec.model)
        if spec.heads is None and len(names) == 1:
            return spec
        if spec.heads is None:
            raise InputError(
                f"{spec.model} has {len(names)} outputs ({', '.join(names)}) and no weights for them; put "
                f"'heads: {{weights: [{', '.join(['…'] * len(names))}]}}' into its spec: score = sum of weight x output"
            )
        if len(spec.heads.weights) != len(names) or len(spec.heads.names) not in (0, len(names)):
            raise InputError(
                f"{spec.model}: heads has {len(spec.heads.weights)} weights and {len(spec.heads.names)} names; "
                f"the model has {len(names)} outputs ({', '.join(names)})"
            )
        return spec.model_copy(update={"heads": Heads(names=spec.heads.names or names, weights=spec.heads.weights)})

    @classmethod
    def load(cls, resolved: Resolved) -> SequenceClassifier:
        """The model in memory; raises InputError for missing tensors or a head that does not act as expected."""
        return cls(resolved)

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Ids by the template; Unencodable also where the text has no token the pooling rule asks for."""
        encoded = self.encoder.encode([u.conversation for u in units])
        return [
            Unencodable(f"no token for pooling {self.spec.pooling} in the text")
            if isinstance(e, Encoded) and self.pool(e.ids) is None
            else e
            for e in encoded
        ]

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Head outputs of texts that each have a row of their own; see `forward_trees`."""
        return self.forward_trees([single(text) for text in batch], capture)

    def forward_trees(self, batch: Sequence[Tree], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Head outputs of all texts of all rows, float32; capture `head_input` is the pooled state before the last linear layer.

        Raises BatchTooLargeError where the device has not enough memory, and ValueError for a row that
        holds several texts although the model cannot keep them apart.
        """
        import torch

        self._require_separable(batch)
        groups = self._groups(batch)
        try:
            with torch.inference_mode():
                states = torch.cat([self._states([batch[i] for i in rows])[0] for rows in groups])
                outputs = torch.nn.functional.linear(states, self.weight, self.bias).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error
        texts = np.split(np.arange(sum(len(t.texts) for t in batch)), np.cumsum([len(t.texts) for t in batch])[:-1])
        back = np.argsort(np.concatenate([texts[i] for rows in groups for i in rows]))
        captures = {"head_input": states.cpu().numpy()[back]} if "head_input" in capture else {}
        return Forwarded(outputs[back], captures)

    def under(self, condition: Condition) -> AbstractContextManager[None]:
        """Neurons held at fixed values in every forward pass while the context lives."""
        return ablated(self.sites, condition) if condition != NONE else nullcontext()

    def accumulate(self, batch: Sequence[Tree], weights: Sequence[float], reading: Reading, into: Accumulator) -> None:
        """Add the tokens of a batch to running sums at the neurons; see `Adapter.accumulate`."""
        import torch

        self._require_separable(batch)
        first = np.cumsum([0, *(len(t.texts) for t in batch)])
        try:
            for rows in self._groups(batch):
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
        }

    def heads(self, site: str) -> np.ndarray | None:
        """Attention heads of every layer at this kind of site, (layers,); None where its neurons are no heads'."""
        heads = np.array([layer.heads for layer in self.sites[site]])
        return heads if heads.any() else None

    # --- one padded batch -------------------------------------------------------------------------

    def _require_separable(self, batch: Sequence[Tree]) -> None:
        longest = max((len(path) for tree in batch for path in tree.paths), default=0)
        if any(tree.forks for tree in batch) and longest > self.shares:
            raise ValueError(
                f"{self.source}: a batch shares prefixes although a text of it has {longest} tokens; the mask that keeps "
                f"texts apart is exact only up to {self.shares}"
            )

    def _groups(self, batch: Sequence[Tree]) -> list[list[int]]:
        """Rows that may share a padded batch: all, or those of equal length where the model minds padding."""
        if self.mixes:
            return [list(range(len(batch)))]
        groups: dict[int, list[int]] = {}
        for i, tree in enumerate(batch):
            groups.setdefault(len(tree), []).append(i)
        return list(groups.values())

    def _read_at(self, text: Encoded) -> int:
        """The position whose state is scored; a model that pools inside itself is taken to read the first one."""
        at = self.pool(text.ids) if self.per_token else 0
        return 0 if at is None else at

    def _pooled(self, batch: Sequence[Tree]) -> Pooled:
        """Where each text is read: by the pooling rule, or at the first token of a model that pools inside itself."""
        rows = [row for row, tree in enumerate(batch) for _ in tree.texts]
        tokens = [
            path[self._read_at(text)] for tree in batch for text, path in zip(tree.texts, tree.paths, strict=True)
        ]
        shape = len(batch), max(len(tree) for tree in batch)
        return Pooled(self.layout.put(np.array(rows)), self.layout.put(np.array(tokens)), shape)

    def _states(
        self, batch: Sequence[Tree], last_layer: Sequence[Any] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled head input (texts, width), float32, and the model's own logits.

        `last_layer` are the modules that compute only what is read; what the model's own logits say is then void.
        """
        seen: list[torch.Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        pooled = self._pooled(batch)
        try:
            with only_at(self.last_layer if last_layer is None else last_layer, pooled):
                logits = self.model(**self.layout.tensors(batch)).logits
        finally:
            hook.remove()
        states = seen[-1]
        if states.dim() == 3 and not self.per_token:  # The first text tells.
            self.per_token = True
            pooled = self._pooled(batch)
        if self.per_token:
            states = states[pooled.on(states)]
        there = self.weight.device
        return states.float().to(there), logits.float().to(there)

    def _accumulate(self, batch: Sequence[Tree], weights: torch.Tensor, reading: Reading, into: Accumulator) -> None:
        import torch

        from harness.models.accumulate import SPANS

        span = SPANS[reading.span]
        counts = into.count(batch, lambda text: span(text, self._read_at(text), reading.skip))
        with torch.set_grad_enabled(into.needs_grad), into.watching(self.sites[reading.site], self.layout.put(counts)):
            states, _ = self._states(batch, last_layer=())
            if into.needs_grad:
                outputs = torch.nn.functional.linear(states, self.weight, self.bias)
                heads = self.spec.heads.weights if self.spec.heads else (1.0,)
                scores = outputs @ torch.tensor(heads, device=outputs.device, dtype=outputs.dtype)
                into.backward((weights.to(scores.device) * scores).sum())

    # --- load-time checks -------------------------------------------------------------------------

    def _find_head(self, num_labels: int) -> None:
        """The last linear layer with one output a label; its weights in float32."""
        import torch

        fitting = [m for m in self.model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == num_labels]
        if not fitting:
            raise InputError(f"{self.source}: no linear layer with {num_labels} outputs, so no head that can be read")
        self.head = fitting[-1]
        self.weight = self.head.weight.detach().float()
        self.bias = None if self.head.bias is None else self.head.bias.detach().float()

    def _check(self) -> None:
        """What this model allows, from two texts scored alone: mixing lengths, sharing prefixes, a last layer in part.

        Raises InputError where it cannot score at all, or where the head we read is not what it scores with.
        """
        import torch

        encoded = [e for e in self.encoder.encode(PROBES) if isinstance(e, Encoded) and self.pool(e.ids) is not None]
        if len(encoded) < len(PROBES):
            return
        rows = [single(e) for e in encoded]
        with torch.inference_mode():
            try:
                alone = [self._states([row], ()) for row in rows]
            except RuntimeError as error:  # such as a kernel that does not take this dtype, or cannot be compiled here
                raise InputError(
                    f"{self.source} fails on a first short text with attention {self.layout.attention} in {self.spec.dtype}: "
                    f"{first_line(error)}; try another attn_implementation in its spec, or --dtype bfloat16"
                ) from error
            states, logits = (torch.cat(parts) for parts in zip(*alone, strict=True))
            outputs = torch.nn.functional.linear(states, self.weight, self.bias)
            if self.spec.pooling != "native" and not self.per_token:
                raise InputError(f"{self.source} pools inside itself; its spec must say 'pooling: native' or nothing")
            if self.spec.pooling == "native" and not self._close(outputs, logits):
                raise InputError(
                    f"{self.source}: its own scores of a text ({logits[0].tolist()}) are not what its last linear layer "
                    f"gives ({outputs[0].tolist()}); this kind of head needs an adapter of its own"
                )
            self._check_padding(rows, outputs)
            self._check_last_layer(rows, outputs)
            self._check_sharing(encoded, outputs)
        batches = {"single": rows} | ({"tree": [grow(encoded)]} if self.shares else {})
        for name, batch in batches.items():
            self.attention_kernels[name] = kernels(self.layout.attention, partial(self.forward_trees, batch))

    def _check_padding(self, rows: Sequence[Tree], alone: torch.Tensor) -> None:
        """Whether texts of different length may be mixed: as they are in a causal model, or with their padding masked."""
        plain = self.layout
        for masks in (False, True) if is_causal(self.model) else (True,):
            self.layout = replace(plain, masks=masks)
            self.mixes = self._agrees(rows, alone)
            if self.mixes:
                break
        if not self.mixes:
            self.layout = plain
        elif not self.layout.masks:
            # Unmasked padding of the pad id would make stock code warn of a mistake.
            self.layout = replace(self.layout, fill=int(self.layout.fill == 0))

    def _check_last_layer(self, rows: Sequence[Tree], alone: torch.Tensor) -> None:
        """Whether the last layer may be computed only where it is read."""
        candidate = behind_attention(self.model)
        if candidate and self.mixes and self._agrees(rows, alone, candidate):
            self.last_layer = candidate

    def _check_sharing(self, encoded: Sequence[Encoded], alone: torch.Tensor) -> None:
        """Up to which length texts may share a row: none of a model that looks both ways, the window of one that has one."""
        if not self.per_token or not is_causal(self.model) or self.layout.attention not in TREE_MASKS:
            return
        tree, longest = grow(encoded), max(map(len, encoded))
        order = [next(i for i, e in enumerate(encoded) if e is text) for text in tree.texts]
        window = sniff.attention_window(self.model.config.to_dict())
        self.shares = window if window is not None else self.spec.max_length or UNBOUNDED
        if longest > self.shares or not self._agrees([tree], alone[order]):
            self.shares = 0

    def _why_no_neurons(self) -> str | None:
        """What stands in the way of reading the MLPs' neurons of a first short text; None where nothing does."""
        from harness.models.accumulate import Moments

        texts = [e for e in self.encoder.encode(PROBES) if isinstance(e, Encoded) and self.pool(e.ids) is not None]
        try:
            self.sites[Reading().site]
            for text in texts[:1]:
                self.accumulate([single(text)], [0.0], Reading(), Moments())
        except HarnessError as error:
            return str(error)
        return None

    def _agrees(self, rows: Sequence[Tree], expected: torch.Tensor, last_layer: Sequence[Any] = ()) -> bool:
        import torch

        try:
            states, _ = self._states(rows, last_layer)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return False  # A model that cannot take such a batch at all: it is never given one.
        return self._close(torch.nn.functional.linear(states, self.weight, self.bias), expected)

    def _close(self, a: torch.Tensor, b: torch.Tensor) -> bool:
        return bool(((a - b).abs() <= TOLERANCE[self.spec.dtype] * b.abs().clamp(min=1)).all())
