"""Models that only their own code can run: third-party Python from their repository, behind --trust-remote-code alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import NonNegativeInt

from harness.errors import InputError
from harness.models.base import ADAPTERS, Adapter, BatchTooLargeError, Encoded, Forwarded, Resolved, Unencodable
from harness.models.batch import batchable
from harness.models.cost import measure
from harness.models.encoding import TextEncoder
from harness.models.loading import first_line, load_model, load_tokenizer
from harness.models.options import parse_options
from harness.models.readout import EXAMPLES
from harness.models.sniff import read_json
from harness.models.spec import Frozen, ModelSpec
from harness.models.template import require_template
from harness.preference import Unit

if TYPE_CHECKING:
    import torch

LOADERS = ("AutoModelForSequenceClassification", "AutoModel")
"""Classes of transformers that may find the model's own in `auto_map`, the likelier for a reward model first."""


class Options(Frozen):
    """`output` names what the model returns the score as: an attribute such as `score`, or a place in a tuple."""

    output: str | NonNegativeInt


@ADAPTERS.register("remote-code")
class RemoteCode(Adapter):
    """Ids and mask in, `options.output` out: (rows,) or (rows, outputs). Third-party code may mind padding, so there is none: a
    batch runs in parts of equal length. Nothing else is known of such a model, so it has neither states nor neurons to read.
    """

    runs_code = True
    asks = "auto_map in the config, --trust-remote-code, and options: {output: NAME} of what the model returns"

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec as it is; raises InputError for a wrong option, and where there is no code or no template."""
        parse_options(Options, spec)
        require_template(spec)
        _loader(config, spec.model)
        return spec

    @classmethod
    def load(cls, resolved: Resolved) -> RemoteCode:
        """The model in memory; raises InputError where its code gives no number a text."""
        return cls(resolved)

    def __init__(self, resolved: Resolved) -> None:
        import transformers

        assert resolved.path is not None, "code lies in a folder"
        self.spec, self.source = resolved.spec, resolved.name
        self.output = parse_options(Options, self.spec).output
        self.encoder = TextEncoder(load_tokenizer(resolved), self.spec)
        loader = _loader(read_json(resolved.path / "config.json"), self.source)
        self.model = load_model(resolved, getattr(transformers, loader))
        self.cost = measure(self.model, resolved.backend)
        self._require_heads()

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        """Ids by the spec's template."""
        return self.encoder.encode([u.conversation for u in units])

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """Outputs of texts, those of one length at a time; raises BatchTooLargeError where memory is short."""
        import torch

        groups = batchable(batch, mixes=False)
        try:
            with torch.inference_mode():
                found = torch.cat([self._run([batch[i] for i in rows]) for rows in groups])
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error
        back = np.argsort(np.concatenate(groups))
        return Forwarded(found.cpu().numpy()[back])

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        return {
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attn_implementation": self.model.config._attn_implementation,
            "pooling": "inside the model",
            "max_length": self.spec.max_length,
            "template_sha256": self.encoder.template.sha256,
            "n_parameters": sum(p.numel() for p in self.model.parameters()),
            "bos_token_id": self.encoder.bos,
        }

    def _run(self, texts: Sequence[Encoded]) -> torch.Tensor:
        """Outputs (texts, outputs), float32, of texts of one length."""
        import torch

        ids = torch.from_numpy(np.stack([text.ids for text in texts]).astype(np.int64)).to(self.model.device)
        try:
            returned = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.source}: its code cannot be called with input_ids and attention_mask: {type(error).__name__}: "
                f"{first_line(error)}; it may need another version of a package: say so under requires in its spec"
            ) from error
        found = _pick(returned, self.output)
        if not isinstance(found, torch.Tensor) or found.dim() not in (1, 2) or len(found) != len(texts):
            what = f"a tensor {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise InputError(
                f"{self.source}: options: {{output: {self.output}}} is {what}; expected ({len(texts)},) or ({len(texts)}, "
                f"outputs). What the model returns: {_names(returned)}"
            )
        return found.float().reshape(len(texts), -1)

    def _require_heads(self) -> None:
        """Raise InputError where the model gives several outputs and the spec does not weigh as many."""
        texts = [e for e in self.encoder.encode(EXAMPLES) if isinstance(e, Encoded)]
        if not texts:
            return
        n, heads = self.forward(texts[:1]).outputs.shape[1], self.spec.heads
        if n != (len(heads.weights) if heads else 1):
            raise InputError(
                f"{self.source}: options: {{output: {self.output}}} has {n} columns and the spec weighs "
                f"{len(heads.weights) if heads else 'none'}; put 'heads: {{weights: [{', '.join(['…'] * n)}]}}' into its spec"
            )


def _loader(config: Mapping[str, Any], source: str) -> str:
    """The class that finds the model's own; raises InputError where its config names none."""
    named = config.get("auto_map") or {}
    loader = next((name for name in LOADERS if name in named), None)
    if loader is None:
        raise InputError(
            f"{source}: auto_map of its config names {', '.join(named) or 'nothing'}; expected {' or '.join(LOADERS)}: the "
            "repository brings no code for a model of this kind"
        )
    return loader


def _pick(returned: Any, output: str | int) -> Any:
    """An attribute, or a place, of what a model returned; None where it has none."""
    if isinstance(output, str):
        return returned.get(output) if isinstance(returned, Mapping) else getattr(returned, output, None)
    places = tuple(returned.values()) if isinstance(returned, Mapping) else returned
    return places[output] if isinstance(places, Sequence) and output < len(places) else None


def _names(returned: Any) -> str:
    """What there is to pick from."""
    if isinstance(returned, Mapping):
        return ", ".join(map(str, returned))
    return (
        f"{type(returned).__name__} of {len(returned)}" if isinstance(returned, Sequence) else type(returned).__name__
    )
