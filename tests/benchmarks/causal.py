"""A 12-layer 576-wide Llama with random weights, 120 texts, float32 on the CPU: against the pipeline and the machine."""

from __future__ import annotations

from harness.models.resolve import resolve
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import Matrix, flops, interleaved
from tests.benchmarks.contestants import SAME, Ours, Pipeline, require_agreement, warm_up
from tests.benchmarks.record import Record, Setting

N_TEXTS = 120


def measure(setting: Setting) -> Record:
    """Speed, useful operations over the matrix rate, and the share of tokens that were computed once for several texts."""
    units = corpus.units(setting.n(N_TEXTS), setting.shared)
    folder = folders.decoder(setting.scratch / "llama", units, folders.LLAMA)
    resolved = resolve(folder, device="cpu", dtype="float32")
    ours, pipeline = Ours(resolved, units, setting.scratch), Pipeline(resolved, units, 8)
    warm_up(ours, pipeline, atol=SAME)
    rounds = interleaved({"ours": ours, "pipeline batch 8": pipeline, "matrix": Matrix()}, setting.rounds)
    require_agreement(ours, pipeline, SAME)
    work = flops(ours.model, ours.lengths, causal=True)
    return Record(
        [
            rounds.speed("ours", "pipeline batch 8", at_least=2.5),
            rounds.rate("useful FLOPs", work, "ours", Matrix().flops, at_least=1.05),
            ours.outside_forward(under=0.05),
            ours.removed(),
        ],
        ours.conditions(setting),
        rounds.seconds,
    )
