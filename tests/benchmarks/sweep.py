"""A sweep of ablations against scoring the same texts once: what C conditions cost besides C forward passes."""

from __future__ import annotations

from contextlib import closing
from itertools import count

import numpy as np

from harness.condition import NONE, Ablation, Condition
from harness.engine.engine import Engine, Job
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.models.resolve import resolve
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import interleaved, timed
from tests.benchmarks.record import Finding, Record, Setting

N_TEXTS = 300
CONDITIONS = 10
SHARE = 0.05
"""Share of all neurons that a condition holds."""


def measure(setting: Setting) -> Record:
    """Time of a sweep over conditions times that of one pass, engine warm, store empty every time."""
    folder = folders.encoder(setting.shared, setting.scratch)
    resolved = resolve(folder, device="cpu", dtype="float32")
    texts = corpus.units(setting.n(N_TEXTS), setting.shared)
    replica = Replica.load(resolved)
    sites = replica.adapter.sites["mlp"]  # type: ignore[attr-defined]
    conditions = drawn(len(sites), sites[0].width, np.random.default_rng(0))
    names = (setting.scratch / f"{i}.sqlite" for i in count())
    engines: list[Engine] = []

    def run(asked: tuple[Condition, ...]) -> None:
        with closing(ScoreStore(next(names))) as store:
            engines.append(Engine(resolved, store, open_pool=lambda _: replica))
            engines[-1].ensure(Job(unit, condition=condition) for condition in asked for unit in texts)

    run((NONE,))  # warm
    rounds = interleaved(
        {"once": lambda: timed(lambda: run((NONE,))), "sweep": lambda: timed(lambda: run(conditions))}, setting.rounds
    )
    pairs = zip(rounds.seconds["sweep"], rounds.seconds["once"], strict=True)
    each = [sweep / once / CONDITIONS for sweep, once in pairs]
    best = min(rounds.seconds["sweep"]) / min(rounds.seconds["once"]) / CONDITIONS
    return Record(
        [Finding(f"{CONDITIONS} conditions / {CONDITIONS} x one pass", best, (min(each), max(each)), under=1.15)],
        {
            "texts": len(texts),
            "source": corpus.source(setting.shared),
            "tokens of one pass": engines[0].timing.tokens,
            "tokens of the sweep": engines[-1].timing.tokens,
            "neurons held": len(conditions[0].ablations[0]),
            "dtype": "float32",
            "device": "cpu",
            "rounds": setting.rounds,
        },
        rounds.seconds,
    )


def drawn(layers: int, width: int, rng: np.random.Generator) -> tuple[Condition, ...]:
    """Random sets of neurons, held at 0."""
    found = []
    for c in range(CONDITIONS):
        chosen = rng.choice(layers * width, round(SHARE * layers * width), replace=False)
        ablation = Ablation(chosen // width, chosen % width, np.zeros(len(chosen)))
        found.append(Condition(f"random/{c}", (ablation,)))
    return tuple(found)
