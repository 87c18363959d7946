"""SteamSHP: an encoder-decoder that is asked which of two replies is better and answers with a letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from harness.models.base import ADAPTERS, Encoded, Resolved, Unencodable
from harness.models.encoding import TextEncoder
from harness.models.heads import rows
from harness.models.language_model import require_tokenizer_token
from harness.models.loading import load_model, load_tokenizer
from harness.models.options import parse_options
from harness.models.pair_encoder import PairEncoder
from harness.models.prompt import bind_prompt, compile_prompt, pair
from harness.models.spec import Frozen, ModelSpec
from harness.preference import Unit

if TYPE_CHECKING:
    import torch

PROMPT = (
    "POST: {{ prompt }}\n\n RESPONSE A: {{ response_a }}\n\n RESPONSE B: {{ response_b }}\n\n"
    " Which response is better? RESPONSE"
)


class Options(Frozen):
    """The question, a Jinja text (`harness.models.prompt`), and the labels of the first and the second reply."""

    prompt: str = PROMPT
    labels: tuple[str, str] = ("A", "B")


@ADAPTERS.register("steam-shp")
class SteamSHP(PairEncoder):
    """Kind D3: P(first preferred) is the softmax over the logits of A and B at the decoder's first place.

    A long post loses its beginning, then the longer reply its end. Source: the model card of
    stanfordnlp/SteamSHP-flan-t5-xl. It lets the model write one token, A or B; where it asks for a probability, that is A's
    among all tokens, which gives no number to B.
    """

    asks = "an encoder-decoder such as Flan-T5; nothing shows it, so that a spec names it"

    def __init__(self, resolved: Resolved) -> None:
        from transformers import AutoModelForSeq2SeqLM

        options = parse_options(Options, resolved.spec)
        self.tokenizer = load_tokenizer(resolved)
        bound = bind_prompt(options.prompt, self.tokenizer, chat=False)
        self.encoder = TextEncoder(self.tokenizer, resolved.spec, bound)
        labels = [require_tokenizer_token(self.tokenizer, label, resolved.name) for label in options.labels]
        model = load_model(resolved, AutoModelForSeq2SeqLM)
        super().__init__(resolved, model, self.tokenizer.pad_token_id or 0)
        self.head = rows(model.get_output_embeddings(), labels).to(self.layout.device)
        self.start = int(model.config.decoder_start_token_id)

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all its options; raises InputError for one that is none and a prompt that does not compile."""
        options = parse_options(Options, spec)
        compile_prompt(options.prompt)
        return spec.model_copy(update={"options": options.model_dump(mode="json"), "template": None})

    @classmethod
    def load(cls, resolved: Resolved) -> SteamSHP:
        """The model in memory; raises InputError for missing tensors or labels that are not one token each."""
        return cls(resolved)

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        """Ids of the question about every ordered pair."""
        return self.encoder.encode([pair(a, b) for a, b in pairs])

    def logits(self, batch: Sequence[Encoded], tensors: dict[str, Any]) -> torch.Tensor:
        """The logit of A less that of B, float32, (batch,): its logistic function is the softmax over both."""
        import torch

        seen: list[torch.Tensor] = []
        # What goes into the last layer is scaled already where that is also the embedding.
        hook = self.model.get_output_embeddings().register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        first = torch.full((len(batch), 1), self.start, device=tensors["input_ids"].device)
        try:
            self.model(**tensors, decoder_input_ids=first)
        finally:
            hook.remove()
        both = self.head(seen[-1][:, 0].to(self.head.weight))
        return both[:, 0] - both[:, 1]
