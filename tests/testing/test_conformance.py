from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.models.base import Encoded, Forwarded, PairwiseAdapter, Unencodable
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.models.tree import Tree
from harness.outcomes import outcomes
from harness.preference import Message, Unit, units
from harness.task import Attach, Interval, Metric, Score, Task, TaskData, TaskMeta
from harness.testing import conformance, planted
from harness.testing.conformance import check_adapter, check_metrics, check_task
from harness.testing.tiny import tiny_model


@dataclass(frozen=True)
class Params:
    draws: int = 1000


class Accuracy(Task):
    """A sound task: the mean credit by member."""

    meta = TaskMeta("accuracy", "1", "mean credit", ("planted",), main_metrics=("acc",))
    Params: Any = Params

    def steps(self, data: TaskData, params: Any) -> Any:
        scored = data.units()
        words = pd.DataFrame(
            {"unit_id": [u.unit_id for u in scored], "x_w": [planted.response_words(u) for u in scored]}
        )
        yield Score(scored), Attach(words, {"n": np.array([float(len(scored))])})

    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        found = outcomes(table)
        return [self.row(member, rows["credit"]) for member, rows in found.groupby("member")]

    def row(self, member: Any, credit: pd.Series) -> Metric:
        credit = credit.dropna()
        if credit.empty:
            return Metric("acc", None, "proportion", {"member": member}, reason="every item failed")
        return Metric("acc", float(credit.mean()), "proportion", {"member": member})


def test_a_sound_task_passes_and_bootstraps_little():
    check_task(Accuracy())
    seen = []

    class Watched(Accuracy):
        def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
            seen.append(params.draws)
            return super().evaluate(table, arrays, params)

    check_task(Watched())
    assert set(seen) == {conformance.DRAWS}


clock = itertools.count()


class RandomSteps(Accuracy):
    def steps(self, data: TaskData, params: Any) -> Any:
        yield Score(data.units()[next(clock) % 5 :])


class RandomAttach(Accuracy):
    def steps(self, data: TaskData, params: Any) -> Any:
        yield Score(data.units()), Attach(arrays={"n": np.array([next(clock)])})


class SameIds(Accuracy):
    def steps(self, data: TaskData, params: Any) -> Any:
        yield Score(tuple(replace(u, unit_id=u.item_id) for u in data.units()))


class Positional(Accuracy):
    def steps(self, data: TaskData, params: Any) -> Any:
        yield Score(tuple(replace(u, unit_id=f"{u.unit_id}@{i}") for i, u in enumerate(data.units())))


class Mutating(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        table["score"] = table["score"] * 2
        return super().evaluate(table, arrays, params)


class MutatingArrays(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        for values in arrays.values():
            values += 1
        return super().evaluate(table, arrays, params)


class Remembering(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        return [Metric("calls", float(next(clock)), "count")]


class RowOrder(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        return [Metric("first", float(table["n_response_words"].iloc[0]), "count")]


class NeedsSpread(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        return [Metric("inverse", 1 / float(np.nansum(np.abs(table["score"]))), "ratio")]


class NeedsArrays(Accuracy):
    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        return [Metric("n", float(arrays["n"][0]), "count")]


class NoReason(Accuracy):
    def row(self, member: Any, credit: pd.Series) -> Metric:
        return Metric("acc", None, "proportion", {"member": member})


class Twice(Accuracy):
    def row(self, member: Any, credit: pd.Series) -> Metric:
        return Metric("acc", 0.5, "proportion")


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (RandomSteps, "other requests when replayed"),
        (RandomAttach, "other requests when replayed"),
        (SameIds, "names two conversations"),
        (Positional, "depend on the order of the items"),
        (Mutating, "changed its table"),
        (MutatingArrays, "changed its arrays"),
        (Remembering, "called again"),
        (RowOrder, "order of the rows"),
        (NeedsSpread, "on a constant .*ZeroDivisionError"),
        (NeedsArrays, "on the baseline random .*KeyError"),
        (NoReason, "null without a reason"),
        (Twice, "comes twice"),
    ],
)
def test_a_planted_fault_is_caught(task: type[Accuracy], says: str):
    with pytest.raises(AssertionError, match=says):
        check_task(task())


@dataclass
class Thawed:
    draws: int = 0


@dataclass(frozen=True)
class Demanding:
    threshold: float


@pytest.mark.parametrize(
    ("meta", "params", "says"),
    [
        ({"name": "My Task"}, Params, "snake case"),
        ({"suite": ()}, Params, "suite is empty"),
        ({"summary": ""}, Params, "summary is empty"),
        ({}, Thawed, "frozen dataclass"),
        ({}, Demanding, "no default"),
    ],
)
def test_incomplete_metadata_is_caught(meta: dict[str, Any], params: type, says: str):
    class Incomplete(Accuracy):
        Params = params

    Incomplete.meta = replace(Accuracy.meta, **meta)
    with pytest.raises(AssertionError, match=says):
        check_task(Incomplete())


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"name": "précision"}, "ASCII"),
        ({"value": float("nan")}, "not finite"),
        ({"se": float("inf")}, "not finite"),
        ({"value": 55.0}, "outside 0 to 1"),
        ({"p": 1.5}, "outside 0 to 1"),
        ({"ci": Interval(0.7, 0.3)}, "exchanged"),
    ],
)
def test_a_malformed_metric_is_caught(fault: dict[str, Any], says: str):
    sound = Metric("acc", 0.5, "proportion", ci=Interval(0.4, 0.6), p=0.2)
    check_metrics([sound, replace(sound, dims={"subset": "a"})])
    with pytest.raises(AssertionError, match=says):
        check_metrics([replace(sound, **fault)])


