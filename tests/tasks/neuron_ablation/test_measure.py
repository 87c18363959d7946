from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from harness.tasks.neuron_ablation.design import Design
from harness.tasks.neuron_ablation.measure import SAMPLED, Measured, measure, requests
from harness.tasks.neuron_ablation.params import Params

from harness.errors import InputError
from harness.task import Accumulate, Members, Request, Score, TaskData
from harness.testing import planted_scenes as scenes
from harness.testing.planted_neurons import NeuronModel, PlantedNeurons

SCENE = scenes.siblings(0, n=10, corpus=20)
MODELS = SCENE.subject.models
UNTUNED = replace(MODELS["mixed", 0], tuning={}, weights=np.zeros(MODELS["mixed", 0].shape))


@dataclass(frozen=True)
class Changing:
    """Planted neurons that also answer readings of `change`, and remember what they were asked."""

    models: dict[tuple[str, int], NeuronModel]
    asked: list[Request] = field(default_factory=list)

    @property
    def members(self) -> Members:
        return tuple(self.models)

    def answer(self, request: Request) -> Any:
        self.asked.append(request)
        if not (isinstance(request, Accumulate) and request.reading.what == "change"):
            return PlantedNeurons(self.models).answer(request)
        base = self.models[request.against, 0].activations(request.units)
        return {m: self._change(self.models[m].activations(request.units), base) for m in request.members}

    def _change(self, own: np.ndarray, base: np.ndarray) -> dict[str, np.ndarray]:
        means = {"mean_square": (own - base) ** 2, "abs_mean": abs(own), "base_abs_mean": abs(base)}
        return {name: values.mean(0) for name, values in means.items()} | {"tokens": np.array(float(len(own)))}


def measured(models: Any = MODELS, **params: Any) -> tuple[Measured, Changing, Design, Params]:
    chosen = Params(**{"pairs": 10, "corpus_pairs": 20, "controls": 4} | params)
    subject = Changing(dict(models))
    design = Design.of(TaskData(SCENE.items, subject.members), chosen)
    steps = measure(design, chosen, subject.members)
    asked = next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(tuple(subject.answer(request) for request in asked))
    return stop.value.value, subject, design, chosen


def attribution(model: NeuronModel, corpora: list[Any]) -> np.ndarray:
    """Mean over pairs of the margin lost to first order, by definition: weight x (activation - mean over all units)."""
    activations = np.concatenate([model.activations(c.units) for parts in corpora for c in parts])
    signs = np.concatenate([np.sign(c.weights) for parts in corpora for c in parts])
    pairs = len(signs) / 2
    return (signs[:, None, None] * model.weights * (activations - activations.mean(0))).sum(0) / pairs


def test_siblings_are_scored_on_both_corpora_together() -> None:
    found, _, design, _ = measured()
    both = [design.corpora["helpful"], design.corpora["harmless"]]
    for objective in ("helpful", "harmless"):
        expected = attribution(MODELS[objective, 0], both)
        np.testing.assert_allclose(found.chosen_by["mixed", 0][objective], expected, rtol=1e-4, atol=1e-6)
        assert found.chosen_by["mixed", 0][objective].dtype == np.float32


def test_every_model_is_scored_on_every_corpus() -> None:
    found, _, design, _ = measured()
    assert set(found.scores) == set(MODELS)
    for model, by_corpus in found.scores.items():
        for objective, score in by_corpus.items():
            expected = attribution(MODELS[model], [design.corpora[objective]])
            np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-6)


def test_halves_are_the_scores_of_each_half() -> None:
    found, _, design, _ = measured(sets="corpora")
    halves = found.halves["mixed", 0]["helpful"]
    for half, part in zip(halves, design.corpora["helpful"], strict=True):
        np.testing.assert_allclose(half, attribution(MODELS["mixed", 0], [[part]]), rtol=1e-4, atol=1e-6)


def test_neurons_are_held_at_the_mean_of_both_corpora_each_counting_alike() -> None:
    found, _, design, _ = measured()
    means = [
        np.concatenate([MODELS["mixed", 0].activations(c.units) for c in design.corpora[o]]).mean(0)
        for o in ("helpful", "harmless")
    ]
    np.testing.assert_allclose(found.held["mixed", 0].mean, np.mean(means, axis=0))


def test_only_who_is_ablated_is_scored_on_what_is_judged() -> None:
    _, subject, design, _ = measured()
    (judged,) = [r for r in subject.asked if isinstance(r, Score)]
    assert judged.members == (("mixed", 0),)
    assert {u.item_id for u in judged.units} == {i.id for i in design.judged}


def test_neutral_rankings_are_one_a_draw_and_repeat() -> None:
    first, again = (measured()[0].neutral["mixed", 0] for _ in range(2))
    assert len(first) == 4
    assert [a.order.tolist() for a in first] == [b.order.tolist() for b in again]
    assert len({tuple(a.order[:12]) for a in first}) > 1
    parts = measured()[2].corpora["neutral"]
    alone = {tuple(np.argsort(-attribution(MODELS["mixed", 0], [[part]]).ravel())[:12]) for part in parts}
    assert not any(tuple(a.order[:12]) in alone for a in first)  # a resample is of all parts, not one of them
    assert measured(controls=0)[0].neutral["mixed", 0] == []


