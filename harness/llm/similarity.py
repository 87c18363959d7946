"""How similar rewrites are to what they were made from: cosines of a sentence encoder, given by its folder or Hub id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import HarnessError, InputError
from harness.llm.checks import dissimilar, joined
from harness.llm.rewriter import Made

Similar = Callable[[Sequence[tuple[str, str]]], list[float | None]]
"""Cosines of pairs of texts, in their order; None where there is none."""


def encoder(name: str) -> Similar:
    """The cosines of a sentence encoder of the library sentence-transformers: safetensors alone, no code of its own.

    An encoder reads a long text as far as its own limit. Raises HarnessError where the library is missing, InputError
    where there is no such encoder.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise HarnessError(
            "--encoder needs sentence-transformers: pip install 'reward-harness[rewrites]', or leave --encoder away"
        ) from error
    try:
        model = SentenceTransformer(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(
            f"cannot load the sentence encoder {name}: {first}. Expected a folder or a Hub id of a model for "
            "sentence-transformers with its weights as safetensors"
        ) from error
    return lambda pairs: _cosines(model, pairs)


def compare(made: Iterable[Made], similar: Similar) -> list[Made]:
    """What was made, with the cosine of every rewrite and what it was made from; `similarity` is a problem below the floor."""
    known = list(made)
    with_text = [m for m in known if m.row.rewritten is not None]
    cosines = similar([(m.job.reply, m.row.rewritten or "") for m in with_text])
    found = {m.job.id: cosine for m, cosine in zip(with_text, cosines, strict=True)}
    return [_compared(m, found.get(m.job.id)) for m in known]


def _compared(made: Made, cosine: float | None) -> Made:
    problems = joined(made.row.problems, dissimilar(cosine))
    return replace(made, row=made.row.model_copy(update={"similarity": cosine, "problems": problems}))


def _cosines(model: Any, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
    import numpy as np

    texts = sorted({text for pair in pairs for text in pair})
    if not texts:
        return []
    # A half of a surrogate pair is no text to a tokenizer.
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    vectors = np.asarray(model.encode(readable, convert_to_numpy=True, show_progress_bar=False), dtype=np.float64)
    of = dict(zip(texts, vectors, strict=True))
    return [_cosine(of[a], of[b]) for a, b in pairs]


def _cosine(a: Any, b: Any) -> float | None:
    import numpy as np

    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0 else None
