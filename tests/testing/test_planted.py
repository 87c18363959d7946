from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.errors import InputError
from harness.outcomes import outcomes
from harness.preference import side_names, units
from harness.task import (
    KEY_COLUMNS,
    TABLE_COLUMNS,
    Accumulate,
    Attach,
    Capture,
    Compare,
    Metric,
    Score,
    Task,
    TaskData,
    TaskMeta,
    pair_rows,
)
from harness.testing import planted

FAMILY = (("helpful", 0), ("mixed", 0), ("mixed", 1))


@dataclass(frozen=True)
class Params:
    draws: int = 0


class Everything(Task):
    """Yields every kind of request once."""

    meta = TaskMeta("everything", "1", "test", ("planted",))
    Params = Params

    def steps(self, data: TaskData, params: Any) -> Any:
        all_units = data.units()
        scores, captured = yield (Score(all_units), Capture(all_units))
        assert set(scores["unit_id"]) == {u.unit_id for u in all_units}
        assert set(captured) == set(data.members)
        (pair,) = pair_rows(u for u in all_units if u.item_id == data.items[0].id)
        compared = yield Compare(pair.item_id, pair.a, pair.b)
        assert len(compared) == len(data.members)
        sizes = [
            captured[m].frame()[0].rename("x_model_first").reset_index().assign(member=m[0], seed=m[1])
            for m in data.members
        ]
        nothing = yield Attach(pd.concat(sizes), {"means": np.ones(2)})
        assert nothing is None

    def evaluate(self, table: pd.DataFrame, arrays: Any, params: Any) -> list[Metric]:
        return [Metric("rows", float(len(table)), "count"), Metric("kept", float(arrays["means"].sum()), "count")]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_items_have_the_asked_shape_and_share_prompts():
    made = planted.items(rng(), 6, shape=(1, 3), per_cluster=2)
    assert [(len(i.chosen), len(i.rejected)) for i in made] == [(1, 3)] * 6
    assert len({i.cluster_id for i in made}) == 3
    assert made == planted.items(rng(), 6, shape=(1, 3), per_cluster=2)


def test_style_matrix_items_name_their_sides():
    (item,) = planted.items(rng(), 1, styles=("plain", "long"))
    assert [u.side for u in units([item])] == [*side_names(item, "chosen"), *side_names(item, "rejected")]
    assert all("plain" in name or "long" in name for name in side_names(item, "chosen"))


def test_table_is_one_row_a_unit_member_and_condition():
    made = planted.items(rng(), 5)
    table = planted.table(made, planted.oracle, FAMILY, conditions=("none", "ablate"))
    assert list(table.columns) == list(TABLE_COLUMNS)
    assert len(table) == 5 * 2 * 3 * 2
    assert not table.duplicated(list(KEY_COLUMNS)).any()
    assert set(table.loc[table["side"] == "chosen", "score"]) == {1.0}


def test_each_member_has_its_own_score_function():
    table = planted.table(
        planted.items(rng(), 4),
        {"helpful": planted.oracle, "mixed": planted.constant},
        FAMILY,
    )
    assert table.groupby("member")["score"].mean().to_dict() == {"helpful": 0.5, "mixed": 0.0}


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_missing_score_is_a_failed_row_with_a_reason(bad: float | None):
    table = planted.table(planted.items(rng(), 2), lambda u: bad if u.side == "chosen" else 1.0)
    failed = table[table["side"] == "chosen"]
    assert failed["score"].isna().all()
    assert (failed["status"] == "failed").all()
    assert failed["error"].notna().all()
    assert (table.loc[table["side"] == "rejected", "status"] == "ok").all()


def test_drive_answers_all_requests_and_joins_by_id():
    made = planted.items(rng(), 3)
    table, arrays, metrics = planted.drive(
        Everything(),
        made,
        {"helpful": planted.oracle, "mixed": lambda u: -planted.oracle(u)},
        head_input={"helpful": lambda u: [planted.response_words(u)], "mixed": lambda u: [-planted.response_words(u)]},
        members=FAMILY,
    )
    assert {m.name: m.value for m in metrics} == {"rows": 3.0 * (6 + 1), "kept": 2.0}
    assert arrays["means"].tolist() == [1.0, 1.0]
    scored = table[~table["side"].str.contains(">")]
    sign = scored["member"].map({"helpful": 1, "mixed": -1})
    assert (scored["x_model_first"] == sign * scored["n_response_words"]).all()
    compared = table[table["side"] == "chosen>rejected"].set_index(["member", "seed"])["score"]
    assert compared["helpful", 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert compared["mixed", 1] == pytest.approx(1 / (1 + np.exp(1)))


def test_a_model_without_hidden_states_has_no_captures():
    class Captures(Everything):
        def steps(self, data: TaskData, params: Any) -> Any:
            assert (yield Capture(data.units())) == {}
            yield Attach(arrays={"means": np.zeros(1)})

    _, _, metrics = planted.drive(Captures(), planted.items(rng(), 2))
    assert [m.value for m in metrics] == [0.0, 0.0]


class Scores(Everything):
    def steps(self, data: TaskData, params: Any) -> Any:
        yield Score(data.units()), Attach(arrays={"means": np.zeros(1)})


@pytest.mark.parametrize(("score", "credit"), [(planted.oracle, 1.0), (planted.constant, 0.5)])
@pytest.mark.parametrize("compares", [False, True])
def test_outcomes_read_what_is_planted(score: planted.Scorer, credit: float, compares: bool):
    made = (*planted.items(rng(), 4), *planted.items(rng(), 4, subset="styled", styles=("a", "b")))
    table, _, _ = planted.drive(Scores(), made, score, compares=compares)
    assert table["side"].str.contains(">").all() == compares
    found = outcomes(table)
    assert len(found) == 8
    assert (found["credit"] == credit).all()


def test_only_the_named_members_are_scored():
    made = tuple(units(planted.items(rng(), 2)))
    for compares in (False, True):
        subject = planted.PlantedSubject(planted.oracle, FAMILY, compares=compares)
        table = subject.answer(Score(made, members=(("mixed", 1), ("helpful", 0))))
        assert set(zip(table["member"], table["seed"], strict=True)) == {("mixed", 1), ("helpful", 0)}
        assert len(subject.answer(Score(made)).groupby(["member", "seed"])) == 3


def test_a_function_of_the_text_has_no_neurons():
    with pytest.raises(InputError, match=r"moments of neurons.*PlantedNeurons"):
        planted.PlantedSubject(planted.oracle).answer(Accumulate(tuple(units(planted.items(rng(), 1)))))


def test_a_pair_with_an_unscored_reply_is_a_failed_row():
    made = planted.items(rng(), 3)
    table = planted.compare_table(pair_rows(units(made)), lambda u: None if u.item_id == made[0].id else 1.0)
    assert table["status"].tolist() == ["failed", "ok", "ok"]
    assert table["score"].isna().tolist() == [True, False, False]
