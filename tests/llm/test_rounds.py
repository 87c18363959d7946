"""A labelling run over scripted servers: what is foreseen, what may be spent in all, and what is said of failures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError, InputError
from harness.llm.batch import BatchClient
from harness.llm.carrier import Carrier
from harness.llm.client import Client
from harness.llm.labeler import FIRST, SECOND, questions
from harness.llm.rounds import Round, carry_out, foresee, rounds
from harness.llm.schema import LABELS
from harness.testing import planted
from tests.llm.server import answer, completion, endpoint_of, refusal, script, sending, serving

ITEMS = planted.items(np.random.default_rng(0), 40)
SAID = json.dumps({name: [] if f.several else "no" for name, f in LABELS.items()} | {"sentiment": "neutral"})


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}


PAID = {"price_in": 1.0, "price_out": 1.0}


def test_what_is_foreseen_is_what_is_sent_and_what_is_stored_is_free(cache):
    with serving(answer(SAID)) as server:
        todo = [Round(endpoint_of(server), {"first": 1.0, "retest": 0.3})]
        before = foresee(ITEMS, todo, 0, Carrier(cache))
        assert not server.bodies
        done = carry_out(ITEMS, todo, 0, Carrier(cache))
        after = foresee(ITEMS, todo, 0, Carrier(cache))
    assert [p.stage for p in before] == ["first", "retest"]
    assert sum(p.cost.requests for p in before) == len(server.bodies) == len(done.rows)
    assert [(p.cost.requests, p.cost.cached) for p in after] == [(0, p.cost.requests) for p in before]
    assert [p.most for p in before] == [None, None], "no prices"
    assert done.failed == {}


def test_rows_name_a_model_in_files_without_its_place(cache):
    with serving(answer(SAID)) as server:
        todo = [Round(endpoint_of(server, model="/srv/models/judge"), {"first": 1.0})]
        done = carry_out(ITEMS, todo, 0, Carrier(cache))
        assert {body["model"] for body in server.bodies} == {"/srv/models/judge"}
    assert {row.labeler for row in done.rows} == {"…/judge"}


def test_both_labelers_spend_from_one_limit(cache):
    with serving(answer(SAID)) as server:
        two = [
            Round(endpoint_of(server, **PAID), FIRST),
            Round(endpoint_of(server, model="n", **PAID), SECOND),
        ]
        foreseen = sum(p.cost.dollars for p in foresee(ITEMS, two, 0, Carrier(cache)))
        with pytest.raises(HarnessError, match="none of them was sent"):
            carry_out(ITEMS, two, 0, Carrier(cache, max_cost=foreseen * 0.99))
        assert not server.bodies
        done = carry_out(ITEMS, two, 0, Carrier(cache, max_cost=foreseen))
    assert [name.split()[0] for name in done.spent] == ["m", "n"]
    assert sum(cost.dollars for cost in done.spent.values()) <= foreseen


def test_what_the_first_labeler_spends_beyond_what_was_foreseen_is_missing_for_the_second(cache):
    with serving(answer(SAID)) as modest:
        whole = {"first": 1.0}, {"second": 1.0}
        two = [Round(endpoint_of(modest, model=m, **PAID), shares) for m, shares in zip("mn", whole, strict=True)]
        one = foresee(ITEMS, two, 0, Carrier(cache))[0].cost
        each = round(1.7 * one.dollars / one.requests * 1e6)
        modest.script = script(lambda seen: sending(completion(SAID) | {"usage": usage(each)}))
        with pytest.raises(HarnessError, match="above the limit"):
            carry_out(ITEMS, two, 0, Carrier(cache, max_cost=2.05 * one.dollars))
    assert {body["model"] for body in modest.bodies} == {"m"}


def test_a_limit_needs_prices_of_both(cache):
    with serving(answer(SAID)) as server:
        two = [Round(endpoint_of(server, **PAID), FIRST), Round(endpoint_of(server, model="n"), SECOND)]
        with pytest.raises(InputError, match="prices of n"):
            carry_out(ITEMS, two, 0, Carrier(cache, max_cost=100.0))
        assert not server.bodies
    paid = [Round(endpoint_of(server, **PAID), {"first": 1.0})]
    done = carry_out(ITEMS, paid, 0, Carrier(cache, replay=True, max_cost=0.0))
    assert done.failed == {"not_asked": len(done.rows)}, "a replay costs nothing"


def test_failures_are_counted_by_reason_with_the_first_words_on_each(cache):
    def choose(seen):
        n = len(seen.body["messages"][1]["content"]) % 3
        return [refusal("not this"), answer("?"), answer(SAID)][n]

    with serving(script(choose)) as server:
        done = carry_out(ITEMS, [Round(endpoint_of(server), {"first": 1.0})], 0, Carrier(cache))
    assert set(done.failed) == {"refused", "quarantined"}
    assert sum(done.failed.values()) == sum(row.labels is None for row in done.rows)
    assert list(done.failed.values()) == sorted(done.failed.values(), reverse=True)
    assert set(done.words) == {"refused"}
    assert "not this" in done.words["refused"]


def test_a_labeler_is_not_its_own_second_opinion(tmp_path):
    def write(name, **said):
        path = Path(tmp_path, name)
        path.write_text(json.dumps({"model": "m", "base_url": "http://localhost:1/v1"} | said))
        return path

    first = write("a.yaml")
    with pytest.raises(InputError, match="--retest compares a labeler with itself"):
        rounds(first, write("b.yaml", temperature=0.7, base_url="http://LOCALHOST:1/v1/"))
    two = rounds(first, write("c.yaml", model="n"), retest=0.2)
    assert [r.shares for r in two] == [{"first": 1.0, "retest": 0.2}, {"second": 0.1}]
    assert [r.endpoint.model for r in rounds(first, write("d.yaml", base_url="http://localhost:2/v1"))] == ["m", "m"]
    assert [r.shares for r in rounds(first)] == [{"first": 1.0, "retest": 0.05}]


def test_a_batch_is_carried_as_one_and_foreseen_at_its_price(cache):
    with serving(answer(SAID)) as server:
        todo = [Round(endpoint_of(server, **PAID, batch_factor=0.25), FIRST)]
    alone, batch = Carrier(cache), Carrier(cache, batch=True)
    assert isinstance(alone.client(todo[0].endpoint, 0.0, 9), Client)
    assert isinstance(batch.client(todo[0].endpoint, 0.0, 9), BatchClient)
    for one, other in zip(foresee(ITEMS, todo, 0, alone), foresee(ITEMS, todo, 0, batch), strict=True):
        assert other.cost.dollars == pytest.approx(one.cost.dollars / 4)
        assert other.most == pytest.approx(one.most / 4)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_which_pairs_are_labelled_again(cache, seed):
    with serving(answer(SAID)) as server:
        done = carry_out(ITEMS, [Round(endpoint_of(server), {"retest": 0.3})], seed, Carrier(cache))
    assert {f"retest/{row.text}" for row in done.rows} == {ask.id for ask in questions(ITEMS, "retest", 0.3, seed)}
