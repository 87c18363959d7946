"""Decoders of true size with random weights, bfloat16 on a GPU: against the pipeline and the GPU's matrix rate."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from harness.models.resolve import resolve
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import Matrix, flops, interleaved
from tests.benchmarks.contestants import Ours, Pipeline, require_agreement, warm_up
from tests.benchmarks.record import Finding, NotMeasured, Record, Setting

QWEN: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 4096,
}
SHAPES: dict[str, tuple[int, dict[str, Any]]] = {
    "0.6B": (4000, {**QWEN, "hidden_size": 1024, "intermediate_size": 3072}),
    "1.7B": (2000, {**QWEN, "hidden_size": 2048, "intermediate_size": 6144}),
    "8B": (
        600,
        {
            "model_type": "llama",
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 14_336,
            "max_position_embeddings": 4096,
        },
    ),
}
"""Texts and shape by size, after Qwen3-0.6B, Qwen3-1.7B and Llama-3.1-8B: a round of any takes seconds."""


def measure(setting: Setting) -> Record:
    """All sizes, one after the other; raises NotMeasured without a CUDA device."""
    if not torch.cuda.is_available():
        raise NotMeasured("no CUDA device")
    parts = [
        contest(setting, name, n, shape, "cuda", Matrix(8192, "bfloat16", "cuda"))
        for name, (n, shape) in SHAPES.items()
    ]
    return Record(
        [finding for part in parts for finding in part.findings],
        {"device": "cuda", "gpu": torch.cuda.get_device_name()}
        | {name: part.conditions for name, part in zip(SHAPES, parts, strict=True)},
        {f"{name}: {who}": s for name, part in zip(SHAPES, parts, strict=True) for who, s in part.seconds.items()},
    )


def contest(setting: Setting, name: str, n: int, shape: dict[str, Any], device: str, matrix: Matrix) -> Record:
    """One model, made for the occasion: its weights are on disk only as long as it is measured."""
    units = corpus.units(setting.n(n), setting.shared)
    folder = folders.decoder(setting.scratch / name, units, shape, "bfloat16", device)
    resolved = resolve(folder, device=device, dtype="bfloat16")
    ours, pipeline = Ours(resolved, units, setting.scratch), Pipeline(resolved, units, 32)
    shutil.rmtree(folder)
    warm_up(ours, pipeline)
    rounds = interleaved({"ours": ours, "pipeline batch 32": pipeline, "matrix": matrix}, setting.rounds)
    require_agreement(ours, pipeline)
    work = flops(ours.model, ours.lengths, causal=True)
    found = [
        rounds.rate("useful FLOPs", work, "ours", matrix.flops, at_least=0.5),
        rounds.speed("ours", "pipeline batch 32", at_least=5.0),
        ours.outside_forward(),
    ]
    return Record(
        [Finding(f"{name}: {f.what}", f.measured, f.rounds, f.at_least) for f in found],
        ours.conditions(setting),
        rounds.seconds,
    )
