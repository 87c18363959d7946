"""Interventions and running sums through the engine: keyed, stored, resumed, and the same whatever the batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.condition import Ablation, Condition
from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.reading import Reading
from harness.subject import Member, Subject
from harness.task import Accumulate, Score
from harness.testing.tiny import tiny_model
from tests.engine.fakes import Counting, resolved, unit

TEXTS = ["bake bread at home", "bake bread and let it rise", "no", "mix water and salt", "mix water and yeast now"]
UNITS = tuple(unit(text, item=str(i)) for i, text in enumerate(TEXTS))
ZERO = Condition("zero/0.3", (Ablation(np.array([0]), np.array([3]), np.array([0.0])),))
HELD = Condition("held/1.5", (Ablation(np.array([1, 1]), np.array([5, 6]), np.array([0.7, -0.2])),))
SKIP = 2


@pytest.fixture(scope="module", params=["llama", "bert"])
def model(request, tmp_path_factory):
    path = tiny_model(tmp_path_factory.mktemp("m") / "model", request.param)
    template = "tokenizer" if request.param == "llama" else {"pair": "plain"}
    found = resolve(ModelSpec(model=str(path), template=template), device="cpu")
    return replace(found, instance=found.load())


@pytest.fixture
def store(tmp_path):
    return ScoreStore(tmp_path / "s.sqlite")


def unloadable(model):
    """The same model, which must not be loaded any more."""

    def refuse(_):
        raise AssertionError("the model was loaded although everything is stored")

    return {"resolved": model, "open_pool": refuse}


def down_projections(adapter):
    names = ("mlp.down_proj", "output.dense")
    return [m for n, m in adapter.model.named_modules() if n.endswith(names) and "attention" not in n]


def scores(engine, condition):
    jobs = [Job(u, condition=condition) for u in UNITS]
    engine.ensure(jobs)
    return np.array([engine.outputs(j).outputs[0] for j in jobs])


def test_holding_a_neuron_is_what_editing_its_weights_would_do(model, store):
    engine = Engine(model, store)
    found = {c.name: scores(engine, c) for c in (ZERO, HELD)}
    plain = scores(engine, Job(UNITS[0]).condition)
    for condition in (ZERO, HELD):
        changed = []
        for layer, neuron, value in zip(
            condition.ablations[0].layers, condition.ablations[0].neurons, condition.ablations[0].values, strict=True
        ):
            module = down_projections(model.instance)[layer]
            column = module.weight[:, neuron].clone()
            changed.append((module, neuron, column))
            handle = module.register_forward_hook(lambda m, a, out, c=column, v=float(value): out + c * v)
            module.weight[:, neuron] = 0
            changed[-1] += (handle,)
        expected = model.instance.forward(model.instance.encode(UNITS)).outputs[:, 0]
        for module, neuron, column, handle in changed:
            module.weight[:, neuron] = column
            handle.remove()
        assert np.abs(found[condition.name] - expected).max() < 1e-5
        assert np.abs(found[condition.name] - plain).max() > 1e-3
    assert np.abs(scores(Engine(model, store), Job(UNITS[0]).condition) - plain).max() == 0


def test_conditions_share_one_encoding_and_one_plan_and_are_remembered_apart(model, store):
    engine = Engine(model, store, budget=40)
    engine.ensure(Job(u, condition=c) for c in (Job(UNITS[0]).condition, ZERO, HELD) for u in UNITS)
    alone = Engine(model, store)
    assert engine.timing.texts == 3 * len(UNITS)
    assert len({tuple(scores(alone, c)) for c in (Job(UNITS[0]).condition, ZERO, HELD)}) == 3
    assert alone.timing.texts == 0
    assert np.array_equal(scores(Engine(store=store, **unloadable(model)), ZERO), scores(engine, ZERO))


def test_another_set_under_the_same_name_is_another_score(model, store):
    engine = Engine(model, store)
    other = Condition(ZERO.name, (Ablation(np.array([0]), np.array([4]), np.array([0.0])),))
    assert np.abs(scores(engine, ZERO) - scores(engine, other)).max() > 1e-4


def test_a_stopped_sweep_goes_on_where_it_stopped(model, store):
    def stop(progress):
        if progress.texts >= 4:
            raise KeyboardInterrupt

    jobs = [Job(u, condition=c) for u in UNITS for c in (ZERO, HELD)]
    with pytest.raises(KeyboardInterrupt):
        Engine(model, store, report=stop, budget=30).ensure(jobs)
    engine = Engine(model, store, budget=30)
    engine.ensure(jobs)
    assert 0 < engine.timing.texts <= len(jobs) - 4
    whole = Engine(model, ScoreStore(store.path.with_name("whole.sqlite")))
    for condition in (ZERO, HELD):
        assert np.abs(scores(engine, condition) - scores(whole, condition)).max() < 1e-5


def reference(model, what):
    """Per neuron over the counted tokens of all texts, one text at a time, activations kept whole."""
    adapter, found = model.instance, []
    for unit_ in UNITS:
        (encoded,) = adapter.encode([unit_])
        kept: list[torch.Tensor] = []

        def keep(_, args, kept=kept):
            kept.append(args[0][0])

        hooks = [m.register_forward_pre_hook(keep) for m in down_projections(adapter)]
        adapter.last_layer, last = [], adapter.last_layer
        adapter.forward([encoded])
        adapter.last_layer = last
        for hook in hooks:
            hook.remove()
        found.append(torch.stack(kept)[:, max(SKIP, encoded.response_start) :].double().numpy())
    return what(np.concatenate(found, axis=1))


@pytest.mark.parametrize("budget", [30, 4000])
def test_the_mean_activation_of_every_neuron_over_the_responses(model, store, budget):
    engine = Engine(model, store, budget=budget)
    weights = [1.0] * len(UNITS)
    found = engine.accumulate(UNITS, weights, Reading(skip=SKIP))
    assert found["mean"] == pytest.approx(reference(model, lambda a: a.mean(1)), abs=1e-6)
    assert found["positive"] == pytest.approx(reference(model, lambda a: (a > 0).mean(1)), abs=1e-9)
    assert found["tokens"] == reference(model, lambda a: np.array(a.shape[1]))
    assert found["units"] == len(UNITS)
    again = Engine(store=store, **unloadable(model)).accumulate(UNITS[::-1], weights, Reading(skip=SKIP))
    assert all(np.array_equal(found[k], again[k]) for k in found)


def test_attribution_foretells_what_a_small_push_towards_the_mean_does(model, store):
    weights = [1.0, -1.0, 0.5, 0.0, 2.0]
    found = Engine(model, store).accumulate(UNITS, weights, Reading("attribution"))
    neuron, step = int(np.abs(found["attribution"][0]).argmax()), 3e-3
    mean = float(found["mean"][0, neuron])
    adapter, module = model.instance, down_projections(model.instance)[0]

    def total(by):
        def push(_, args):
            x = args[0].clone()
            start = encoded.response_start
            x[:, start:, neuron] += by * (mean - x[:, start:, neuron])
            return (x,)

        hook = module.register_forward_pre_hook(push)
        value = 0.0
        for weight, unit_ in zip(weights, UNITS, strict=True):
            (encoded,) = adapter.encode([unit_])
            value += weight * float(adapter.forward([encoded]).outputs[0, 0])
        hook.remove()
        return value

    slope = (total(step) - total(-step)) / (2 * step)
    assert abs(slope) > 1e-3
    assert -found["attribution"][0, neuron] == pytest.approx(slope, rel=3e-2)


def test_a_subject_answers_conditions_and_sums_for_each_member(model, store):
    member = Member("model", 0, Engine(model, store))
    spec = model.spec.model_copy(update={"direction": "lower_is_better"})
    turned = Member("helpful", 1, Engine(replace(model, spec=spec, name="local/turned"), store))
    subject = Subject("local/both", "family", (member, turned))
    asked = (Score(UNITS, (ZERO, HELD)), Accumulate(UNITS, Reading("attribution")))
    subject.ensure(asked)
    table = subject.answer(asked[0])
    assert table.groupby(["condition", "member"]).size().to_dict() == {
        (c.name, m): len(UNITS) for c in (ZERO, HELD) for m in ("model", "helpful")
    }
    sums = subject.answer(asked[1])
    assert sums["model", 0]["attribution"] == pytest.approx(-sums["helpful", 1]["attribution"], rel=1e-5, abs=1e-9)
    assert np.abs(sums["model", 0]["attribution"]).max() > 1e-4


def test_requests_that_contradict_themselves_are_refused(store):
    with pytest.raises(InputError, match="names of their own"):
        Score(UNITS, (ZERO, ZERO))
    with pytest.raises(InputError, match="one weight a unit"):
        Accumulate(UNITS, weights=(1.0,))
    with pytest.raises(InputError, match="no neurons"):
        Engine(resolved(Counting()), store).accumulate(UNITS, [1.0] * len(UNITS), Reading())


def test_where_the_score_is_read_counts_in_what_is_judged(model, store):
    engine = Engine(model, store)
    weights = [1.0] * len(UNITS)
    judged, response = (
        engine.accumulate(UNITS, weights, Reading("attribution", span=span, skip=SKIP))
        for span in ("judged", "response")
    )
    encoder = model.instance.layout.types  # it reads its first token, a decoder its last, which is of the reply
    assert judged["tokens"] - response["tokens"] == (len(UNITS) if encoder else 0)
    last = -1
    assert (judged["gradient"][last] != 0).any()
    assert (response["gradient"][last] != 0).any() == (not encoder)


def test_a_pass_of_several_conditions_first_says_what_it_will_compute(model, store):
    said = []
    engine = Engine(model, store, said.append)
    both = [Job(u, condition=c) for u in UNITS for c in (ZERO, HELD)]
    engine.ensure(Job(u) for u in UNITS)
    assert {p.conditions for p in said} == {1}
    said.clear()
    engine.ensure(both)
    plan, *rest = said
    assert (plan.conditions, plan.texts, plan.of_texts) == (2, 0, 2 * len(UNITS))
    assert plan.of_tokens == 2 * sum(engine.request(Job(u)).n_tokens for u in UNITS) == rest[-1].tokens
    assert plan.expected is not None
    assert plan.expected > 0
    said.clear()
    engine.ensure(both)
    assert not any(p.conditions > 1 for p in said)


def test_of_texts_of_unknown_length_only_the_number_is_said(model, store):
    said = []
    Engine(model, store, said.append).ensure(Job(u, condition=c) for u in UNITS for c in (ZERO, HELD))
    assert (said[0].conditions, said[0].of_texts, said[0].of_tokens, said[0].expected) == (2, 2 * len(UNITS), 0, None)
