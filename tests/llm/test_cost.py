from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from harness.errors import HarnessError, InputError
from harness.llm.ask import Ask, Reply, Turn, Usage
from harness.llm.cache import key
from harness.llm.cost import Cost, Guard, Purse, check_cost, dollars, estimate_cost, prompt_tokens, tokenizer
from harness.llm.endpoint import Endpoint

PRICED = Endpoint(model="m", base_url="http://localhost:1/v1", price_in=2.0, price_out=8.0, max_tokens=100)
FREE = Endpoint(model="m", base_url="http://localhost:1/v1", max_tokens=100)


def ask(name: str, text: str = "", **more) -> Ask:
    return Ask(name, (Turn("user", text or name),), **more)


def test_dollars_are_tokens_times_prices_a_million():
    assert dollars(PRICED, 1_000_000, 500_000) == pytest.approx(2.0 + 4.0)
    assert dollars(PRICED, 1_000_000, 500_000, batch=True) == pytest.approx(3.0)
    assert dollars(PRICED.model_copy(update={"batch_factor": 0.1}), 10**6, 0, batch=True) == pytest.approx(0.2)
    assert dollars(FREE, 1, 1) is None
    assert dollars(FREE.model_copy(update={"price_in": 1.0}), 1, 1) is None
    assert dollars(FREE.model_copy(update={"price_in": 0.0, "price_out": 0.0}), 1, 1) == 0.0


def test_an_estimate_counts_what_is_left_to_pay_once(cache):
    asks = [ask("a", "x" * 400), ask("b", "x" * 400), ask("c", "y" * 200), ask("d", "stored")]
    cache.put(key(PRICED, asks[3], "text"), Reply("", "known"))
    cost = estimate_cost(PRICED, asks, cache, completion_tokens=10)
    assert cost == Cost(2, 100 + 4 + 50 + 4, 20, pytest.approx((158 * 2.0 + 20 * 8.0) / 1e6), True, 1)
    half = estimate_cost(PRICED, iter(asks), cache, batch=True, completion_tokens=10)
    assert half.dollars == pytest.approx(cost.dollars / 2)
    assert estimate_cost(FREE, asks, cache).dollars is None


def test_an_estimate_without_a_guess_assumes_the_longest_replies(cache):
    asks = [ask("a"), ask("b", max_tokens=7)]
    assert estimate_cost(PRICED, asks, cache).completion_tokens == 107
    assert estimate_cost(PRICED, asks, cache, completion_tokens=3).completion_tokens == 6


def test_a_schema_is_part_of_the_prompt():
    assert prompt_tokens(PRICED, ask("a", schema={"type": "object"})) > prompt_tokens(PRICED, ask("a"))


@pytest.fixture
def tiktoken(monkeypatch):
    """A stand-in that knows one model and counts words."""
    tokenizer.cache_clear()

    def encoding_for_model(model):
        if model == "offline":
            raise ConnectionError(model)
        if model != "known":
            raise KeyError(model)
        return SimpleNamespace(encode=lambda text, disallowed_special: text.split())

    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(encoding_for_model=encoding_for_model))
    yield
    tokenizer.cache_clear()


@pytest.mark.parametrize(
    ("model", "tokens", "guess"), [("known", 2, False), ("unknown", 3, True), ("offline", 3, True)]
)
def test_a_tokenizer_counts_where_it_knows_the_model(tiktoken, model, tokens, guess):
    count, guessed = tokenizer(model)
    assert (count("aaaaa bbbb"), guessed) == (tokens, guess)


def test_a_limit_without_prices_is_refused():
    check_cost(PRICED, 1.0)
    check_cost(FREE, None)
    with pytest.raises(InputError, match="price_in and price_out"):
        check_cost(FREE, 1.0)
    with pytest.raises(InputError, match="price_in and price_out"):
        Purse(FREE, 1.0)


def test_a_purse_sums_what_the_server_counts():
    purse = Purse(PRICED, None)
    for reply in [
        Reply("a", "x", usage=Usage(10, 5)),
        Reply("a", None, "cut", usage=Usage(10, 100)),
        Reply("a", None, "unreachable"),
        Reply("a", None, "rejected"),
        Reply("a", None, "filtered"),
        Reply("a", None, "filtered", usage=Usage(10, 0)),
    ]:
        purse.sent()
        purse.pay(ask("a"), reply)
    purse.found(3)
    assert purse.spent == Cost(6, 30, 105, pytest.approx((30 * 2 + 105 * 8) / 1e6), False, 3)
    purse.pay(ask("a", "x" * 40), Reply("a", "y" * 20))
    assert purse.spent == Cost(6, 44, 110, pytest.approx((44 * 2 + 110 * 8) / 1e6), True, 3)


def test_a_batch_is_paid_at_its_own_price():
    purse = Purse(PRICED, None, batch=True)
    purse.pay(ask("a"), Reply("a", "x", usage=Usage(10**6, 0)))
    assert purse.spent.dollars == pytest.approx(1.0)


def test_a_round_that_would_pass_the_limit_with_what_is_spent_is_refused():
    purse = Purse(PRICED, 1.0)
    purse.allow(Cost(1, 0, 0, 1.0, True, 0))
    with pytest.raises(HarnessError, match="--max-cost"):
        purse.allow(Cost(1, 0, 0, 1.01, True, 0))
    purse.pay(ask("a"), Reply("a", "x", usage=Usage(10**5, 0)))
    with pytest.raises(HarnessError, match="--max-cost"):
        purse.allow(Cost(1, 0, 0, 0.9, True, 0))
    Purse(FREE, None).allow(Cost(10**9, 0, 0, None, True, 0))


def worst(of: Ask) -> float:
    return dollars(PRICED, prompt_tokens(PRICED, of), 100)


def test_a_guard_waits_for_room_and_stops_where_there_never_will_be():
    """Room for two at once and for five in all: a reply takes a fifth of the limit, its worst case nearly half."""
    paid = Usage(0, 50)
    limit = 5 * dollars(PRICED, 0, 50) + worst(ask("q0")) - dollars(PRICED, 0, 50)
    purse = Purse(PRICED, limit)
    most, out, answered = 0, 0, []

    async def one(guard, name):
        nonlocal most, out
        async with guard.room(ask(name)):
            out += 1
            most = max(most, out)
            await asyncio.sleep(0)
            purse.pay(ask(name), Reply(name, "x", usage=paid))
            answered.append(name)
            out -= 1

    async def all_of_them():
        guard = Guard(PRICED, purse)
        return await asyncio.gather(*(one(guard, f"q{i}") for i in range(9)), return_exceptions=True)

    ends = asyncio.run(all_of_them())
    assert len(answered) == 5
    assert sum(isinstance(end, HarnessError) for end in ends) == 4
    assert purse.spent.dollars <= limit
    assert 1 < most < 5


def test_a_question_that_fails_gives_its_room_back():
    purse = Purse(PRICED, 1.5 * worst(ask("q")))

    async def twice():
        guard = Guard(PRICED, purse)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with guard.room(ask("q")):
                    raise ZeroDivisionError
        return "both had room"

    assert asyncio.run(twice()) == "both had room"
