"""Numerics against adapters whose scores move by a known amount, or change sides, when a text is in other company."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.models.base import PARSED, Encoded, Forwarded, PairwiseAdapter, Unencodable
from harness.models.tree import Tree
from harness.numerics import COMPARED, LEAST, MOST, numerics, sample
from harness.preference import Unit
from harness.subject import Member, Subject
from harness.task import Score, empty_table
from tests.engine.fakes import Counting, Longer, resolved, unit


class Moody(Counting):
    """A text's score grows by `step` with every time it is scored again: a model whose numbers depend on their company."""

    def __init__(self, step: float = 0.0, sign: bool = False, said: dict[str, object] | None = None) -> None:
        super().__init__()
        self.step, self.sign, self.said = step, sign, said or {}

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        before = [self.texts.count(bytes(np.asarray(e.ids, np.uint8))) for e in batch]
        found = super().forward(batch, capture).outputs
        moved = [-x if self.sign and n else x + n * self.step for x, n in zip(found, before, strict=True)]
        return Forwarded(np.array(moved, np.float32))

    def describe(self) -> dict[str, object]:
        return self.said


class Sharing(Counting):
    """Texts may share a row; those longer than 8 letters are cut."""

    shares = 1000

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        whole = super().encode(units)
        return [
            replace(e, ids=e.ids[:8], truncated=True) if isinstance(e, Encoded) and len(e) > 8 else e for e in whole
        ]

    def forward_trees(self, batch: Sequence[Tree], capture: frozenset[str] = frozenset()) -> Forwarded:
        return self.forward([text for tree in batch for text in tree.texts], capture)


def pairs(n: int) -> list[Unit]:
    sides = (("chosen", "z"), ("rejected", "a"))
    return [unit(letter * 3 + str(i), item=f"i{i:04}", side=side) for i in range(n) for side, letter in sides]


@pytest.fixture
def check(tmp_path) -> Any:
    """`check(units, *adapters)`: numerics of a task that scores the units with a member an adapter."""

    def run(units: Sequence[Unit], *adapters: Counting, **spec: object) -> dict[str, Any]:
        store = ScoreStore(tmp_path / "s.sqlite")
        members = [
            Member("helpful", i, Engine(resolved(a, f"local/m{i}", **spec), store)) for i, a in enumerate(adapters)
        ]
        subject = Subject("local/m", "family", tuple(members))
        subject.ensure([Score(tuple(units))])
        return numerics(subject, {"task": (units, subject.answer(Score(tuple(units))))})["task"]

    return run


def test_a_model_that_does_not_mind_its_company_moves_by_nothing(check):
    found = check(pairs(10), Counting())
    assert {k: found[k] for k in ("batch_delta_max", "pair_flips", "n_pairs", "n_checked")} == {
        "batch_delta_max": 0.0, "pair_flips": 0, "n_pairs": 10, "n_checked": 20,
    }  # fmt: skip


def test_the_largest_move_is_found_over_all_members_and_in_each(check):
    found = check(pairs(10), Moody(0.25), Moody(-0.5))
    assert found["batch_delta_max"] == 0.5
    assert [m["batch_delta_max"] for m in found["members"]] == [0.25, 0.5]
    assert [(m["member"], m["seed"]) for m in found["members"]] == [("helpful", 0), ("helpful", 1)]
    assert (found["n_checked"], [m["n_checked"] for m in found["members"]]) == (40, [20, 20])
    assert found["pair_flips"] == 0, "all moved alike"


def test_every_pair_that_changes_its_order_is_counted_once(check):
    found = check(pairs(10), Moody(sign=True), Moody())
    assert (found["pair_flips"], found["n_pairs"]) == (10, 20)
    assert [m["pair_flips"] for m in found["members"]] == [10, 0]
    four = [unit(letter * 5, item="one", side=f"s{letter}") for letter in "abcd"]
    assert check(four, Moody(sign=True))["pair_flips"] == 6


def test_a_tie_that_parts_is_a_flip(check):
    class Once(Moody):
        def forward(self, batch, capture=frozenset()):
            seen = [self.texts.count(bytes(np.asarray(e.ids, np.uint8))) for e in batch]
            super().forward(batch, capture)
            rows = [[float(n and e.ids[0] == ord("z"))] for n, e in zip(seen, batch, strict=True)]
            return Forwarded(np.array(rows, np.float32))

    assert check(pairs(5), Once())["pair_flips"] == 5


def test_cut_texts_are_counted_once_each(check):
    units = [unit("short"), unit("much too long"), unit("odd"), unit("much too long", item="again")]
    found = check(units, Sharing(), Counting(), Sharing())
    assert [(m["truncated"], m["n_texts"]) for m in found["members"]] == [(1, 2), (0, 2), (1, 2)]
    assert (found["truncated"], found["n_texts"]) == (2, 6)


def test_shared_tokens_are_those_of_the_run_before_the_check(check):
    found = check([unit("abcde"), unit("abcxy", side="rejected")], Sharing())
    assert found["tokens_shared"] == pytest.approx(3 / 10)
    again = check([unit("abcde"), unit("abcxy", side="rejected")], Sharing())
    assert again["tokens_shared"] is None, "all scores were remembered"
    both = check([unit("abcde!"), unit("abcxy!", side="rejected")], Sharing(), Counting())
    assert [m["tokens_shared"] for m in both["members"]] == [pytest.approx(3 / 12), 0.0]
    assert both["tokens_shared"] == pytest.approx(3 / 24)


