"""PairRM: a DeBERTa encoder that reads a prompt and two replies at once and says by how much the first is better.

Architecture, tensor names and limits: `llm_blender/pair_ranker/pairrm.py` and the card of llm-blender/PairRM-hf
(2306.02561). mightbe/Better-PairRM differs in its limits and in how it writes a dialogue, which a spec says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from harness.errors import InputError
from harness.models.base import ADAPTERS, Encoded, Resolved, Unencodable
from harness.models.literal import hide_pieces
from harness.models.loading import load_model, load_tokenizer
from harness.models.options import parse_options
from harness.models.pair_encoder import PairEncoder
from harness.models.prompt import compile_prompt, question
from harness.models.spec import Frozen, ModelSpec
from harness.models.template import Unrenderable
from harness.models.value_head import architecture_is
from harness.preference import Unit

if TYPE_CHECKING:
    import torch

ARCHITECTURE = "DebertaV2PairRM"
HEAD = frozenset({f"head_layer.{i}.{part}" for i in (1, 4) for part in ("weight", "bias")})
MARKS = {"source_prefix_id": "<|source|>", "cand1_prefix_id": "<|candidate1|>", "cand2_prefix_id": "<|candidate2|>"}
"""The token in front of each part, whose state is read for it, by the config's name for its id."""

LOSES_ITS_START = {"prompt_left": (True, False), "left": (True, True), "right": (False, False)}
"""Which end of the prompt and of a reply goes where they are too long, by truncation rule. PairRM cuts `right`, Better-PairRM `prompt_left`."""

TURNS = '{% set turns = messages | selectattr("role", "equalto", "user") | list %}{% if turns | length < 2 %}'
SOURCE = (
    TURNS + "{{ prompt }}{% else %}"
    '{% for m in messages if m.role == "system" %}{{ m.content ~ "\\n" }}{% endfor %}'
    # The misspelling is what the model was trained on.
    "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
    '{% for m in turns %}{{ "" if loop.first else "\\n" }}USER: {{ m.content ~ "\\n" }}'
    "Assistant: <Response {{ loop.index }}>{% endfor %}{% endif %}"
)
"""One turn of the user as it is; of a longer dialogue these turns, with a numbered gap behind each, as the model's card has it.

The card knows no system messages: they go in front, on lines of their own.
"""

CANDIDATE = (
    TURNS + "{{ response }}{% else %}"
    '{% set earlier = messages | selectattr("role", "equalto", "assistant") | map(attribute="content") | list %}'
    '{% for reply in earlier + [response] %}{{ "" if loop.first else "\\n" }}<Response {{ loop.index }}>: {{ reply }}'
    "{% endfor %}{% endif %}"
)
"""The reply as it is; in a longer dialogue what fills all its gaps, by their numbers."""


class Options(Frozen):
    """How the parts are written, as Jinja texts that see `messages` and `prompt`, the candidate also `response`; and their tokens.

    Of the tokens of all three parts together, which `max_length` can lower or raise, the prompt takes at most its share;
    what it leaves goes to the replies in halves.
    """

    source: str = SOURCE
    candidate: str = CANDIDATE
    source_max_length: int = Field(default=1224, gt=0)
    candidate_max_length: int = Field(default=412, gt=0)

    @property
    def total(self) -> int:
        """Tokens of all parts together."""
        return self.source_max_length + 2 * self.candidate_max_length


