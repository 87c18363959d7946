"""Policies trained by direct preference optimisation, scored by the reward they imply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, Resolved, Unencodable
from harness.models.files import ModelFiles
from harness.models.language_model import LanguageModel, twisted
from harness.models.loading import checkpoint_config, load_model, load_tokenizer
from harness.models.options import parse_options
from harness.models.readout import EXAMPLES
from harness.models.shortcuts import close
from harness.models.sniff import attention_window
from harness.models.spec import Frozen, Heads, ModelSpec
from harness.models.template import require_template
from harness.models.tree import single

if TYPE_CHECKING:
    import torch

CHUNK = 256
"""Places whose whole vocabulary is held at a time."""


class Options(Frozen):
    """`reference`: the model the policy was trained from, a folder or a Hub id; without it the score is the policy's own."""

    reference: str | None = None
    beta: float = Field(0.1, gt=0)


@ADAPTERS.register("implicit-dpo")
class ImplicitDPO(LanguageModel):
    """Kind E: beta x sum over the reply's tokens of log pi(token) - log pi_ref(token), and the same divided by their number.

    The reply's tokens are all from its first one on, the template's end of turn among them, as in training. Outputs are
    `sum` and `mean`; the score is the sum unless the spec's heads say otherwise. Both models see the same ids. Source:
    DPO (2305.18290, eq. 5 without the term of the prompt).
    """

    capabilities = frozenset({"scores", "neurons"})
    asks = "a causal language model; options: {reference, beta}"

    @classmethod
    def companions(cls, spec: ModelSpec) -> Mapping[str, str]:
        """The reference, where there is one."""
        named = parse_options(Options, spec).reference
        return {"reference": named} if named else {}

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with the names of the outputs; raises InputError for an option that is none and where there is no template."""
        options = parse_options(Options, spec)
        require_template(spec)
        heads = spec.heads or Heads(names=("sum", "mean"), weights=(1.0, 0.0))
        told = {"options": options.model_dump(mode="json"), "heads": heads, "pooling": "last_attended"}
        return spec.model_copy(update=told)

    def __init__(self, resolved: Resolved) -> None:
        self.options = parse_options(Options, resolved.spec)
        super().__init__(resolved)
        window = None if self.reference is None else attention_window(self.reference.config.to_dict())
        if window is not None:  # What the policy keeps apart the reference must, too.
            self.shares = min(self.shares, window)

    def load_model(self, resolved: Resolved) -> Any:
        """The policy's transformer; the reference is loaded beside it.

        Raises InputError, before any weight is loaded, where they do not share a vocabulary.
        """
        from transformers import AutoModelForCausalLM

        self.reference = None
        place = resolved.companions.get("reference")
        if place is not None:
            beside = replace(resolved, path=place, patch=None)
            sizes = [config.get("vocab_size") for config in (self.checkpoint, checkpoint_config(beside))]
            if sizes[0] != sizes[1]:
                raise InputError(
                    f"{self.source} has a vocabulary of {sizes[0]} tokens and its reference {self.options.reference} one of "
                    f"{sizes[1]}; expected the model it was trained from"
                )
            self._require_same_tokens(beside)
            self.reference = load_model(beside, AutoModelForCausalLM)
        return super().load_model(resolved)

    def load_head(self, resolved: Resolved) -> torch.nn.Module:
        """The last layers of policy and reference, as they are: a copy in float32 of a whole vocabulary would be large."""
        import torch

        self.models = [self.whole, *([self.reference] if self.reference is not None else [])]
        self.layers = [model.get_output_embeddings() for model in self.models]
        return torch.nn.ModuleList(self.layers)

    def _require_same_tokens(self, beside: Resolved) -> None:
        """Raise InputError where the reference has a tokenizer that reads words as other ids, though it has as many."""
        if not ModelFiles.of(beside).has_tokenizer():
            return
        theirs = load_tokenizer(beside)
        for message in (m for talk in EXAMPLES for m in talk):
            own, other = (t.encode(message.content, add_special_tokens=False) for t in (self.tokenizer, theirs))
            if own != other:
                raise InputError(
                    f"{self.source} reads {message.content!r} as the tokens {own[:8]} and its reference "
                    f"{self.options.reference} as {other[:8]}; expected the model it was trained from"
                )

    def hidden(self, tensors: dict[str, Any]) -> torch.Tensor:
        """States of the policy and, behind them, of the reference: (rows, tokens, both widths)."""
        import torch

        states = super().hidden(tensors)
        if self.reference is None:
            return states
        return torch.cat([states, self.reference.base_model(**tensors).last_hidden_state.to(states.device)], dim=-1)

    def readable(self, text: Encoded | Unencodable) -> Encoded | Unencodable:
        """The text, or why it has no reward: its reply has no token, or nothing stands in front of it."""
        if isinstance(text, Encoded) and not self.places(text):
            return Unencodable("the reply has no token")
        return text

    def places(self, text: Encoded) -> Sequence[int]:
        """The tokens before each of the reply's: those that foretell them."""
        return range(max(text.response_start, 1) - 1, len(text) - 1)

    def read(self, states: torch.Tensor, texts: Sequence[Encoded]) -> torch.Tensor:
        """Sum and mean of the differences of log-probabilities, times beta."""
        import torch

        counts = [len(self.places(text)) for text in texts]
        targets = torch.cat(
            [torch.as_tensor(text.ids[len(text) - n :].astype("int64")) for text, n in zip(texts, counts, strict=True)]
        )
        gains = self._gains(states, targets.to(states.device)) * self.options.beta
        sums = torch.stack([part.sum() for part in gains.split(counts)])
        return torch.stack([sums, sums / torch.tensor(counts, device=sums.device)], dim=1)

    def _gains(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """log pi - log pi_ref of every target, (places,); of pi alone without a reference."""
        import torch

        widths = [layer.weight.shape[1] for layer in self.layers]
        found = []
        for part, aim in zip(states.split(CHUNK), targets.split(CHUNK), strict=True):
            each = [
                _log_probability(own, layer, model, aim)
                for own, layer, model in zip(part.split(widths, dim=1), self.layers, self.models, strict=True)
            ]
            found.append(each[0] - each[1] if len(each) > 1 else each[0])
        return torch.cat(found)

    def require_own(self, examples: Sequence[Encoded], outputs: torch.Tensor) -> None:
        """Raise InputError where the models' own logits are others than those we make of their states."""
        import torch

        found = []
        for text in examples:
            tensors = self.layout.tensors([single(text)])
            aim = torch.as_tensor(text.ids[1:].astype("int64"), device=outputs.device)[:, None]
            logs = [m(**tensors).logits[0, :-1].float().log_softmax(-1).gather(1, aim)[:, 0] for m in self.models]
            gains = (logs[0] - logs[1] if len(logs) > 1 else logs[0])[list(self.places(text))]
            found.append(self.options.beta * torch.stack([gains.sum(), gains.mean()]))
        if not close(self, outputs, torch.stack(found)):
            raise InputError(f"{self.source}: log-probabilities of a text are not what the models' last layers give")


def _log_probability(states: torch.Tensor, layer: Any, model: Any, targets: torch.Tensor) -> torch.Tensor:
    """log softmax of the logits at the targets, float32 (places,)."""
    import torch

    bias = None if layer.bias is None else layer.bias.float()
    logits = twisted(torch.nn.functional.linear(states, layer.weight.float(), bias), model)
    return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