def test_what_models_say_of_their_arithmetic_is_kept_and_put_together(check):
    half = {
        "dtype": "bfloat16",
        "attn_implementation": "sdpa",
        "attention_kernels": {"single": ["flash"], "tree": ["math"]},
    }
    full = {
        "dtype": "float32",
        "attn_implementation": "sdpa",
        "attention_kernels": {"single": ["efficient"]},
        "pooling": "x",
    }
    found = check(pairs(3), Moody(said=half), Moody(said=full), Moody())
    assert [m["dtype"] for m in found["members"]] == ["bfloat16", "float32", None]
    assert found["members"][1]["attention_kernels"] == {"single": ["efficient"]}
    assert (found["dtype"], found["attn_implementation"]) == ("bfloat16, float32", "sdpa")
    assert found["attention_kernels"] == {"single": ["efficient", "flash"], "tree": ["math"]}
    assert found["float32_matmul_precision"] is None
    assert "pooling" not in found["members"][1]


def test_the_sample_is_a_twentieth_within_bounds_and_the_same_whatever_the_order():
    assert len(sample(pairs(10))) == 20
    assert len(sample(pairs(500))) == LEAST
    assert len(sample(pairs(2000))) == 200
    assert len(sample(pairs(10_000))) == MOST
    found = sample(pairs(500))
    assert found == sample(pairs(500)[::-1])
    assert max(u.item_id for u in found) > "i0400", "not the first ones, which may be of one kind"
    for item in {u.item_id for u in found}:
        assert len([u for u in found if u.item_id == item]) == 2, "whole items, or there are no pairs"


def test_only_the_sample_is_scored_again(check):
    adapter = Counting()
    check(pairs(500), adapter)
    assert len(adapter.texts) == 1000 + LEAST


class Judge(PairwiseAdapter):
    """Likes the side whose reply begins with the later letter; or the first one, a tie, or no verdict, by the reply's first digit."""

    ANSWERS: ClassVar[dict[str, tuple[float, float]]] = {"1": (1.0, 1.0), "2": (0.5, 1.0), "3": (0.5, 0.0)}

    @classmethod
    def load(cls, resolved: Any) -> Any:
        raise AssertionError("tests hand the instance over")

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        texts = ("|".join(u.conversation[-1].content for u in pair) for pair in pairs)
        return [Encoded(np.frombuffer(text.encode(), np.uint8)) for text in texts]

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        texts = [bytes(np.asarray(e.ids, np.uint8)).decode().split("|") for e in batch]
        return Forwarded(np.array([self.ANSWERS.get(a[3], (float(a > b), 1.0)) for a, b in texts], np.float32))


JUDGED = {"heads": {"names": ["preferred", PARSED], "weights": [1.0, 0.0]}}


def test_of_a_judge_the_flips_of_order_and_the_answers_without_a_verdict_are_counted(check):
    found = check(pairs(5), Judge(), **JUDGED)
    assert {k: found[k] for k in COMPARED} == {"n_compared": 5, "order_flips": 1, "unparsed": 2}
    assert found["members"][0] | {k: found[k] for k in COMPARED} == found["members"][0]
    assert (found["batch_delta_max"], found["n_checked"], found["pair_flips"]) == (None, 0, 0)


def test_what_is_counted_of_comparisons_is_null_for_a_model_that_scores_and_summed_over_the_others(check):
    assert {check(pairs(3), Counting())[k] for k in COMPARED} == {None}
    both = check(pairs(3), Counting(), Longer(), Longer())
    assert [both[k] for k in COMPARED] == [6, 6, None], "equals in length: the first is preferred in both orders"
    assert [[m[k] for k in COMPARED] for m in both["members"]] == [[None] * 3, [3, 3, None], [3, 3, None]]


def test_a_model_that_does_both_is_scored_and_a_comparison_asked_again_counts_once(check, tmp_path):
    class Both(Counting):
        capabilities = frozenset({"scores", "compares"})

    assert {check(pairs(3), Both())[k] for k in COMPARED} == {None}
    member = Member("model", 0, Engine(resolved(Longer()), ScoreStore(tmp_path / "other.sqlite")))
    subject, requests = Subject("local/m", "model", (member,)), [Score(tuple(pairs(3)), replicate=r) for r in (0, 1)]
    subject.ensure(requests)
    table = pd.concat([subject.answer(request) for request in requests])
    assert numerics(subject, {"task": (pairs(3), table)})["task"]["n_compared"] == 3


def test_a_model_that_only_compares_and_an_empty_table_are_no_error(check, tmp_path):
    found = check(pairs(3), Longer())
    assert (found["batch_delta_max"], found["n_checked"], found["pair_flips"]) == (None, 0, 0)
    member = Member("model", 0, Engine(resolved(Counting()), ScoreStore(tmp_path / "other.sqlite")))
    empty = numerics(Subject("local/m", "model", (member,)), {"none": ([], empty_table())})["none"]
    assert (empty["batch_delta_max"], empty["n_texts"], empty["truncated"]) == (None, 0, 0)
    judge = Member("model", 0, Engine(resolved(Longer()), ScoreStore(tmp_path / "other.sqlite")))
    empty = numerics(Subject("local/m", "model", (judge,)), {"none": ([], empty_table())})["none"]
    assert [empty[k] for k in COMPARED] == [0, None, None]
