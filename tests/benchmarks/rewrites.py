"""Rewritten replies of 1,000 pairs: what they cost an encoder whose originals are scored, and what sharing prefixes saves a decoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from harness.tasks.rewrite_robustness.params import Params
from harness.tasks.rewrite_robustness.variants import attempts, rewritten

from harness.engine.engine import Engine, Job
from harness.engine.progress import Timing
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.models.base import Resolved
from harness.models.resolve import resolve
from harness.preference import Unit
from harness.task import TaskData
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import Rounds, interleaved, timed
from tests.benchmarks.contestants import SAME, SAMPLE
from tests.benchmarks.record import Finding, Record, Setting

N_TEXTS = 2000
DECODED = 50
"""One text in so many is a text of the decoder, which is slower."""
NAMES = (
    "trailing_space", "quoted", "punctuation_spaces", "expand_contractions", "contract", "american",
    "swap_3", "substitute_3", "insert_3", "delete_3", "typos_3", "drop_words_3",
)  # fmt: skip
"""Some change nearly every text, some few, and some none of the tokens of an encoder."""
MOST = 1.1
"""Times what the rate on the originals predicts that the rewritten texts may take."""


@dataclass(frozen=True)
class Texts:
    """Original units, their rewrites, how often one was tried, and the seconds that took."""

    originals: tuple[Unit, ...]
    rewrites: tuple[Unit, ...]
    tried: int
    seconds: float

    @property
    def new(self) -> int:
        """Different texts among the rewrites that are no original."""
        return len({u.conversation for u in self.rewrites} - {u.conversation for u in self.originals})

    def by_variant(self) -> list[list[Unit]]:
        """The originals, then the rewrites of each transform."""
        parts: dict[str, list[Unit]] = {}
        for unit in (*self.originals, *self.rewrites):
            parts.setdefault(unit.variant, []).append(unit)
        return list(parts.values())


def measure(setting: Setting) -> Record:
    """Both models; seconds are told by model and contestant."""
    n = setting.n(N_TEXTS)
    encoder, decoder = on_encoder(setting, n), on_decoder(setting, max(2, n // DECODED))
    return Record(
        [*encoder.findings, *decoder.findings],
        {"encoder": encoder.conditions, "decoder": decoder.conditions, "transforms": NAMES, "rounds": setting.rounds},
        {**encoder.seconds, **decoder.seconds},
    )


def texts(n: int, shared: Path) -> Texts:
    """`n` originals and all their rewrites, made as the task makes them."""
    data = TaskData(corpus.items(n // 2, shared))
    made: list[Any] = []
    seconds = timed(lambda: made.extend(attempts(data, Params(transforms=",".join(NAMES)))))
    return Texts(data.units(), rewritten(made), len(made), seconds)


# --- an encoder: the rate of the originals predicts the time of the rewrites --------------------------


def on_encoder(setting: Setting, n: int) -> Record:
    """Time of scoring what the rewrites add, over what the rate on the originals in the same round predicts.

    Predicted from tokens, because rewriting makes texts longer, as the model computes them: what becomes the same ids
    is computed once, yet is made into ids on our time. The ratio from the number of texts stands beside it.
    """
    folder = folders.encoder(setting.shared, setting.scratch)
    resolved = resolve(folder, device="cpu", dtype="float32", max_length=512)
    of, pool = texts(n, setting.shared), Replica.load(resolved)
    stores, done = (setting.scratch / f"encoder-{i}.sqlite" for i in count()), {}
    current: list[Path] = []

    def originals() -> float:
        """Into a store of their own, which the rewrites of the round find."""
        current[:] = [next(stores)]
        return timed(lambda: done.update(originals=_score(resolved, pool, current[0], [of.originals])[0]))

    def rewrites() -> float:
        """Everything is asked for, as a task does; only what is new is computed."""
        return timed(
            lambda: done.update(rewrites=_score(resolved, pool, current[0], [(*of.originals, *of.rewrites)])[0])
        )

    _score(resolved, pool, next(stores), [of.originals[:SAMPLE]])
    rounds = interleaved({"originals": originals, "rewrites": rewrites}, setting.rounds)
    before, after = done["originals"], done["rewrites"]
    assert after.texts <= of.new, f"{after.texts} texts were computed, and only {of.new} are new"
    return Record(
        [
            _over(rounds, "encoder: time / predicted from tokens", before.tokens / after.tokens, under=MOST),
            _over(rounds, "encoder: time / predicted from texts", before.texts / of.new),
            Finding("encoder: making the rewrites / scoring them", of.seconds / min(rounds.seconds["rewrites"])),
        ],
        {
            "source": corpus.source(setting.shared),
            "originals": _size(before),
            "tried": of.tried,
            "rewritten": len(of.rewrites),
            "new": of.new,
            "computed": _size(after),
        },
        {f"encoder: {name}": seconds for name, seconds in rounds.seconds.items()},
    )


# --- a decoder: variants of a reply begin alike -------------------------------------------------------


def on_decoder(setting: Setting, n: int) -> Record:
    """Originals and variants in one plan, against one plan a variant (replies share their prompt), and against nothing shared."""
    of = texts(n, setting.shared)
    folder = folders.decoder(setting.scratch / "llama", of.originals, folders.LLAMA)
    resolved = resolve(folder, device="cpu", dtype="float32")
    pool = Replica.load(resolved)
    alone = copy.copy(pool)
    alone.traits = replace(pool.traits, shares=0)
    stores, done = (setting.scratch / f"decoder-{i}.sqlite" for i in count()), {}

    def contestant(name: str, of_pool: Replica, parts: Sequence[Sequence[Unit]]) -> Callable[[], float]:
        """Scores the parts one after the other with an empty store; keeps how and what."""
        return lambda: timed(lambda: done.update({name: _score(resolved, of_pool, next(stores), parts)}))

    everything = [(*of.originals, *of.rewrites)]
    _score(resolved, pool, next(stores), [of.originals[:SAMPLE]])
    rounds = interleaved(
        {
            "together": contestant("together", pool, everything),
            "variant by variant": contestant("variant by variant", pool, of.by_variant()),
            "nothing shared": contestant("nothing shared", alone, everything),
        },
        setting.rounds,
    )
    findings, (together, scores) = [], done["together"]
    for name in ("variant by variant", "nothing shared"):
        timing, others = done[name]
        _require_same(scores, others)
        findings += [
            _over(rounds, f"decoder: together / {name}, time", 1.0, "together", name, under=1.0),
            Finding(f"decoder: together / {name}, tokens", together.packed / timing.packed, under=1.0),
        ]
    sizes = {"source": corpus.source(setting.shared), "computed": _size(together), "originals": len(of.originals)}
    return Record(findings, sizes, {f"decoder: {name}": seconds for name, seconds in rounds.seconds.items()})


# --- both ---------------------------------------------------------------------------------------------


def _score(
    resolved: Resolved, pool: Replica, store: Path, parts: Iterable[Sequence[Unit]]
) -> tuple[Timing, dict[str, float]]:
    """Parts one after the other through one store: where the time went, and every unit's score."""
    with closing(ScoreStore(store)) as opened:
        engine = Engine(resolved, opened, open_pool=lambda _: pool)
        scores: dict[str, float] = {}
        for units in parts:
            engine.ensure(Job(unit) for unit in units)
            scores |= {unit.unit_id: float(engine.outputs(Job(unit)).outputs[0]) for unit in units}
        return engine.timing, scores


def _over(
    rounds: Rounds,
    what: str,
    factor: float,
    above: str = "rewrites",
    below: str = "originals",
    under: float | None = None,
) -> Finding:
    """`factor` x seconds of `above` over those of `below`: of the minima, and within rounds."""
    pairs = zip(rounds.seconds[above], rounds.seconds[below], strict=True)
    each = [factor * a / b for a, b in pairs]
    best = factor * min(rounds.seconds[above]) / min(rounds.seconds[below])
    return Finding(what, best, (min(each), max(each)), under=under)


def _require_same(ours: dict[str, float], others: dict[str, float]) -> None:
    """Stop where two ways of scoring the same units differ."""
    assert ours.keys() == others.keys(), "not the same units were scored"
    most = max(np.abs(ours[unit] - others[unit]) for unit in ours)
    assert most < SAME, f"scores differ by up to {most:.2g}, expected less than {SAME:g}"


def _size(timing: Timing) -> dict[str, int]:
    return {"texts": timing.texts, "tokens": timing.tokens, "packed": timing.packed}
