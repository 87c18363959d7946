"""Causal language models whose score is made of logits: the transformer runs alone, and only the logits that are read are computed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models.base import Encoded, Resolved
from harness.models.heads import rows
from harness.models.loading import load_model
from harness.models.readout import Readout
from harness.models.shortcuts import close
from harness.models.tree import single

if TYPE_CHECKING:
    import torch

TWISTS: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: (logits / cap).tanh() * cap,
    "logit_scale": lambda logits, scale: logits * scale,
    "logits_scaling": lambda logits, scale: logits / scale,
}
"""What a config's entries do to logits behind the last layer: Gemma 2's cap, Cohere's scale, Granite's divisor."""


def twisted(logits: torch.Tensor, model: Any) -> torch.Tensor:
    """Logits as the model gives them, from what its last layer gives."""
    # The model's own config: a stored one may leave out what is its family's default.
    config = model.config.get_text_config()
    for name, twist in TWISTS.items():
        if getattr(config, name, None):
            logits = twist(logits, float(getattr(config, name)))
    return logits


def require_tokenizer_token(tokenizer: Any, text: str, source: str, behind: str = "") -> int:
    """The one token that a label is behind a text, which may be another than alone: tokenizers write spaces of their own.

    Raises InputError with the tokens found where it is another number of them, or changes those of the text.
    """
    before, ids = (tokenizer.encode(some, add_special_tokens=False) for some in (behind, behind + text))
    if len(ids) != len(before) + 1 or ids[:-1] != before:
        same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
        found = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids[same:])))
        place = f" behind {behind[-20:]!r}" if behind else ""
        raise InputError(
            f"{source}: the label {text!r} is {len(ids) - same} tokens of its tokenizer ({found}){place}; expected one of its "
            "own: choose labels that are one token each, a space in front included where the prompt ends without one"
        )
    return int(ids[-1])


class LanguageModel(Readout):
    """The transformer of a causal language model, whose last layer is kept aside as part of `whole`."""

    def load_model(self, resolved: Resolved) -> Any:
        """The transformer below the last layer, every tensor of both from the checkpoint."""
        from transformers import AutoModelForCausalLM

        self.whole = load_model(resolved, AutoModelForCausalLM)
        return self.whole.base_model


class TokenLogits(LanguageModel):
    """A kind says of which tokens it reads the logits (`tokens`), and may make of them what it likes (`answers`)."""

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The part of the last layer that gives the logits of `tokens`."""
        return rows(self.whole.get_output_embeddings(), self.tokens())

    @abstractmethod
    def tokens(self) -> Sequence[int]:
        """The tokens whose logits are read; raises InputError where the spec's are none."""

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (places, tokens) of states (places, width), float32."""
        return twisted(self.head(states), self.whole)

    def answers(self, logits: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """Outputs (texts, heads) from the logits (places, tokens) of the texts' places."""
        return logits

    def read(self, states: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """Outputs of each text from the logits at its places."""
        return self.answers(self.logits(states), texts)

    def require_own(self, examples: Sequence[Encoded], outputs: torch.Tensor) -> None:
        """Raise InputError where the whole model's own logits are others than those we make of its states."""
        import torch

        found = []
        for text in examples:
            logits = self.whole(**self.layout.tensors([single(text)])).logits[0]
            found.append(logits[list(self.places(text))][:, list(self.tokens())].float())
        own = self.answers(torch.cat(found).to(outputs.device), examples)
        if not close(self, outputs, own):
            raise InputError(
                f"{self.source}: the logits of a text ({own[0].tolist()}) are not what its last layer gives "
                f"({outputs[0].tolist()}); its config does something to them that is not known here"
            )
