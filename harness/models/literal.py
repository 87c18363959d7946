"""Special tokens written in a text are text: what a tokenizer needs beside its own switch for it."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any


def hide_pieces(backend: Any, hidden: Collection[str]) -> None:
    """Change a tokenizer of the `tokenizers` library so that its model finds none of these tokens in a text.

    A unigram model (T5, DeBERTa-v3, XLM-R) lists the special tokens among its pieces, at no cost, so that it reads
    `</s>` in a text, or what is normalised to that, as the end of the text. Where the tokenizer itself puts them, or a
    template does, they are found before the model is asked. Other models build no such token from a text.
    """
    from tokenizers.models import Unigram

    if not isinstance(backend.model, Unigram):
        return
    model = json.loads(backend.to_str())["model"]
    # A space matches nothing: the model sees ▁ in its place.
    vocabulary = [(f" {piece}" if piece in hidden else piece, score) for piece, score in model["vocab"]]
    backend.model = Unigram(vocabulary, model["unk_id"], model.get("byte_fallback", False))
