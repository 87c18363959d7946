"""Who scores the texts: our engine, the transformers pipeline, the cross-encoder of sentence-transformers.

All read one model folder, in one dtype (asserted on the loaded model), and cut texts at one limit.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.models.base import Encoded, Resolved
from harness.models.template import bind_template
from harness.preference import Unit
from tests.benchmarks import corpus
from tests.benchmarks.record import Finding, Setting

SAMPLE = 24
"""Texts of a warm-up: enough to have loaded what is loaded at the first use."""
AGREEMENT = 0.98
"""Least correlation of two contestants' scores: they may cut long texts and pad differently, not score others."""


class Scorer(ABC):
    """A contestant over a fixed list of texts; keeps its last scores, so that they can be compared."""

    scores: np.ndarray

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = list(units)

    @abstractmethod
    def score(self, n: int) -> np.ndarray:
        """Scores (n,) of the first `n` texts."""

    def __call__(self) -> float:
        """Score all texts; the seconds it took."""
        began = time.perf_counter()
        self.scores = self.score(len(self.units))
        return time.perf_counter() - began

    def warm_up(self) -> None:
        """Score a few texts, untimed."""
        self.scores = self.score(min(SAMPLE, len(self.units)))


class Ours(Scorer):
    """The engine with an empty store every time; the model stays loaded between rounds."""

    def __init__(self, resolved: Resolved, units: Sequence[Unit], scratch: Path) -> None:
        super().__init__(units)
        self.adapter: Any = resolved.load()
        require_dtype(self.adapter.model, resolved.spec.dtype)
        self.resolved = replace(resolved, instance=self.adapter)
        self.stores = (scratch / f"{id(self)}-{i}.sqlite" for i in count())
        self.encoded: list[Encoded] = self.adapter.encode(self.units)
        self.lengths = np.array([len(e) for e in self.encoded])
        self.outside: list[float] = []

    def score(self, n: int) -> np.ndarray:
        """Scores by the engine; `outside` gains the share of the time that was not the forward pass."""
        began = time.perf_counter()
        jobs = [Job(u) for u in self.units[:n]]
        with closing(ScoreStore(next(self.stores))) as store:
            engine = Engine(self.resolved, store)
            engine.ensure(jobs)
            self.outside.append(1 - engine.timing.forward / (time.perf_counter() - began))
            return np.array([engine.outputs(job).outputs[0] for job in jobs])

    def outside_forward(self, under: float | None = None) -> Finding:
        """Share of our time that was not the forward pass, in the round where it was least."""
        shares = self.outside
        return Finding("our time outside the forward pass", min(shares), (min(shares), max(shares)), under=under)

    def conditions(self, setting: Setting) -> dict[str, Any]:
        """What this contest's numbers hold for."""
        return {
            "texts": len(self.units),
            "source": corpus.source(setting.shared),
            "tokens": int(self.lengths.sum()),
            "longest": int(self.lengths.max()),
            "max_length": self.resolved.spec.max_length,
            "dtype": self.resolved.spec.dtype,
            "device": self.resolved.device,
            "threads": torch.get_num_threads(),
            "rounds": setting.rounds,
        }


class Pipeline(Scorer):
    """`transformers.pipeline("text-classification")` as its documentation says, at one batch size."""

    def __init__(self, resolved: Resolved, units: Sequence[Unit], batch: int) -> None:
        from transformers import AutoTokenizer, pipeline

        super().__init__(units)
        where, dtype = str(resolved.path), getattr(torch, resolved.spec.dtype)
        tokenizer = AutoTokenizer.from_pretrained(where, truncation_side="left")
        self.pipe = pipeline("text-classification", where, tokenizer=tokenizer, dtype=dtype, device=resolved.device)
        require_dtype(self.pipe.model, resolved.spec.dtype)
        rendered = segments(resolved, self.units, tokenizer)
        self.inputs = [s[0] if len(s) == 1 else {"text": s[0], "text_pair": s[1]} for s in rendered]
        self.options = {
            "batch_size": batch,
            "truncation": True,
            "max_length": resolved.spec.max_length,
            "function_to_apply": "none",
        }

    def score(self, n: int) -> np.ndarray:
        """Scores by the pipeline."""
        return np.array([answer["score"] for answer in self.pipe(self.inputs[:n], **self.options)])


class CrossEncoder(Scorer):
    """`sentence_transformers.CrossEncoder.predict`, which sorts by length too, without an activation."""

    def __init__(self, resolved: Resolved, units: Sequence[Unit], batch: int = 32) -> None:
        from sentence_transformers import CrossEncoder as Theirs

        super().__init__(units)
        self.batch = batch
        self.model = Theirs(
            str(resolved.path),
            max_length=resolved.spec.max_length,
            activation_fn=torch.nn.Identity(),
            device=resolved.device,
            model_kwargs={"dtype": getattr(torch, resolved.spec.dtype)},
            processor_kwargs={"truncation_side": "left"},
        )
        require_dtype(self.model, resolved.spec.dtype)
        self.pairs = [tuple(s) for s in segments(resolved, self.units, self.model.tokenizer)]

    def with_batch(self, batch: int) -> CrossEncoder:
        """The same loaded model at another batch size."""
        other = copy.copy(self)
        other.batch = batch
        return other

    def score(self, n: int) -> np.ndarray:
        """Scores by `predict`."""
        return self.model.predict(self.pairs[:n], batch_size=self.batch, show_progress_bar=False)


def segments(resolved: Resolved, units: Sequence[Unit], tokenizer: Any) -> list[tuple[str, ...]]:
    """Every text as the model's template writes it: one piece, or the two of a model that reads pairs."""
    template = bind_template(resolved.spec.template or "tokenizer", tokenizer)
    return [template.render(u.conversation).segments for u in units]


def require_dtype(model: Any, dtype: str) -> None:
    """Stop where any weight of a loaded model has another dtype than was asked for."""
    found = {str(p.dtype).removeprefix("torch.") for p in model.parameters()}
    assert found == {dtype}, f"{type(model).__name__}: its weights are {sorted(found)}, expected {dtype}"


def warm_up(ours: Ours, *others: Scorer, atol: float | None = None) -> None:
    """Everyone scores a few texts, and agrees on them: what is wrong shows before the long rounds."""
    ours.warm_up()
    for other in others:
        other.warm_up()
        require_agreement(ours, other, atol)
    ours.outside.clear()


def require_agreement(one: Scorer, other: Scorer, atol: float | None = None) -> None:
    """Stop where two contestants' last scores are not of the same texts; with `atol`, where any two differ by more."""
    found = float(np.corrcoef(one.scores, other.scores)[0, 1])
    names = f"{type(one).__name__} and {type(other).__name__}"
    assert found > AGREEMENT, f"{names}: their scores correlate by {found:.3f}, expected more than {AGREEMENT}"
    most = float(np.abs(one.scores - other.scores).max())
    assert atol is None or most < atol, f"{names}: their scores differ by up to {most:.2g}, expected less than {atol:g}"
