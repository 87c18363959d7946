"""Reward models as scripts score with them, and what goes wrong there: each defect is a few lines that differ from the healthy one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.doctor.texts import items
from harness.models.base import Adapter, Encoded, Forwarded, Resolved, Unencodable
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.preference import Unit, messages_json
from harness.testing.tiny import tiny_language_model, tiny_model

END = "<|end|>"
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
"""Turns that end in the end token, and nothing behind it."""

SPREAD = 4.0


# --- checkpoints ----------------------------------------------------------------------------------


def decoder(folder: Path) -> Path:
    """A tiny Llama that prefers the good replies of the doctor's texts, with a chat template."""
    tiny_model(folder, "llama", max_position_embeddings=512)
    own_template(folder)
    fit_head(folder)
    return folder


def language_model(folder: Path) -> Path:
    """The same without a reward head."""
    tiny_language_model(folder, "llama", max_position_embeddings=512)
    own_template(folder)
    return folder


def large_numbers(folder: Path) -> Path:
    """The same with a residual stream beyond float16, which its last norm divides away again."""
    tiny_model(folder, "llama", max_position_embeddings=512)
    own_template(folder)
    change(folder, "model.layers.0.mlp.down_proj.weight", lambda weight: weight * 1e5)
    fit_head(folder)
    return folder


def own_template(folder: Path) -> None:
    """`CHAT`, and `END` as the end token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template, tokenizer.eos_token = CHAT, END
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)


def change(folder: Path, name: str, how: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Another tensor in the checkpoint."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {name: how(tensors[name]).contiguous()}, file, metadata={"format": "pt"})


def fit_head(folder: Path) -> None:
    """The head by least squares: one more for the good reply than for the bad one, then scores `SPREAD` apart."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def state(prompt: Any, reply: str) -> torch.Tensor:
        messages = [*messages_json(prompt), {"role": "assistant", "content": reply}]
        ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, return_tensors="pt")
        with torch.no_grad():
            return model.model(input_ids=ids).last_hidden_state[0, -1]

    good, bad = (
        torch.stack([state(i.prompt, getattr(i, side)[0]) for i in items()]) for side in ("chosen", "rejected")
    )
    weights = torch.linalg.lstsq(good - bad, torch.ones(len(good), 1), driver="gelsd").solution
    weights *= SPREAD / (torch.cat([good, bad]) @ weights).std()
    change(folder, "score.weight", lambda _: weights.T)


# --- the healthy script ---------------------------------------------------------------------------


class Script(Adapter):
    """Template to ids in one step, padding on the right, a mask, and the logits as they are."""

    dtype: ClassVar[torch.dtype] = torch.float32

    def __init__(self, resolved: Resolved) -> None:
        self.spec, self.path = resolved.spec, resolved.path
        self.tokenizer = AutoTokenizer.from_pretrained(self.path)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            self.path, dtype=self.dtype, attn_implementation=resolved.spec.attn_implementation
        ).eval()
        self.model.config.pad_token_id = self.pad

    @classmethod
    def load(cls, resolved: Resolved) -> Script:
        return cls(resolved)

    @property
    def pad(self) -> int:
        return self.tokenizer.pad_token_id

    def ids(self, messages: list[dict[str, str]]) -> list[int]:
        return self.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        return [Encoded(np.array(self.ids(messages_json(u.conversation)), np.int32)) for u in units]

    def padded(self, batch: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor | None]:
        rows = [torch.tensor(e.ids.astype(np.int64)) for e in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad)
        return ids, (torch.arange(ids.shape[1]) < torch.tensor([[len(e)] for e in batch])).long()

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return self.model(input_ids=ids, attention_mask=mask).logits

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        with torch.no_grad():
            return Forwarded(self.logits(*self.padded(batch)).float().numpy())

    def describe(self) -> dict[str, object]:
        return {
            "dtype": str(self.dtype).removeprefix("torch."),
            "bos_token_id": self.tokenizer.bos_token_id,
            "pad_token_id": self.pad,
        }


# --- what goes wrong ------------------------------------------------------------------------------


class LeftPaddingAssumed(Script):
    """The last column is read, of rows that are padded on the right."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return self.model.score(self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, -1])


class PadIsEnd(Script):
    """`tokenizer.pad_token = tokenizer.eos_token`, and stock pooling."""

    @property
    def pad(self) -> int:
        return self.tokenizer.eos_token_id


class MaskDropped(Script):
    """Padding on the left, and no mask."""

    def padded(self, batch: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor | None]:
        ids, _ = super().padded(batch)
        return torch.stack([row.roll(len(row) - len(e)) for row, e in zip(ids, batch, strict=True)]), None


class DoubledBos(Script):
    """The text of the template tokenised like any text."""

    def ids(self, messages: list[dict[str, str]]) -> list[int]:
        return self.tokenizer(self.tokenizer.apply_chat_template(messages, tokenize=False))["input_ids"]


class SigmoidLeftOn(Script):
    """What a text-classification pipeline does with one label."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return super().logits(ids, mask).sigmoid()


