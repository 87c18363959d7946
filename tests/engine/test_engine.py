from __future__ import annotations

import numpy as np
import pytest

from harness.condition import Ablation, Condition
from harness.engine.engine import Engine, Job
from harness.engine.store import ScoreStore
from harness.errors import HarnessError, InputError
from harness.models.base import Forwarded
from tests.engine.fakes import Counting, Longer, resolved, unit

ABLATED = Condition("ablate/x", (Ablation(np.array([0]), np.array([1]), np.array([0.0])),))
TEXTS = ["a", "bb", "ccc", "dddd", "bb"]


@pytest.fixture
def store(tmp_path):
    return ScoreStore(tmp_path / "s.sqlite")


def jobs(texts=TEXTS, **more):
    return [Job(unit(t, item=str(i)), **more) for i, t in enumerate(texts)]


def score(engine, job):
    return float(engine.outputs(job).outputs[0])


def test_scores_come_back_by_unit_and_equal_texts_are_computed_once(store):
    adapter = Counting()
    engine = Engine(resolved(adapter), store)
    engine.ensure(jobs())
    assert [score(engine, j) for j in jobs()] == pytest.approx([sum(t.encode()) / 100 for t in TEXTS])
    assert sorted(adapter.texts) == [b"a", b"bb", b"ccc", b"dddd"]


def test_a_second_engine_computes_nothing_and_never_loads(store):
    Engine(resolved(Counting()), store).ensure(jobs(capture="head_input"))
    again = Counting()
    engine = Engine(resolved(again), store)
    engine.ensure(jobs())
    engine.ensure(jobs(capture="head_input"))
    assert again.batches == []
    assert engine.timing.load == 0
    assert engine.timing.remembered == 10
    assert score(engine, jobs()[2]) == pytest.approx(2.97)
    assert engine.captured(jobs(capture="head_input")[2]).tolist() == [99.0, 3.0]
    assert engine.request(jobs()[2]).n_tokens == 3


def test_another_model_shares_nothing(store):
    Engine(resolved(Counting(), "local/one"), store).ensure(jobs())
    other = Counting()
    Engine(resolved(other, "local/two"), store).ensure(jobs())
    assert len(other.texts) == 4


def test_what_fails_is_a_row_with_a_reason_and_is_remembered(store):
    engine = Engine(resolved(Counting()), store)
    engine.ensure(jobs(["odd", "nan", "fine"]))
    odd, nan, fine = (engine.outputs(j) for j in jobs(["odd", "nan", "fine"]))
    assert (odd.outputs, odd.error) == (None, "too odd")
    assert (nan.outputs, nan.error) == (None, "the model's output is not finite")
    assert fine.error is None
    again = Counting()
    Engine(resolved(again), store).ensure(jobs(["odd", "nan", "fine"], capture="head_input"))
    assert again.texts == [b"fine"]  # only its capture was missing; failures are not tried again


def test_scores_that_were_committed_before_a_stop_are_not_computed_again(store):
    stopped = Counting()

    def stop(progress):
        if progress.texts >= 2:
            raise KeyboardInterrupt

    engine = Engine(resolved(stopped), store, report=stop, budget=4)
    with pytest.raises(KeyboardInterrupt):
        engine.ensure(jobs())
    resumed = Counting()
    Engine(resolved(resumed), store, budget=4).ensure(jobs())
    assert sorted(stopped.texts + resumed.texts) == [b"a", b"bb", b"ccc", b"dddd"]
    assert resumed.texts


def test_out_of_memory_halves_the_batch_and_goes_on(store):
    adapter = Counting(most=5)
    engine = Engine(resolved(adapter), store, budget=1000)
    engine.ensure(jobs())
    assert sorted(adapter.texts) == [b"a", b"bb", b"ccc", b"dddd"]
    assert max(sum(map(len, b)) for b in adapter.batches) <= 5


def test_a_single_text_that_does_not_fit_says_what_to_do(store):
    with pytest.raises(HarnessError, match="--max-length"):
        Engine(resolved(Counting(most=3)), store).ensure(jobs())


def test_a_replicate_is_computed_anew_in_other_batches(store):
    adapter = Counting()
    texts = [f"{i:03d}" for i in range(40)]
    engine = Engine(resolved(adapter), store, budget=30)
    engine.ensure(jobs(texts))
    first = {frozenset(b) for b in adapter.batches}
    engine.ensure(jobs(texts, replicate=1))
    second = {frozenset(b) for b in adapter.batches[len(first) :]}
    assert len(adapter.texts) == 80
    assert not first & second


def test_a_model_is_told_which_replicate_it_answers(store):
    class Remembering(Counting):
        def forward(self, batch, capture=frozenset()):
            found = super().forward(batch, capture).outputs
            return Forwarded(found + 100 * self.replicate)

    engine = Engine(resolved(Remembering(most=3)), store, budget=6)
    texts = ["a", "bb", "ccc"]
    for replicate in (1, 0, 2):
        engine.ensure(jobs(texts, replicate=replicate))
    scores = [[engine.outputs(j).outputs.item() for j in jobs(texts, replicate=r)] for r in (0, 1, 2)]
    assert np.allclose(np.diff(scores, axis=0), 100), "halves of a batch too large included"


def test_the_order_of_the_jobs_does_not_change_the_batches(store, tmp_path):
    one, two = Counting(), Counting()
    Engine(resolved(one), store, budget=6).ensure(jobs())
    Engine(resolved(two), ScoreStore(tmp_path / "t.sqlite"), budget=6).ensure(jobs()[::-1])
    assert one.batches == two.batches


def test_an_unknown_condition_is_refused_before_anything_is_scored(store):
    adapter = Counting()
    with pytest.raises(InputError, match="ablate/x"):
        Engine(resolved(adapter), store).ensure(jobs(condition=ABLATED))
    assert adapter.batches == []


def test_progress_ends_at_everything(store):
    seen = []
    Engine(resolved(Counting()), store, report=seen.append, budget=4).ensure(jobs())
    assert seen[-1].texts == seen[-1].of_texts == 4
    assert seen[-1].tokens == seen[-1].of_tokens == 10
    assert [p.tokens for p in seen] == sorted(p.tokens for p in seen)


def test_a_model_that_compares_is_keyed_by_the_ordered_pair(store):
    engine = Engine(resolved(Longer()), store)
    a, b = unit("aaa", side="chosen"), unit("b", side="rejected")
    engine.ensure([Job(a, b), Job(b, a)])
    assert score(engine, Job(a, b)) == pytest.approx(0.9)
    assert score(engine, Job(b, a)) == pytest.approx(0.1)


def test_several_heads_are_all_stored(store):
    engine = Engine(resolved(Counting(heads=3)), store)
    engine.ensure(jobs(["a"]))
    assert np.allclose(engine.outputs(jobs(["a"])[0]).outputs, [0.97] * 3)
