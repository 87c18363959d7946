"""An encoder that reads pairs, 600 texts, float32 on the CPU: against the pipeline and the cross-encoder."""

from __future__ import annotations

from collections.abc import Mapping

from harness.models.resolve import resolve
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import Matrix, flops, interleaved
from tests.benchmarks.contestants import SAME, CrossEncoder, Ours, Pipeline, Scorer, require_agreement, warm_up
from tests.benchmarks.record import Record, Setting

N_TEXTS = 600
BATCHES = (2, 4, 8, 16, 32, 64)
DEFAULT = 32
"""Batch size of `predict` where none is given."""
MOST_OUTSIDE = 0.05
"""Share of our time that may be spent outside the forward pass."""


def at_its_limit(setting: Setting) -> Record:
    """Texts cut at 512 tokens: all the model takes, and what `truncation=True` means to the pipeline."""
    targets = {
        "pipeline batch 8": 1.9,
        "pipeline batch 32": 3.3,
        "CrossEncoder default": 1.15,
        "CrossEncoder best": 1.0,
    }
    return _measure(setting, 512, targets, MOST_OUTSIDE)


def cut_shorter(setting: Setting) -> Record:
    """Texts cut at 256 tokens, as the shared models ask for: lengths differ less, so there is less to win."""
    return _measure(setting, 256, {}, None)


def _measure(setting: Setting, max_length: int, targets: Mapping[str, float], most_outside: float | None) -> Record:
    folder = folders.encoder(setting.shared, setting.scratch)
    resolved = resolve(folder, device="cpu", dtype="float32", max_length=max_length)
    units = corpus.units(setting.n(N_TEXTS), setting.shared)
    ours, cross = Ours(resolved, units, setting.scratch), CrossEncoder(resolved, units, DEFAULT)
    theirs: dict[str, Scorer] = {f"pipeline batch {batch}": Pipeline(resolved, units, batch) for batch in (8, 32)}
    warm_up(ours, *theirs.values(), cross, atol=SAME)
    best = min(map(cross.with_batch, BATCHES), key=lambda scorer: scorer())
    theirs |= {"CrossEncoder default": cross, "CrossEncoder best": best}

    rounds = interleaved({"ours": ours, **theirs, "matrix": Matrix()}, setting.rounds)
    for scorer in theirs.values():
        require_agreement(ours, scorer, SAME)
    work = flops(ours.model, ours.lengths, causal=False)
    return Record(
        [
            *(rounds.speed("ours", name, targets.get(name)) for name in theirs),
            rounds.rate("useful FLOPs", work, "ours", Matrix().flops),
            ours.outside_forward(under=most_outside),
        ],
        {**ours.conditions(setting), "CrossEncoder best batch": best.batch},
        rounds.seconds,
    )