class Half(Script):
    """Everything in float16."""

    dtype = torch.float16


class TruncatedAnswers(Script):
    """A limit that nobody asked for, which takes the end."""

    def ids(self, messages: list[dict[str, str]]) -> list[int]:
        return self.tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, truncation=True, max_length=400
        )


class PromptAlone(Script):
    """The prompt, ready for an answer."""

    def ids(self, messages: list[dict[str, str]]) -> list[int]:
        return self.tokenizer.apply_chat_template(
            messages[:-1], tokenize=True, return_dict=False, add_generation_prompt=True
        )


class FirstEnd(Script):
    """Pooling before the first pad token, where the pad token ends every turn."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        at = (ids == self.tokenizer.eos_token_id).int().argmax(-1) - 1
        return self.model.score(states[torch.arange(len(ids)), at])


class OffByOne(Script):
    """Pooling at the token before the last."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        assert mask is not None
        states = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.model.score(states[torch.arange(len(ids)), mask.sum(-1) - 2])


class PerWord(Script):
    """A score divided by the length of the reply, which may be nothing."""

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        found = super().encode(units)
        sizes = [len(self.tokenizer(u.conversation[-1].content, add_special_tokens=False)["input_ids"]) for u in units]
        return [
            dataclasses.replace(e, response_start=len(e) - n) if isinstance(e, Encoded) else e
            for e, n in zip(found, sizes, strict=True)
        ]

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        found = super().forward(batch).outputs
        sizes = np.array([[len(e) - e.response_start] for e in batch], np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Forwarded(found / sizes)


# --- small defects of the seam itself -------------------------------------------------------------


class Sorted(Script):
    """A batch sorted by length, and never sorted back."""

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return super().forward(sorted(batch, key=len))


class Flat(Script):
    """One number a text, but not in a row of its own."""

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return Forwarded(super().forward(batch).outputs[:, 0])


class Raises(Script):
    """An exception that is no error of ours."""

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        raise IndexError("list index out of range")


class ReadsTheSide(Script):
    """The reply's side is known to the model."""

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        whole = super().encode(units)
        marks = [7 if u.side == "chosen" else 8 for u in units]
        return [dataclasses.replace(e, ids=np.append(e.ids, m)) for e, m in zip(whole, marks, strict=True)]  # type: ignore[type-var]


class Tied(Script):
    """Scores cut to a few steps."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return super().logits(ids, mask).clamp(-1, 1).round() + 5


class Coin(Script):
    """A number from the ids that means nothing."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        assert mask is not None
        places = torch.arange(1, ids.shape[1] + 1)
        return ((ids * mask * places).sum(-1, keepdim=True) * 7919 % 1009).float() / 100 - 5


class NoBlanks(Script):
    """A template that refuses a reply of nothing."""

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        whole = super().encode(units)
        return [
            e if u.conversation[-1].content else Unencodable("an empty reply")
            for e, u in zip(whole, units, strict=True)
        ]


class NotAlways(Script):
    """A model that says of some texts that it has no score for them."""

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return Forwarded(
            super().forward(batch).outputs, errors={i: "too odd" for i, e in enumerate(batch) if len(e) % 5 == 0}
        )


class ForkedHead(Script):
    """A random head whose randomness nobody sees."""

    @classmethod
    def load(cls, resolved: Resolved) -> Script:
        with torch.random.fork_rng():
            return cls(resolved)


class Clamped(Half):
    """Overflow cut to the largest number of float16."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return super().logits(ids, mask).nan_to_num(65504.0, 65504.0, -65504.0)


class OverTheBatch(Script):
    """Scores in standard deviations of their batch, which a batch of one does not have."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        found = super().logits(ids, mask)
        return found / (found.std(0) if len(found) > 1 else torch.nan)


class LastDigits(Coin):
    """Scores that tie, but for last digits that hang on the place in the batch."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return super().logits(ids, mask).round() + torch.arange(len(ids))[:, None] * 1e-5


class OneRow(Script):
    """Texts put one after the other in a row, with nothing to keep them apart."""

    shares = 10_000

    def forward_trees(self, batch: Sequence[Any], capture: frozenset[str] = frozenset()) -> Forwarded:
        found = [
            super(OneRow, self).forward([text]).outputs + 0.5 * len(tree.texts) for tree in batch for text in tree.texts
        ]
        return Forwarded(np.concatenate(found))


class SdpaForgets(Script):
    """A kernel that leaves out what the model was trained with."""

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        found = super().logits(ids, mask)
        return found * 0.7 if self.spec.attn_implementation == "sdpa" else found


def resolved(folder: Path, adapter: type[Adapter] | str | None = Script, **spec: Any) -> Resolved:
    """A folder to be scored by an adapter and a spec, not loaded."""
    given = ModelSpec.model_validate({"model": str(folder), "template": "tokenizer", **spec})
    return resolve(given, adapter=adapter, device="cpu")