@ADAPTERS.register("pair-rm")
class PairRM(PairEncoder):
    """Kind H1. Logit: the head's output for (prompt, first reply) less that for (prompt, second reply), mean over its tasks.

    The model is not antisymmetric by itself: the replies see each other and stand at different places.
    """

    asks = f"an architecture {ARCHITECTURE} and tensors head_layer.*"

    def __init__(self, resolved: Resolved) -> None:
        self.tokenizer = load_tokenizer(resolved)
        super().__init__(resolved, load_model(resolved, _architecture()), self.tokenizer.pad_token_id or 0)
        self.options = Options(**self.spec.options)
        self.texts = compile_prompt(self.options.source), compile_prompt(self.options.candidate)
        self.head = self.model.head_layer
        self.marks = [getattr(self.model.config, key) for key in MARKS]
        self._read_marks(self.tokenizer)

    @classmethod
    def recognises(cls, config: Mapping[str, Any], tensors: Set[str] | None) -> bool:
        """By the architecture's name, which transformers does not know."""
        return architecture_is(config, ARCHITECTURE)

    @classmethod
    def longest(cls, config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int | None:
        """Not bounded: positions are relative, and what the config says is what the encoder was pre-trained with."""
        return None

    @classmethod
    def prepare(cls, spec: ModelSpec, config: Mapping[str, Any], tensors: Set[str] | None) -> ModelSpec:
        """The spec with all its options and `max_length`, the tokens of the three parts together.

        Raises InputError where the config does not say which tokens the parts are read at, or where the head is not stored.
        """
        options = parse_options(Options, spec)
        compile_prompt(options.source), compile_prompt(options.candidate)
        absent = [key for key in (*MARKS, "n_tasks") if not isinstance(config.get(key), int)]
        if absent:
            raise InputError(
                f"{spec.model}: its config has no {', '.join(absent)}; expected the ids of {', '.join(MARKS.values())} and the "
                "number of the head's outputs, as llm-blender/PairRM-hf has them"
            )
        missing = sorted(HEAD - tensors) if tensors is not None else []
        if missing:
            raise InputError(
                f"{spec.model}: {', '.join(missing)} missing, so its head would be random; use the checkpoint with its head"
            )
        decided = {"options": options.model_dump(), "max_length": spec.max_length or options.total, "template": None}
        return spec.model_copy(update=decided)

    @classmethod
    def load(cls, resolved: Resolved) -> PairRM:
        """The model in memory; raises InputError for missing tensors or a tokenizer that is not the model's."""
        return cls(resolved)

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        """Ids of prompt, first reply and second reply, each between [CLS], its mark and [SEP]; special tokens in texts are text."""
        written = [self._write(a, b) for a, b in pairs]
        texts = [text for parts in written if not isinstance(parts, Unencodable) for text in parts]
        found = iter(self.backend.encode_batch(texts, add_special_tokens=False))
        return [p if isinstance(p, Unencodable) else self._join([next(found).ids for _ in p]) for p in written]

    def logits(self, batch: Sequence[Encoded], tensors: dict[str, Any]) -> torch.Tensor:
        """The head at the marks of source and replies, float32, (batch,)."""
        import torch

        states = self.model.pretrained_model(**tensors).last_hidden_state
        found = [[int(np.argmax(text.ids == mark)) for mark in self.marks] for text in batch]
        rows, places = (torch.tensor(x, device=states.device) for x in ([[i] for i in range(len(batch))], found))
        source, first, second = states[rows, places].to(self.head[1].weight).unbind(1)
        return (self.head(torch.cat([source, first], -1)) - self.head(torch.cat([source, second], -1))).mean(-1)

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        texts = f"{self.options.source}\0{self.options.candidate}"
        return super().describe() | {"template_sha256": hashlib.sha256(texts.encode()).hexdigest()}

    # --- three parts --------------------------------------------------------------------------------

    def _read_marks(self, tokenizer: Any) -> None:
        """A copy of the tokenizer that reads marks and special tokens in texts as text, and what it puts around one."""
        from tokenizers import AddedToken, Tokenizer

        known = tokenizer.convert_tokens_to_ids(list(MARKS.values()))
        if known != self.marks:
            raise InputError(
                f"{self.source}: its tokenizer has ids {known} for {', '.join(MARKS.values())}, its config {self.marks}; "
                "use the tokenizer that was saved with the model"
            )
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.backend.no_truncation()
        self.backend.no_padding()
        around = self.backend.encode("a")
        inside = [i for i, s in enumerate(around.sequence_ids) if s is not None]
        self.before, self.behind = around.ids[: inside[0]], around.ids[inside[-1] + 1 :]
        special = [t.content for t in self.backend.get_added_tokens_decoder().values()]
        joined = self.backend.encode(f"{next(iter(MARKS.values()))}a", add_special_tokens=False).ids
        hide_pieces(self.backend, special)
        self.backend.add_special_tokens([AddedToken(text, special=True) for text in special])
        self.backend.encode_special_tokens = True
        if joined != [self.marks[0], *self.backend.encode("a", add_special_tokens=False).ids]:
            raise InputError(
                f"{self.source}: its tokenizer reads a text behind a mark otherwise than alone; it is not PairRM's"
            )

    def _write(self, a: Unit, b: Unit) -> tuple[str, str, str] | Unencodable:
        """The three parts of a pair, or why there are none."""
        source, candidate = self.texts
        if any(not unit.conversation or unit.conversation[-1].role != "assistant" for unit in (a, b)):
            return Unencodable("the last message must be the assistant's reply")
        try:
            parts = (
                question(source, a.conversation),
                question(candidate, a.conversation),
                question(candidate, b.conversation),
            )
            "".join(parts).encode("utf-8")
        except (Unrenderable, UnicodeEncodeError) as error:
            return Unencodable(f"the pair cannot be written: {error}")
        return parts

    def _join(self, parts: Sequence[list[int]]) -> Encoded | Unencodable:
        """The three parts, each cut to what it may have, as one text."""
        total = self.spec.max_length or self.options.total
        found: list[list[int]] = []
        cut = False
        room = total * self.options.source_max_length // self.options.total
        for i, (ids, mark) in enumerate(zip(parts, self.marks, strict=True)):
            if i:
                room = (total - len(found[0])) // 2
            keep = room - len(self.before) - 1 - len(self.behind)
            if keep < 0:
                return Unencodable(f"max_length {total} is shorter than the marks of the parts")
            if len(ids) > keep:
                if self.spec.truncation not in LOSES_ITS_START:
                    return Unencodable(f"a part of {len(ids)} tokens, {len(ids) - keep} more than it may have")
                loses_start, cut = LOSES_ITS_START[self.spec.truncation][min(i, 1)], True
                ids = ids[len(ids) - keep :] if loses_start else ids[:keep]
            found.append([*self.before, mark, *ids, *self.behind])
        return Encoded(np.concatenate([np.array(ids, np.int32) for ids in found]), None, len(found[0]), truncated=cut)


def _architecture() -> Any:
    """The model as its checkpoint names its parts, built on transformers' encoder."""
    import torch
    from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Model, DebertaV2PreTrainedModel

    class DebertaV2PairRM(DebertaV2PreTrainedModel):
        _keep_in_fp32_modules_strict = ["head_layer"]  # noqa: RUF012 - the base declares it so

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            width = config.hidden_size
            self.pretrained_model = DebertaV2Model(config)
            self.head_layer = torch.nn.Sequential(
                torch.nn.Dropout(0.0),
                torch.nn.Linear(2 * width, width),
                torch.nn.Tanh(),
                torch.nn.Dropout(0.0),
                torch.nn.Linear(width, config.n_tasks),
            )
            self.post_init()

        def forward(self, **tensors: Any) -> Any:
            return self.pretrained_model(**tensors)

    return DebertaV2PairRM
