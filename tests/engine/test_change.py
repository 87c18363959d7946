"""Change against a base through the engine: at the ids of the reward model, keyed by both, stored, the same whatever the batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from harness.engine.engine import Engine
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.engine.work import Work
from harness.engine.workers import pool_opener
from harness.errors import InputError
from harness.models.base import BatchTooLargeError
from harness.models.tree import grow
from harness.reading import Reading
from harness.testing.tiny import tiny_model
from tests.engine.bases import HEADS, base, differences, pretrained, reward_model
from tests.engine.fakes import Counting, resolved, unit

TEXTS = ["bake bread at home", "bake bread and let it rise", "no", "mix water and salt", "mix water and yeast now"]
UNITS = tuple(unit(text, item=str(i)) for i, text in enumerate(TEXTS))
EVEN = [1.0] * len(UNITS)
SKIP = 2
CHANGE = Reading("change", skip=SKIP)


@pytest.fixture(scope="module", params=["llama", "bert"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def paths(family, tmp_path_factory):
    folder = tmp_path_factory.mktemp(family)
    return tiny_model(folder / "rm", family), pretrained(folder / "base", family, seed=3)


@pytest.fixture
def store(tmp_path):
    return ScoreStore(tmp_path / "s.sqlite")


def refuse(_):
    raise AssertionError("the model was loaded although everything is stored")


def texts(model):
    return model.load().encode(UNITS)


def same(one, other, atol=1e-6):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("budget", [30, 4000])
def test_neurons_change_by_what_stored_activations_of_both_models_say(paths, family, store, budget):
    model = reward_model(paths[0], family)
    found = Engine(model, store, budget=budget).accumulate(UNITS, EVEN, CHANGE, base(paths[1]))
    expected = differences(*paths, texts(model), "mlp", SKIP)
    assert set(found) == {"tokens", "units", "mean_square", "abs_mean", "base_abs_mean"}
    assert np.sqrt(found["mean_square"]) == pytest.approx(np.sqrt((expected**2).mean(1)), rel=1e-6, abs=1e-6)
    assert found["mean_square"].min() > 1e-4
    assert found["tokens"] == expected.shape[1]
    assert found["units"] == len(UNITS)


@pytest.mark.parametrize("budget", [30, 4000])
def test_heads_change_by_the_mean_length_of_their_differences(paths, family, store, budget):
    model = reward_model(paths[0], family)
    reading = replace(CHANGE, site="attention")
    found = Engine(model, store, budget=budget).accumulate(UNITS, EVEN, reading, base(paths[1]))
    stored = differences(*paths, texts(model), "attention", SKIP)
    by_head = stored.reshape(*stored.shape[:2], HEADS, -1)
    assert found["norm"].shape == (2, HEADS)
    assert found["norm"] == pytest.approx(np.sqrt((by_head**2).sum(-1)).mean(1), abs=1e-6)
    assert found["tokens"] == stored.shape[1]


@pytest.mark.parametrize("site", ["mlp", "attention", "activation"])
def test_a_model_has_not_changed_from_itself_and_change_is_the_same_both_ways(paths, family, store, tmp_path, site):
    reading = replace(CHANGE, site=site)
    other = tiny_model(tmp_path / "other", family, seed=9)
    ahead, back = (
        Engine(reward_model(a, family), store).accumulate(UNITS, EVEN, reading, base(b))
        for a, b in ((paths[0], other), (other, paths[0]))
    )
    swapped = {"abs_mean": "base_abs_mean", "base_abs_mean": "abs_mean"}
    same(ahead, {swapped.get(key, key): value for key, value in back.items()}, atol=0)
    itself = Engine(reward_model(paths[0], family), store).accumulate(UNITS, EVEN, reading, base(paths[0]))
    name = "norm" if site == "attention" else "mean_square"
    assert (itself[name] == 0).all()
    assert (ahead[name] > 0).all()


def test_another_member_can_be_the_other_model_and_its_head_plays_no_part(paths, family, store, tmp_path):
    model, other = reward_model(paths[0], family), tiny_model(tmp_path / "other", family, seed=9)
    whole, headless = (
        Engine(model, store).accumulate(UNITS, EVEN, CHANGE, m) for m in (reward_model(other, family), base(other))
    )
    same(whole, headless, atol=0)


def test_what_is_stored_needs_no_model_in_any_order_and_is_of_this_base_alone(paths, family, store, tmp_path):
    model, against = reward_model(paths[0], family), base(paths[1])
    found = Engine(model, store).accumulate(UNITS, EVEN, CHANGE, against)
    again = Engine(model, store, open_pool=refuse).accumulate(UNITS[::-1], EVEN, CHANGE, against)
    same(found, again, atol=0)
    computed = Engine(model, ScoreStore(tmp_path / "new.sqlite")).accumulate(UNITS[::-1], EVEN, CHANGE, against)
    same(found, computed, atol=1e-9)
    with pytest.raises(AssertionError, match="was loaded"):
        Engine(model, store, open_pool=refuse).accumulate(
            UNITS, EVEN, CHANGE, base(pretrained(tmp_path / "b", family, 4))
        )


def test_a_base_is_loaded_once(paths, family, store):
    loads = []

    class Watched(type(base(paths[1]).load())):
        @classmethod
        def load(cls, resolved):
            loads.append(resolved.name)
            return super().load(resolved)

    engine, against = Engine(reward_model(paths[0], family), store, budget=30), replace(base(paths[1]), adapter=Watched)
    for skip in range(3):
        engine.accumulate(UNITS, EVEN, replace(CHANGE, skip=skip), against)
    assert len(loads) == 1


def test_texts_that_share_a_row_count_each_and_a_batch_that_fails_counts_once(tmp_path):
    paths = tiny_model(tmp_path / "rm", "llama"), pretrained(tmp_path / "base", "llama", seed=3)
    replica, against = Replica(reward_model(paths[0], "llama").load()), base(paths[1])
    encoded = replica.encode([(u, None) for u in UNITS])
    tree = grow(encoded)
    whole = replica.accumulate([(Work((tree,)), EVEN)], CHANGE, against)
    plain, failed = replica.adapter.accumulate, []

    def scarce(batch, weights, reading, into):
        plain(batch, weights, reading, into)
        if len(batch[0].texts) > 2:
            failed.append(len(batch[0].texts))
            raise BatchTooLargeError("planted")

    replica.adapter.accumulate = scarce
    halved = replica.accumulate([(Work((tree,)), EVEN)], CHANGE, against)
    expected = differences(*paths, encoded, "mlp", SKIP)
    assert failed == [5, 3]
    assert np.sqrt(whole["mean_square"]) == pytest.approx(np.sqrt((expected**2).mean(1)), rel=1e-6, abs=1e-6)
    assert np.sqrt(whole["mean_square"]) == pytest.approx(np.sqrt(halved["mean_square"]), rel=1e-6)
    assert whole["tokens"] == halved["tokens"] == expected.shape[1]
    assert not replica.adapter.model._forward_pre_hooks


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vocab_size": 40}, r"a vocabulary of 40 tokens, not \d+ tokens"),
        ({"intermediate_size": 40}, r"neurons \(mlp\) in 2 layers of 40, not 2 layers of 48"),
        ({"num_hidden_layers": 3}, r"neurons \(mlp\) in 3 layers of 48, not 2 layers of 48"),
    ],
)
def test_a_model_of_another_shape_is_no_base(paths, family, store, tmp_path, changed, message):
    other = base(pretrained(tmp_path / "other", family, 1, **changed))
    with pytest.raises(
        InputError, match=rf"local/other cannot be the base of local/rm: it has {message}\. .*--role base"
    ):
        Engine(reward_model(paths[0], family), store).accumulate(UNITS, EVEN, CHANGE, other)


def test_a_model_in_other_numbers_or_of_another_type_is_no_base(paths, family, store, tmp_path):
    measure = partial(Engine(reward_model(paths[0], family), store).accumulate, UNITS, EVEN, CHANGE)
    with pytest.raises(InputError, match=r"numbers of bfloat16, not float32\. .*--dtype"):
        measure(base(paths[1], dtype="bfloat16"))
    stranger = {"llama": "bert", "bert": "llama"}[family]
    with pytest.raises(InputError, match=f"model type {stranger}, not {family}"):
        measure(base(pretrained(tmp_path / "stranger", stranger, 1)))


def test_a_model_without_neurons_has_no_change(paths, store):
    with pytest.raises(InputError, match="Counting has no neurons"):
        Engine(resolved(Counting()), store).accumulate(UNITS, EVEN, CHANGE, base(paths[1]))


def test_the_worker_that_accumulates_loads_the_base_beside_its_model(tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'reward-harness[ray]'")
    model = reward_model(tiny_model(tmp_path / "m", "llama"), "llama")
    against = base(pretrained(tmp_path / "base", "llama", seed=3))
    engines = [
        Engine(model, ScoreStore(tmp_path / f"{n}.sqlite"), budget=200, open_pool=pool_opener(n)) for n in (1, 2)
    ]
    local, remote = (e.accumulate(UNITS, [1.0] * len(UNITS), Reading("change"), against) for e in engines)
    try:
        assert np.abs(local["mean_square"] - remote["mean_square"]).max() <= 1e-6 * local["mean_square"].max()
        assert local["tokens"] == remote["tokens"]
        gone = replace(against, path=tmp_path / "elsewhere", content="other")
        with pytest.raises(InputError, match=r"has no .*elsewhere"):
            engines[1].accumulate(UNITS, [1.0] * len(UNITS), Reading("change"), gone)
    finally:
        engines[1].close()
