"""How questions travel, what they will cost, and what failed."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError, InputError
from harness.llm.ask import Reply
from harness.llm.batch import BatchClient
from harness.llm.carrier import Carrier, Overheard, by_reason
from harness.llm.client import Client
from harness.llm.cost import estimate_cost
from harness.llm.endpoint import Endpoint
from tests.llm.asking import question
from tests.llm.rewriting import Scripted

DEAR = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", price_in=1e6, price_out=1e6, max_tokens=50)
FREE = Endpoint(model="n", base_url="http://127.0.0.1:9/v1")
ASKS = [question(0), question(1, max_tokens=70)]


def test_a_limit_is_for_the_run_and_a_client_gets_what_is_left_of_it(cache):
    carrier = Carrier(cache, max_cost=10.0)
    assert carrier.client(DEAR, 4.0, 9)._purse.limit == 6.0
    assert carrier.client(DEAR, 40.0, 9)._purse.limit == 0.0
    assert Carrier(cache).client(DEAR, 4.0, 9)._purse.limit is None
    batch = Carrier(cache, batch=True, max_cost=10.0).client(DEAR, 4.0, 9)
    assert (type(batch), batch.purse.limit) == (BatchClient, 6.0)
    assert isinstance(carrier.client(DEAR, 0.0, 9), Client)


def test_foreseen_are_answers_of_the_usual_length_and_of_the_longest_each_question_allows(cache):
    found = Carrier(cache).foresee("first", DEAR, ASKS, 9)
    read = estimate_cost(DEAR, ASKS, cache).prompt_tokens
    assert (found.stage, found.model, found.cost.requests) == ("first", "m", 2)
    assert found.cost.dollars == pytest.approx(read + 2 * 9)
    assert found.most == pytest.approx(read + 50 + 70)
    assert Carrier(cache).foresee("first", FREE, ASKS, 9).most is None


def test_what_is_foreseen_in_all_is_held_against_the_limit_before_anything_is_sent(cache):
    stages = [Carrier(cache).foresee(name, DEAR, ASKS, 9) for name in ("first", "second")]
    total = sum(stage.cost.dollars for stage in stages)
    Carrier(cache, max_cost=total).check([DEAR], lambda: stages)
    with pytest.raises(HarnessError, match=r"4 questions would cost about .* none of them was sent"):
        Carrier(cache, max_cost=total - 0.1).check([DEAR], lambda: stages)
    with pytest.raises(InputError, match="prices of n"):
        Carrier(cache, max_cost=total).check([DEAR, FREE], lambda: stages)


@pytest.mark.parametrize("more", [{}, {"max_cost": 0.0, "replay": True}])
def test_without_a_limit_or_in_a_replay_nothing_is_foreseen(cache, more):
    asked = []
    Carrier(cache, **more).check([DEAR, FREE], lambda: asked.append(1) or [])
    assert asked == []


def test_the_first_words_on_each_failure_are_kept():
    said = {"id0": ("cut", "at 50"), "id1": ("refused", "never"), "id2": ("cut", "at 70"), "id3": ("empty", None)}
    words: dict[str, str] = {}
    asker = Overheard(Scripted(lambda ask: Reply(ask.id, None, said[ask.id][0], said[ask.id][1])), words)
    replies = asker.ask([question(i) for i in (3, 2, 1, 0)])
    assert set(replies) == set(said)
    assert words == {"cut": "at 50", "refused": "never"}


def test_reasons_are_counted_up_to_their_colon_the_most_frequent_first():
    errors = ["refused", "quarantined: a: b", "cut", "quarantined: c"]
    assert list(by_reason(errors).items()) == [("quarantined", 2), ("cut", 1), ("refused", 1)]
    assert by_reason([]) == {}
