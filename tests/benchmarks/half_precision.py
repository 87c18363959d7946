"""bfloat16 against float32 on a CPU that has the instructions: the same texts, the same engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.models.resolve import resolve
from harness.preference import Unit
from tests.benchmarks import causal, corpus, encoder, folders, machine
from tests.benchmarks.contest import interleaved
from tests.benchmarks.contestants import Ours, warm_up
from tests.benchmarks.record import Finding, NotMeasured, Record, Setting

FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls such instructions: x86 vectors, x86 tiles, ARM."""


def measure(setting: Setting) -> Record:
    """Speed of bfloat16 over float32 for the decoder and the encoder, and how far their scores are apart."""
    if not FLAGS & machine.flags():
        raise NotMeasured("no bfloat16 instructions in this CPU")
    few, many = (corpus.units(setting.n(n), setting.shared) for n in (causal.N_TEXTS, encoder.N_TEXTS))
    decoder = folders.decoder(setting.scratch / "llama", few, folders.LLAMA)
    parts = [
        _contest(setting, "decoder", decoder, few),
        _contest(setting, "encoder", folders.encoder(setting.shared, setting.scratch), many),
    ]
    return Record(
        [finding for part in parts for finding in part.findings],
        {name: value for part in parts for name, value in part.conditions.items()},
        {name: value for part in parts for name, value in part.seconds.items()},
    )


def _contest(setting: Setting, name: str, folder: Path, units: list[Unit]) -> Record:
    both = {
        f"{name} {short}": Ours(resolve(folder, device="cpu", dtype=dtype, max_length=512), units, setting.scratch)
        for short, dtype in (("bf16", "bfloat16"), ("fp32", "float32"))
    }
    half, full = both.values()
    warm_up(full, half)
    rounds = interleaved(both, setting.rounds)
    apart = float(np.abs(half.scores - full.scores).max() / full.scores.std())
    return Record(
        [
            rounds.speed(f"{name} bf16", f"{name} fp32", at_least=1.4),
            Finding(f"{name}: largest difference of two scores, in standard deviations", apart),
        ],
        {name: full.conditions(setting) | {"dtype": "bfloat16 and float32"}},
        rounds.seconds,
    )
