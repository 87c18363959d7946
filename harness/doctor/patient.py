"""A loaded model under examination: what it makes of texts, through nothing but the interface every adapter has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.doctor.texts import items, one_a_talk
from harness.engine.replica import Replica, Side
from harness.engine.work import Work
from harness.errors import HarnessError
from harness.models.base import Adapter, Encoded, Resolved, Unencodable
from harness.models.tree import Tree, single
from harness.outcomes import outcomes
from harness.preference import PreferenceItem, Unit, units
from harness.task import ScoreTable, pair_rows

BATCH = 16
SAMPLE = 12
"""Texts that are scored in other company, and by a second copy of the model."""

TOLERANCE = {"float32": 1e-3, "float16": 5e-2}
COARSE = 2e-1
"""Difference of a text's score from itself that rounding explains, as a share of how far scores of different texts lie apart.

`COARSE` is that of bfloat16 and of every number format that is not listed.
"""

NOTHING = 0.1
"""A tenth of that: a text changed on purpose whose score moves less is scored as if it had not been."""


class Patient:
    """Every text is encoded and scored once, whatever checks ask for it. Scores are raw unless they are called oriented.

    A model that only compares is shown pairs wherever another is shown texts.
    """

    def __init__(self, resolved: Resolved, adapter: Adapter) -> None:
        self.resolved, self.spec = resolved, resolved.spec
        self._replica: Replica | None = Replica(adapter)
        self.capabilities, self.said = adapter.capabilities, self.loaded().traits.description
        self.compares = "scores" not in adapter.capabilities
        self.remote, self.bounded, self.reads_unit_ids = adapter.remote, adapter.bounded, adapter.reads_unit_ids
        self.items = one_a_talk() if self.compares else items()
        self.errors: dict[bytes, str] = {}
        """Why the model itself says that it has no score for a text, by its ids."""
        self._outputs: dict[bytes, np.ndarray] = {}

    def loaded(self) -> Replica:
        """The model; raises HarnessError once it was released."""
        if self._replica is None:
            raise HarnessError(f"{self.resolved.name} was let go of already")
        return self._replica

    def release(self) -> None:
        """Let go of the model, so that a second copy has room; what was measured stays."""
        import gc

        import torch

        self._replica = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # --- texts ------------------------------------------------------------------------------------

    def sides(self, units: Iterable[Unit]) -> list[Side]:
        """How the model is asked about replies: each alone, or every pair of an item in both orders."""
        if not self.compares:
            return [(unit, None) for unit in units]
        return [side for pair in pair_rows(units) for side in ((pair.a, pair.b), (pair.b, pair.a))]

    def encode(self, sides: Sequence[Side]) -> list[Encoded | Unencodable]:
        """Token ids, in order."""
        return self.loaded().encode(sides)

    @cached_property
    def encoded(self) -> list[Encoded | Unencodable]:
        """Our own texts as the model sees them."""
        return self.encode(self.sides(units(self.items)))

    @cached_property
    def texts(self) -> list[Encoded]:
        """Those of them that could be encoded, each once."""
        return list({e.digest(): e for e in self.encoded if isinstance(e, Encoded)}.values())

    @cached_property
    def sample(self) -> list[Encoded]:
        """`SAMPLE` of them, from the shortest to the longest."""
        ordered = sorted(self.texts, key=len)
        places = np.unique(np.linspace(0, len(ordered) - 1, SAMPLE).round().astype(int)) if ordered else ()
        return [ordered[i] for i in places]

    # --- numbers ----------------------------------------------------------------------------------

    def forward(self, rows: Sequence[Tree]) -> np.ndarray:
        """Outputs (texts, heads) of one batch, in the order of its texts; NaN where the model says that it has none.

        Raises HarnessError where they have another form.
        """
        found, _ = self.loaded().answer(Work(tuple(rows)))
        n, outputs = sum(len(row.texts) for row in rows), np.array(found.outputs)
        if outputs.ndim != 2 or len(outputs) != n or not outputs.shape[1] or outputs.dtype != np.float32:
            raise HarnessError(
                f"forward gave {outputs.dtype} of shape {outputs.shape} for {n} texts; expected float32 of shape ({n}, outputs)"
            )
        texts = [text for row in rows for text in row.texts]
        self.errors.update({texts[i].digest(): why for i, why in found.errors.items()})
        outputs[list(found.errors)] = np.nan
        return outputs

    def outputs(self, texts: Sequence[Encoded]) -> np.ndarray:
        """Outputs (texts, heads) in padded batches of `BATCH`, remembered by ids."""
        keys = [text.digest() for text in texts]
        new = list({k: t for k, t in zip(keys, texts, strict=True) if k not in self._outputs}.items())
        for at in range(0, len(new), BATCH):
            part = new[at : at + BATCH]
            rows = self.forward([single(text) for _, text in part])
            self._outputs.update({k: row for (k, _), row in zip(part, rows, strict=True)})
        return np.stack([self._outputs[k] for k in keys])

    def raw(self, outputs: np.ndarray) -> np.ndarray:
        """Scores (texts,) as the model says them; raises HarnessError where there is not one for each."""
        scores = np.asarray(self.resolved.adapter.raw_score(self.spec, outputs), np.float64)
        if scores.shape != (len(outputs),):
            raise HarnessError(
                f"raw_score gave shape {scores.shape} for {len(outputs)} texts; expected one number a text"
            )
        return scores

    def scores(self, texts: Sequence[Encoded]) -> np.ndarray:
        """Scores (texts,) of texts in padded batches."""
        return self.raw(self.outputs(texts))

    @cached_property
    def together(self) -> np.ndarray:
        """Scores of the sample in one padded batch."""
        return self.raw(self.forward([single(text) for text in self.sample]))

    @cached_property
    def alone(self) -> np.ndarray:
        """Scores of the sample, one text at a time."""
        return self.raw(np.concatenate([self.forward([single(text)]) for text in self.sample]))

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the scores of our texts."""
        scores = self.scores(self.texts)
        return float(np.std(scores[np.isfinite(scores)])) if np.isfinite(scores).any() else 0.0

    @property
    def dtype(self) -> str:
        """The number format that the model says it computes in."""
        return str(self.said.get("dtype") or self.spec.dtype)

    @property
    def rounding(self) -> float:
        """Largest difference of two scores of one text that rounding explains."""
        return TOLERANCE.get(self.dtype, COARSE) * self.spread

    def unmoved(self, a: np.ndarray, b: np.ndarray) -> bool:
        """Whether these scores of changed texts are those of the unchanged, all of them."""
        return bool((np.abs(a - b) <= NOTHING * self.rounding).all())

    # --- items ------------------------------------------------------------------------------------

    @cached_property
    def credits(self) -> pd.DataFrame:
        """What each of the model's items is worth: `harness.outcomes` of `table`."""
        return outcomes(self.table(self.items))

    def table(self, items: Sequence[PreferenceItem]) -> ScoreTable:
        """The score table of some items as a run would fill it: oriented scores, or P(chosen preferred) over both orders."""
        replies = list(units(items))
        found = self.encode(self.sides(replies))
        usable = [e for e in found if isinstance(e, Encoded)]
        known = iter(self.scores(usable) if usable else ())
        scores = np.array([next(known) if isinstance(e, Encoded) else np.nan for e in found])
        if self.spec.direction == "lower_is_better":
            scores = -scores
        if not self.compares:
            return pd.DataFrame([_row(u, u.side, s) for u, s in zip(replies, scores, strict=True)])
        preferred = (scores[::2] + 1 - scores[1::2]) / 2
        pairs = zip(pair_rows(replies), preferred, strict=True)
        return pd.DataFrame([_row(pair.a, f"{pair.a.side}>{pair.b.side}", p) for pair, p in pairs])


def _row(unit: Unit, side: str, score: float) -> dict[str, Any]:
    return unit.columns() | {
        "side": side,
        "condition": "none",
        "replicate": 0,
        "member": "model",
        "seed": 0,
        "score": score,
        "n_response_words": len(unit.conversation[-1].content.split()),
        "status": "ok" if np.isfinite(score) else "failed",
    }
