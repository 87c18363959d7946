"""What models that read a dialogue and two replies as one text share: a masked batch in, P(first preferred) out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.models.base import BatchTooLargeError, Encoded, Forwarded, PairwiseAdapter, Resolved
from harness.models.batch import Layout
from harness.models.cost import measure
from harness.models.tree import single

if TYPE_CHECKING:
    import torch


class PairEncoder(PairwiseAdapter):
    """A transformer that looks both ways over the whole text, so that padding is masked and nothing is shared.

    Its head is multiplied in float32, whatever the number format of the rest.
    """

    def __init__(self, resolved: Resolved, model: Any, fill: int) -> None:
        self.spec, self.source, self.model = resolved.spec, resolved.name, model
        self.n_parameters = sum(p.numel() for p in model.parameters())
        self.layout = Layout(
            device=resolved.device,
            dtype=model.dtype,
            fill=fill,
            types=False,
            masks=True,
            attention=model.config._attn_implementation,
        )
        self.cost = measure(model, resolved.backend)

    @abstractmethod
    def logits(self, batch: Sequence[Encoded], tensors: dict[str, Any]) -> torch.Tensor:
        """By how much the first reply is preferred, (batch,), float32; `tensors` are the ids and the mask of the batch."""

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        """P(first preferred) of every pair, (batch, 1): the logistic function of the logit.

        Raises BatchTooLargeError where the device has not enough memory.
        """
        import torch

        try:
            with torch.inference_mode():
                logits = self.logits(batch, self.layout.tensors([single(text) for text in batch]))
                return Forwarded(torch.sigmoid(logits.float()).cpu().numpy()[:, None])
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        import torch

        return {
            "dtype": str(self.layout.dtype).removeprefix("torch."),
            "attn_implementation": self.layout.attention,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "max_length": self.spec.max_length,
            "n_parameters": self.n_parameters,
            "masks_padding": True,
        }
