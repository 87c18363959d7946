"""A causal language model that answers: greedy, the same whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.llm.ask import Reply
from harness.models.base import BatchTooLargeError, Encoded, Resolved, Unencodable
from harness.models.batch import batchable
from harness.models.cost import measure
from harness.models.encoding import TextEncoder
from harness.models.loading import load_model, load_tokenizer
from harness.models.readout import EXAMPLES
from harness.models.shortcuts import TOLERANCE
from harness.preference import Conversation, Message

if TYPE_CHECKING:
    import torch

    from harness.models.judge import Question


class Generator:
    """A causal language model in a folder and how it is asked. An answer ends with one of the model's end tokens.

    Questions of different length share a batch, padded on the left, if two of them have the same first logits so as alone;
    else only those of one length do. Whatever the checkpoint recommends for sampling is left aside.
    """

    def __init__(self, resolved: Resolved, question: Question, max_new_tokens: int) -> None:
        from transformers import AutoModelForCausalLM, GenerationConfig

        self.spec, self.max_new_tokens = resolved.spec, max_new_tokens
        self.tokenizer = load_tokenizer(resolved)
        bound = question.bind(self.tokenizer, chat=self.spec.template == "tokenizer")
        self.encoder = TextEncoder(self.tokenizer, self.spec, bound)
        self.model = load_model(resolved, AutoModelForCausalLM)
        self.ends = self._ends()
        # Set on the model, whose own recommendations would fill in what is not said here.
        self.model.generation_config = GenerationConfig(
            do_sample=False, use_cache=True, eos_token_id=sorted(self.ends), pad_token_id=min(self.ends)
        )
        cost = measure(self.model, resolved.backend)
        self.cost = replace(cost, fixed=cost.fixed * max_new_tokens)
        self.pads = False
        self.pads = self._pads_exactly()

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded | Unencodable]:
        """Ids of every question, with what the chat template puts in front of an answer."""
        return self.encoder.encode(conversations)

    def answers(self, batch: Sequence[Encoded], replicate: int = 0) -> list[Reply]:
        """The most likely answer to every question, token by token, in order; no replicate differs.

        Raises BatchTooLargeError where the device has not enough memory.
        """
        found = {i: self._reply(i, new) for i, new in self._each(batch, self._new_tokens)}
        return [found[i] for i in range(len(batch))]

    def first_token(self, batch: Sequence[Encoded], groups: Sequence[Sequence[int]]) -> np.ndarray:
        """Probability that an answer begins with one of a group of tokens, float32 (batch, groups).

        Raises BatchTooLargeError where the device has not enough memory.
        """
        found = dict(self._each(batch, lambda rows: self._first_logits(rows).softmax(-1)))
        rows = [[float(found[i][list(group)].sum()) for group in groups] for i in range(len(batch))]
        return np.array(rows, np.float32).reshape(len(batch), len(groups))

    def describe(self) -> dict[str, object]:
        """What was decided at load time."""
        return {
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attn_implementation": self.model.config._attn_implementation,
            "max_length": self.spec.max_length,
            "template_sha256": self.encoder.template.sha256,
            "n_parameters": sum(p.numel() for p in self.model.parameters()),
            "pads_questions": self.pads,
        }

    # --- one padded batch -------------------------------------------------------------------------

    def _each(self, batch: Sequence[Encoded], run: Any) -> list[tuple[int, Any]]:
        """What `run` makes of each question, with its place in the batch."""
        import torch

        groups = batchable(batch, self.pads)
        try:
            with torch.inference_mode():
                return [pair for rows in groups for pair in zip(rows, run([batch[i] for i in rows]), strict=True)]
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(str(error)) from error

    def _generate(self, batch: Sequence[Encoded], tokens: int, **more: Any) -> Any:
        import torch

        width = max(map(len, batch))
        ids = np.full((len(batch), width), min(self.ends), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, width - len(text) :], mask[row, width - len(text) :] = text.ids, 1
        there = self.model.get_input_embeddings().weight.device
        inputs, seen = (torch.from_numpy(array).to(there) for array in (ids, mask))
        return self.model.generate(inputs, attention_mask=seen, max_new_tokens=tokens, **more)

    def _new_tokens(self, batch: Sequence[Encoded]) -> list[list[int]]:
        """The tokens behind each question, padding included."""
        width = max(map(len, batch))
        return self._generate(batch, self.max_new_tokens)[:, width:].tolist()

    def _first_logits(self, batch: Sequence[Encoded]) -> torch.Tensor:
        """What each answer begins with, float32 (batch, vocabulary)."""
        found = self._generate(batch, 1, output_logits=True, return_dict_in_generate=True)
        return found.logits[0].float()

    def _reply(self, place: int, new: Sequence[int]) -> Reply:
        stop = next((i for i, token in enumerate(new) if token in self.ends), None)
        if stop is None:
            return Reply(str(place), None, "cut", f"the answer has not ended after {self.max_new_tokens} tokens")
        text = self.tokenizer.decode(new[:stop], skip_special_tokens=True)
        return Reply(str(place), text) if text.strip() else Reply(str(place), None, "empty", "the answer is empty")

    # --- load-time checks -------------------------------------------------------------------------

    def _ends(self) -> frozenset[int]:
        """The tokens that end an answer, by the checkpoint's generation config and by the tokenizer."""
        said = self.model.generation_config.eos_token_id
        ends = {*(said if isinstance(said, list) else [said]), self.tokenizer.eos_token_id} - {None}
        if not ends:
            raise InputError(
                f"{self.spec.model}: neither generation_config.json nor the tokenizer names a token that ends an answer; "
                "put eos_token_id into generation_config.json"
            )
        return frozenset(ends)

    def _pads_exactly(self) -> bool:
        """Whether two questions of different length begin their answers alike in one batch and alone."""
        import torch

        roles = self.encoder.template.replies
        talks = [(asked, *(Message(role, reply.content) for role in roles)) for asked, reply in EXAMPLES]
        texts = [text for text in self.encode(talks) if isinstance(text, Encoded)]
        if len(texts) < len(talks):
            return False
        with torch.inference_mode():
            alone = torch.cat([self._first_logits([text]) for text in texts])
            try:
                padded = self._first_logits(texts)
            except (RuntimeError, ValueError, TypeError, IndexError):
                return False  # a model that cannot take such a batch at all: it is never given one
        return bool(((padded - alone).abs() <= TOLERANCE[self.spec.dtype] * alone.abs().clamp(min=1)).all())
