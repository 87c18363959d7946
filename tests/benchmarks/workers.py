"""Two Ray workers of one thread each against one process with two threads: the same encoder, texts and cores."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.engine.workers import RayPool
from harness.models.resolve import resolve
from tests.benchmarks import corpus, encoder, folders
from tests.benchmarks.contest import interleaved
from tests.benchmarks.contestants import Ours, require_agreement, warm_up
from tests.benchmarks.record import Finding, NotMeasured, Record, Setting

CORES = 2
EXACT = 2e-5
"""Every plan is within 1e-5 of one text at a time, so two plans are within twice that of each other."""


def measure(setting: Setting) -> Record:
    """Speed after warm-up, and how long either takes to start; raises NotMeasured without Ray or a second core."""
    if importlib.util.find_spec("ray") is None:
        raise NotMeasured("Ray is not installed")
    if (os.cpu_count() or 1) < CORES:
        raise NotMeasured(f"fewer than {CORES} cores")
    folder = folders.encoder(setting.shared, setting.scratch)
    resolved = resolve(folder, device="cpu", dtype="float32", max_length=512)
    units = corpus.units(setting.n(encoder.N_TEXTS), setting.shared)
    began = time.perf_counter()
    with two_cores():
        pool = RayPool(resolved, CORES)
        ready = time.perf_counter() - began
        try:
            one, two = Ours(resolved, units, setting.scratch), Ours(resolved, units, setting.scratch, pool)
            warm_up(one, two, atol=EXACT)
            rounds = interleaved({"2 Ray workers": two, "1 worker": one}, setting.rounds)
        finally:
            pool.close()
    require_agreement(one, two, EXACT)
    return Record(
        [
            rounds.speed("2 Ray workers", "1 worker", at_least=0.9),
            Finding("start-up of Ray and its workers in seconds", ready),
        ],
        one.conditions(setting) | {"threads": CORES},
        rounds.seconds,
    )


@contextmanager
def two_cores() -> Iterator[None]:
    """Ray that knows of two cores, and two threads in this process, however many the machine has."""
    import ray

    threads = torch.get_num_threads()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    torch.set_num_threads(CORES)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        ray.shutdown()
