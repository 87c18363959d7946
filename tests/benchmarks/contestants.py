"""Who scores the texts: our engine, the transformers pipeline, the cross-encoder of sentence-transformers.

All read one model folder, in one dtype (asserted on the loaded model), and cut texts at one limit.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.engine.engine import Engine, Job
from harness.engine.progress import Timing
from harness.engine.replica import Pool, Replica
from harness.engine.store import ScoreStore
from harness.models.base import Resolved
from harness.models.template import bind_template
from harness.preference import Unit
from tests.benchmarks import corpus
from tests.benchmarks.record import Finding, Setting

SAMPLE = 24
"""Texts of a warm-up: enough to have loaded what is loaded at the first use."""
AGREEMENT = 0.98
"""Least correlation of two contestants' scores of the same texts, whatever the dtype."""
SAME = 1e-3
"""Largest difference of two scores of the same ids in float32."""


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
    """The engine with an empty store every time; the model, in this process or in workers, stays loaded between rounds."""

    def __init__(self, resolved: Resolved, units: Sequence[Unit], scratch: Path, pool: Pool | None = None) -> None:
        super().__init__(units)
        self.resolved = resolved
        self.pool: Any = pool or Replica.load(resolved)
        found, wanted = self.pool.traits.description["dtype"], resolved.spec.dtype
        assert found == wanted, f"our model is loaded in {found}, expected {wanted}"
        self.encoded: list[Any] = self.pool.encode([(unit, None) for unit in self.units])
        self.lengths = np.array([len(e) for e in self.encoded])
        self.stores = (scratch / f"{id(self)}-{i}.sqlite" for i in count())
        self.timing = Timing()
        self.outside: list[float] = []

    @property
    def model(self) -> Any:
        """The transformers model, where it is in this process."""
        return self.pool.adapter.model

    def score(self, n: int) -> np.ndarray:
        """Scores by the engine; `outside` gains the share of the time that was not the forward pass."""
        began = time.perf_counter()
        jobs = [Job(u) for u in self.units[:n]]
        with closing(ScoreStore(next(self.stores))) as store:
            engine = Engine(self.resolved, store, open_pool=lambda _: self.pool)
            engine.ensure(jobs)
            self.timing = engine.timing
            self.outside.append(1 - engine.timing.forward / (time.perf_counter() - began))
            return np.array([engine.outputs(job).outputs[0] for job in jobs])

    def removed(self) -> Finding:
        """Share of the tokens of all different texts that were not computed, because a text before begins alike."""
        return Finding("share of tokens removed", 1 - self.timing.packed / self.timing.tokens)

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


def require_agreement(ours: Ours, other: Scorer, atol: float | None = None) -> None:
    """Stop where the last scores of two contestants are not of the same texts; with `atol`, where two differ by more.

    Texts over the limit are left out: everyone cuts them at the same length, but not at the same place.
    """
    whole = ~np.array([e.truncated for e in ours.encoded[: len(ours.scores)]])
    a, b, name = ours.scores[whole], other.scores[whole], type(other).__name__
    found, most = float(np.corrcoef(a, b)[0, 1]), float(np.abs(a - b).max())
    assert found > AGREEMENT, f"{name} and we correlate by {found:.3f}, expected more than {AGREEMENT}"
    assert atol is None or most < atol, f"{name} and we differ by up to {most:.2g}, expected less than {atol:g}"
