"""The first round: the unchanged scores, and every corpus once through every model whose neurons are scored."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import preference
from harness.errors import InputError
from harness.preference import Unit
from harness.reading import Reading
from harness.task import Accumulate, Members, Request, Score, ScoreTable

from .conditions import Held
from .controls import seeded
from .design import HALVES, Corpus, Design, Target, label
from .params import Params
from .scores import SCORES, NeuronScore, pooled
from .sets import OBJECTIVES, Ranking

SAMPLED = 256
"""Replies of each corpus that give a token each for resample ablation."""

Model = tuple[str, int]
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Measured:
    """What the first round gave.

    All (layers, width) float32: `chosen_by[model][objective]`, what an ablated model's sets are chosen by; `halves` the
    same from either half of the corpus (2, layers, width); `scores[model][corpus]` of every model on every corpus;
    `activity` (2, layers, width) mean |activation| of it and of its base, where there is one. `neutral[model]` are the rankings on
    resamples of the neutral corpus, `held[model]` is what its ablated neurons are held at.
    """

    table: ScoreTable
    chosen_by: Mapping[Model, Mapping[str, np.ndarray]]
    halves: Mapping[Model, Mapping[str, np.ndarray]]
    scores: Mapping[Model, Mapping[str, np.ndarray]]
    activity: Mapping[Model, Mapping[str, np.ndarray]]
    neutral: Mapping[Model, Sequence[Ranking]]
    held: Mapping[Model, Held]

    def arrays(self) -> dict[str, np.ndarray]:
        """By name what a result keeps: `chosen_by/mixed.0/helpful`, `half/…`, `score/helpful.0/harmless`, `activity/…`."""
        kinds = {"chosen_by": self.chosen_by, "half": self.halves, "score": self.scores, "activity": self.activity}
        return {
            f"{kind}/{label(model)}/{of}": array
            for kind, by_model in kinds.items()
            for model, some in by_model.items()
            for of, array in some.items()
        }


def measure(design: Design, params: Params, members: Members) -> Generator[Any, Any, Measured]:
    """Ask for everything that needs no ablation, in one round; returns `Measured`."""
    asked = requests(design, params, members)
    answers = yield tuple(asked.values())
    return _measured(design, params, dict(zip(asked, answers, strict=True)))


def requests(design: Design, params: Params, members: Members) -> dict[Key, Request]:
    """The first round by key: `("judged", "", 0)`, `(what, corpus, part)`, `("sample", "", 0)`.

    Raises InputError where the score needs a base model and there is none.
    """
    how = SCORES[params.score]
    ablated = tuple(t.model for t in design.targets)
    models = tuple(dict.fromkeys((*ablated, *(m for t in design.targets for m, _ in t.sources.values()))))
    base = tuple(m for m in members if m[0] == "base")
    if how.against and not base:
        raise InputError(f"score={params.score} compares with a base model; name it with --role base=MODEL")
    reads = {(how.reading, o): (models, how.against) for o in OBJECTIVES}
    if base:
        reads |= {("change", o): (models, "base") for o in OBJECTIVES}
    if how.against:
        reads |= {("moments", o): (ablated, "") for o in OBJECTIVES}
    if params.controls and how.alone:
        reads[how.reading, "neutral"] = ablated, how.against
    wanted: dict[Key, Request] = {("judged", "", 0): Score(tuple(preference.units(design.judged)), members=ablated)}
    for (what, corpus), (who, against) in reads.items():
        for k, part in enumerate(design.corpora.get(corpus, ())):
            wanted[what, corpus, k] = Accumulate(part.units, _reading(params, what), part.weights, who, against=against)
    if params.mode == "resample":
        units = tuple(u for o in OBJECTIVES for u in _replies(design.corpora[o]))
        wanted["sample", "", 0] = Accumulate(units, _reading(params, "sample"), members=ablated)
    return wanted


@dataclass(frozen=True)
class _Sums:
    """Answers by key, put together over parts of a corpus."""

    answers: Mapping[Key, Any]
    corpora: Mapping[str, Sequence[Corpus]]

    def models(self, what: str) -> list[Model]:
        """Who was asked for these sums of the objectives' corpora."""
        return list(self.answers.get((what, OBJECTIVES[0], 0), ()))

    def of(self, model: Model, what: str, corpus: str, parts: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """Sums over a corpus, or over some of its parts, which may be named several times; `both` are the objectives' two."""
        return pooled(
            [
                (self.answers[what, c, k][model], self.corpora[c][k].pairs)
                for c in (OBJECTIVES if corpus == "both" else (corpus,))
                for k in (range(len(self.corpora[c])) if parts is None else parts)
            ]
        )

    def heads(self, model: Model, what: str) -> int:
        """Heads a layer; 0 for neurons."""
        return int(np.max(self.answers[what, OBJECTIVES[0], 0][model].get("heads", 0)))


def _measured(design: Design, params: Params, answers: Mapping[Key, Any]) -> Measured:
    how, sums = SCORES[params.score], _Sums(answers, design.corpora)
    ablated = [t.model for t in design.targets]
    models = sums.models(how.reading)
    return Measured(
        answers["judged", "", 0],
        {t.model: _chosen_by(how, sums, t) for t in design.targets},
        {t.model: _halves(how, sums, t) for t in design.targets},
        {m: _scores(how, sums, m) for m in models if m[0] != "base"},
        {m: _activity(sums, m) for m in sums.models("change")},
        {m: _neutral(how, sums, m, params) for m in ablated},
        {m: _held(how, sums, m, params) for m in ablated},
    )


def _chosen_by(
    how: NeuronScore, sums: _Sums, target: Target, parts: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """(layers, width) by objective, float32: rounded before anything is chosen, so that the result holds what chose."""
    _require_alike(how, sums, target)
    heads = sums.heads(target.model, how.reading)
    found = {o: sums.of(model, how.reading, corpus, parts) for o, (model, corpus) in target.sources.items()}
    return {o: how.of(found[o], found[p], heads).astype(np.float32) for o, p in (OBJECTIVES, OBJECTIVES[::-1])}


def _require_alike(how: NeuronScore, sums: _Sums, target: Target) -> None:
    """Raises InputError where the sources have other neurons than the model that is ablated."""
    shapes = {}
    for model in (target.model, *(model for model, _ in target.sources.values())):
        own = sums.of(model, how.reading, OBJECTIVES[0])
        shapes[label(model)] = how.of(own, own, sums.heads(model, how.reading)).shape
    if len(set(shapes.values())) > 1:
        raise InputError(
            f"siblings are fine-tuned from one base, but these have different neurons (layers, width): {shapes}; use "
            "-P neuron_ablation.sets=corpora"
        )


def _halves(how: NeuronScore, sums: _Sums, target: Target) -> dict[str, np.ndarray]:
    halves = [_chosen_by(how, sums, target, [k]) for k in range(HALVES)]
    return {o: np.stack([half[o] for half in halves]) for o in OBJECTIVES}


def _scores(how: NeuronScore, sums: _Sums, model: Model) -> dict[str, np.ndarray]:
    """Scores of one model on each corpus."""
    return _chosen_by(how, sums, Target(model, {o: (model, o) for o in OBJECTIVES}))


def _activity(sums: _Sums, model: Model) -> dict[str, np.ndarray]:
    found = {o: sums.of(model, "change", o) for o in OBJECTIVES}
    return {o: np.stack([of["abs_mean"], of["base_abs_mean"]]).astype(np.float32) for o, of in found.items()}


def _neutral(how: NeuronScore, sums: _Sums, model: Model, params: Params) -> list[Ranking]:
    """One ranking a control draw, each on a resample, with replacement, of the parts of the neutral corpus."""
    parts = len(sums.corpora.get("neutral", ())) if how.alone else 0
    rankings = []
    for r in range(params.controls if parts else 0):
        drawn = seeded(params.seed, "neutral", label(model), r).integers(parts, size=parts).tolist()
        corpus = sums.of(model, how.reading, "neutral", drawn)
        rankings.append(Ranking.of(how.of(corpus, corpus, sums.heads(model, how.reading)), params.rank))
    return rankings


def _held(how: NeuronScore, sums: _Sums, model: Model, params: Params) -> Held:
    """Means over both corpora, each corpus counting as much as the other, and the sampled tokens."""
    what = how.reading if "mean" in sums.of(model, how.reading, OBJECTIVES[0]) else "moments"
    mean = np.mean([sums.of(model, what, o)["mean"] for o in OBJECTIVES], axis=0)
    sample = sums.answers["sample", "", 0][model]["sample"] if params.mode == "resample" else None
    return Held(params.site, sums.heads(model, how.reading), mean, sample)


def _replies(corpus: Sequence[Corpus]) -> list[Unit]:
    return [unit for part in corpus for unit in part.units][:SAMPLED]


def _reading(params: Params, what: str) -> Reading:
    return Reading(what, params.site, params.span, params.skip)