def test_a_base_is_compared_by_activity_and_never_ablated() -> None:
    found, subject, design, _ = measured({**MODELS, ("base", 0): UNTUNED})
    assert set(found.activity) == set(MODELS)
    assert ("base", 0) not in found.scores
    assert all(("base", 0) not in getattr(r, "members", ()) for r in subject.asked)
    texts = [u for c in design.corpora["helpful"] for u in c.units]
    own, base = found.activity["mixed", 0]["helpful"]
    np.testing.assert_allclose(own, abs(MODELS["mixed", 0].activations(texts)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(base, abs(UNTUNED.activations(texts)).mean(0), rtol=1e-5)
    assert "activity/mixed.0/helpful" in found.arrays()
    assert measured()[0].activity == {}


def test_change_against_a_base() -> None:
    found, _, design, _ = measured({**MODELS, ("base", 0): UNTUNED}, score="rms_change")
    for objective in ("helpful", "harmless"):
        texts = [u for o in ("helpful", "harmless") for c in design.corpora[o] for u in c.units]
        moved = MODELS[objective, 0].activations(texts) - UNTUNED.activations(texts)
        expected = np.sqrt((moved**2).mean(0))
        np.testing.assert_allclose(found.chosen_by["mixed", 0][objective], expected, rtol=1e-5)


def test_change_needs_a_base() -> None:
    with pytest.raises(InputError, match="--role base=MODEL"):
        measured(score="rms_change")


@pytest.mark.parametrize("score", ["abs_mean", "signed_mean", "prob", "lape"])
def test_other_scores_are_measured(score: str) -> None:
    found, subject, _, _ = measured(score=score)
    assert found.chosen_by["mixed", 0]["helpful"].shape == (scenes.LAYERS, scenes.WIDTH)
    assert (len(found.neutral["mixed", 0]) == 4) == (score != "lape")
    assert {r.reading.what for r in subject.asked if isinstance(r, Accumulate)} == {"moments"}


def test_the_reading_is_what_the_parameters_say() -> None:
    _, subject, _, _ = measured(profile="paper", controls=0)
    (reading,) = {r.reading for r in subject.asked if isinstance(r, Accumulate)}
    assert (reading.what, reading.site, reading.span, reading.skip) == ("moments", "activation", "text", 0)


def test_resampling_asks_for_a_token_of_some_replies_of_both_corpora() -> None:
    found, subject, design, _ = measured(mode="resample")
    (sampled,) = [r for r in subject.asked if isinstance(r, Accumulate) and r.reading.what == "sample"]
    names = {u.item_id for u in sampled.units}
    for objective in ("helpful", "harmless"):
        assert names & {u.item_id for c in design.corpora[objective] for u in c.units}
    sample = found.held["mixed", 0].sample
    assert sample is not None
    assert len(sample) == len(sampled.units) <= 2 * SAMPLED
    assert measured()[0].held["mixed", 0].sample is None


def test_siblings_of_another_shape_are_refused() -> None:
    narrow = replace(
        MODELS["helpful", 0],
        **{name: getattr(MODELS["helpful", 0], name)[:, :10] for name in ("weights", "mean", "spread")},
        tuning={},
    )
    chosen = Params(pairs=10, corpus_pairs=20, controls=0)
    members = tuple(MODELS)
    design = Design.of(TaskData(SCENE.items, members), chosen)
    steps = measure(design, chosen, members)
    wide, thin = PlantedNeurons(MODELS), PlantedNeurons({("helpful", 0): narrow})
    answers = []
    for request in next(steps):
        answer = wide.answer(request)
        if isinstance(request, Accumulate) and ("helpful", 0) in request.members:
            answer |= thin.answer(replace(request, members=(("helpful", 0),)))
        answers.append(answer)
    with pytest.raises(InputError, match="sets=corpora"):
        steps.send(tuple(answers))


def test_arrays_are_named_by_what_model_and_objective() -> None:
    found, *_ = measured()
    names = {name.split("/")[0] for name in found.arrays()}
    assert names == {"chosen_by", "half", "score"}
    assert {n for n in found.arrays() if n.startswith("chosen_by")} == {
        "chosen_by/mixed.0/helpful",
        "chosen_by/mixed.0/harmless",
    }


def test_requests_have_keys_of_their_own() -> None:
    chosen = Params(pairs=10, corpus_pairs=20)
    asked = requests(Design.of(TaskData(SCENE.items, tuple(MODELS)), chosen), chosen, tuple(MODELS))
    assert sum(isinstance(r, Score) for r in asked.values()) == 1
    assert {k[1] for k in asked} == {"", "helpful", "harmless", "neutral"}