def test_items_of_a_registered_dataset_carry_its_subsets_and_objectives():
    class OnXSTest(Accuracy):
        meta = replace(Accuracy.meta, suite=("xstest", "hh-rlhf/helpful-base", "reward-bench?"))

    made = conformance.suite_items(OnXSTest())
    assert {(i.dataset, i.subset, i.objective) for i in made} == {
        ("xstest", "should-respond", "comply"),
        ("xstest", "should-refuse", "refuse"),
        ("hh-rlhf", "helpful-base", "helpful"),
    }
    assert len({i.id for i in made}) == len(made)


# --- adapters -----------------------------------------------------------------------------------


def texts() -> list[Unit]:
    return list(units(planted.items(np.random.default_rng(0), 4)))


class Words(conformance.Adapter):
    """A sound adapter: one byte a token, the mean byte is the score."""

    def __init__(self) -> None:
        self.spec = ModelSpec(model="words")

    @classmethod
    def load(cls, resolved: Any) -> Words:
        return cls()

    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        return [self.one(i, u) for i, u in enumerate(units)]

    def one(self, i: int, unit: Unit) -> Encoded | Unencodable:
        text = unit.conversation[-1].content
        return Encoded(np.frombuffer(text.encode(), np.uint8)) if text else Unencodable("empty response")

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return Forwarded(np.array([[e.ids.mean()] for e in batch], np.float32))


class Neighbours(Words):
    def encode(self, units: Sequence[Unit]) -> list[Encoded | Unencodable]:
        return super().encode([u for u in units if u.conversation[-1].content])


class Counting(Words):
    def one(self, i: int, unit: Unit) -> Encoded | Unencodable:
        return Encoded(np.array([next(clock)]))


class PositionCoded(Words):
    def one(self, i: int, unit: Unit) -> Encoded | Unencodable:
        return Encoded(np.array([i]))


class PadCounted(Words):
    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        longest = max(map(len, batch))
        return Forwarded(np.array([[e.ids.sum() / longest] for e in batch], np.float32))


class OrderCounted(Words):
    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        sound = super().forward(batch).outputs
        return Forwarded(sound + np.arange(len(batch), dtype=np.float32)[:, None])


class Mingling(Words):
    """Says that it keeps texts in one row apart, and does not."""

    shares = 100

    def forward_trees(self, batch: Sequence[Tree], capture: frozenset[str] = frozenset()) -> Forwarded:
        rows = [tree.ids.mean() for tree in batch for _ in tree.texts]
        return Forwarded(np.array(rows, np.float32)[:, None])


class Flat(Words):
    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return Forwarded(super().forward(batch).outputs[:, 0])


class NotFinite(Words):
    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        return Forwarded(super().forward(batch).outputs * np.float32("nan"))


class Boasting(Words):
    capabilities = frozenset({"scores", "hidden_states"})


class Refusing(Words):
    def one(self, i: int, unit: Unit) -> Encoded | Unencodable:
        return Unencodable("does not feel like it")


class Margin(PairwiseAdapter, Words):
    """A pairwise adapter that gives differences where it should give probabilities."""

    def encode_pairs(self, pairs: Sequence[tuple[Unit, Unit]]) -> list[Encoded | Unencodable]:
        return [
            self.one(0, replace(a, conversation=(*a.conversation[:-1], Message("assistant", "ab")))) for a, _ in pairs
        ]


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        (Neighbours, "answers to"),
        (Counting, "not deterministic"),
        (PositionCoded, "order of the units"),
        (PadCounted, "one at a time"),
        (OrderCounted, "order in a batch"),
        (Mingling, "texts in one row change each other"),
        (Flat, "expected .*heads"),
        (NotFinite, "not finite"),
        (Boasting, "captured no head_input"),
        (Refusing, "does not feel like it"),
        (Margin, "probability"),
    ],
)
def test_a_faulty_adapter_is_caught(adapter: type[Words], says: str):
    some = texts()
    blank = replace(some[0], unit_id="blank", conversation=(*some[0].conversation[:-1], Message("assistant", "")))
    check_adapter(Words(), [*some, blank])
    with pytest.raises(AssertionError, match=says):
        check_adapter(adapter(), some if adapter is Margin else [*some, blank])


@pytest.mark.parametrize("model", ["null/random", "null/longest", "null/shortest"])
def test_null_models_conform(model: str):
    check_adapter(resolve(model).load(), texts())


def test_the_sequence_classifier_conforms(tmp_path: Path):
    found = resolve(tiny_model(tmp_path / "tiny", "gpt2"))
    check_adapter(found.load(), texts())
