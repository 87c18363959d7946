from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.outcomes import outcomes
from harness.reading import Reading
from harness.subject import Member, Subject
from harness.task import KEY_COLUMNS, TABLE_COLUMNS, Accumulate, Attach, Capture, Compare, Score
from tests.engine.fakes import Counting, Longer, resolved, unit

UNITS = (unit("good answer", side="chosen"), unit("bad", side="rejected"))


@pytest.fixture
def subject(tmp_path):
    store = ScoreStore(tmp_path / "s.sqlite")

    def make(*adapters, **spec):
        members = [
            Member("model", i, Engine(resolved(a, f"local/m{i}", **spec), store)) for i, a in enumerate(adapters)
        ]
        return Subject("local/m", "family" if len(members) > 1 else "model", tuple(members))

    return make


def ask(subject, request):
    subject.ensure([request])
    return subject.answer(request)


def test_rows_are_one_a_unit_and_seed_with_the_contract_columns(subject):
    table = ask(subject(Counting(), Counting(heads=2), heads=None), Score(UNITS))
    assert tuple(table.columns) == TABLE_COLUMNS
    assert len(table) == 4
    assert not table.duplicated(list(KEY_COLUMNS)).any()
    assert table["n_response_words"].tolist() == [2, 1, 2, 1]
    assert [len(h) if h is not None else 0 for h in table["head_outputs"]] == [0, 0, 2, 2]


@pytest.mark.parametrize("nothing", [Score(()), Score(UNITS, ())])
def test_a_request_for_nothing_is_answered_with_no_rows(subject, nothing):
    table = ask(subject(Counting()), nothing)
    assert tuple(table.columns) == TABLE_COLUMNS
    assert table.empty


def test_a_cost_model_is_turned_so_that_higher_is_better(subject):
    plain = ask(subject(Counting()), Score(UNITS))
    cost = ask(subject(Counting(), direction="lower_is_better"), Score(UNITS))
    assert cost["score_raw"].tolist() == plain["score_raw"].tolist()
    assert cost["score"].tolist() == [-s for s in plain["score"]]


def test_heads_are_weighed_by_the_spec(subject):
    table = ask(subject(Counting(heads=2), heads={"weights": [2.0, -0.5]}), Score(UNITS))
    single = ask(subject(Counting()), Score(UNITS))
    assert np.allclose(table["score"], 1.5 * single["score"])


def test_a_failed_unit_is_a_row(subject):
    table = ask(subject(Counting()), Score((unit("odd"), unit("fine", side="rejected"))))
    assert table["status"].tolist() == ["failed", "ok"]
    assert table["error"].fillna("").tolist() == ["too odd", ""]
    assert table["score"].isna().tolist() == [True, False]


def test_captures_are_by_member_and_looked_up_by_id(subject):
    two = subject(Counting(), Counting())
    request = Capture((*UNITS, unit("odd", item="x")))
    answer = ask(two, request)
    assert set(answer) == {("model", 0), ("model", 1)}
    frame = answer["model", 0].frame()
    assert list(frame.index) == [u.unit_id for u in UNITS]
    assert frame.loc["item#rejected"].tolist() == [np.frombuffer(b"bad", np.uint8).mean().astype(np.float32), 3.0]


def test_a_model_without_hidden_states_answers_a_capture_with_nothing(subject):
    assert ask(subject(Longer()), Capture(UNITS)) == {}


def test_a_model_that_compares_is_asked_in_both_orders(subject):
    one = subject(Longer())
    table = ask(one, Compare("item", *UNITS))
    assert table["score"].item() == pytest.approx((0.9 + 1 - 0.1) / 2)
    assert table["side"].item() == "chosen>rejected"
    assert table["head_outputs"].item() == pytest.approx([0.9, 0.1]), "P of the reply that came first, in both orders"
    equal = (unit("abc", item="e"), unit("xyz", item="e", side="rejected"))
    assert ask(one, Compare("e", *equal))["score"].item() == pytest.approx(0.5)  # the order bias cancels


def test_a_scalar_model_answers_a_comparison_by_bradley_terry(subject):
    one = subject(Counting())
    scores = ask(one, Score(UNITS)).set_index("side")["score"]
    row = ask(one, Compare("item", *UNITS)).iloc[0]
    assert row["score"] == pytest.approx(1 / (1 + np.exp(scores["rejected"] - scores["chosen"])))
    assert row["head_outputs"] is None


def test_scores_asked_of_a_model_that_compares_become_preferences_that_outcomes_read(subject):
    answer = ask(subject(Longer()), Score(UNITS))
    assert outcomes(answer)["credit"].tolist() == [1.0]


def test_needs_are_checked_with_the_reason(subject):
    assert subject(Counting()).lacks({"scores|compares"}) is None
    assert subject(Longer()).lacks({"scores|compares"}) is None
    assert "offers compares; the task needs scores" in subject(Longer()).lacks({"scores"})


def test_attach_asks_no_model(subject):
    adapter = Counting()
    assert ask(subject(adapter), Attach()) is None
    assert adapter.batches == []


# --- a base, which reads nothing ----------------------------------------------------------------------


class Headless(Counting):
    capabilities = frozenset({"neurons"})


@pytest.fixture
def with_base(subject):
    """A model of two seeds and as many bases as asked for, whose every use of the base's engine is an error."""

    def make(bases: int, role: str = "base"):
        two = subject(Counting(), Counting())
        store = two.members[0].engine.store
        engines = [Engine(resolved(Headless(), f"local/b{i}"), store, open_pool=refuse) for i in range(bases)]
        return Subject("local/m", "family", (*two.members, *(Member(role, i, e) for i, e in enumerate(engines))))

    return make


def refuse(_):
    raise AssertionError("a base reads nothing")


def test_a_base_is_asked_for_no_score_and_stands_in_no_table(with_base, subject):
    requests = (Score(UNITS), Compare("item", *UNITS), Capture(UNITS))
    for request in requests:
        plain, based = ask(subject(Counting(), Counting()), request), ask(with_base(1), request)
        if isinstance(request, Capture):
            assert set(plain) == set(based)
        else:
            pd.testing.assert_frame_equal(plain, based)


def test_a_need_is_nothing_a_base_must_meet(with_base):
    for needs in ({"scores"}, {"scores", "hidden_states"}, {"scores|compares"}):
        assert with_base(1).lacks(needs) is None
    assert "the task needs objectives" in with_base(1).lacks({"objectives"})


@pytest.mark.parametrize(("bases", "expected"), [(1, [0, 0]), (2, [0, 1]), (3, [0, 0])])
def test_a_member_is_compared_with_the_base_of_its_seed_or_the_first(with_base, monkeypatch, bases, expected):
    asked = []

    def record(engine, units, weights, reading, against):
        asked.append((engine.resolved.name, against.name))
        return {"tokens": np.array(1.0)}

    monkeypatch.setattr(Engine, "accumulate", record)
    family = with_base(bases)
    request = Accumulate(UNITS, Reading("change"), against="base")
    found = family.answer(request)
    assert list(found) == [("model", 0), ("model", 1)]
    assert asked == [(f"local/m{i}", f"local/b{e}") for i, e in enumerate(expected)]
    asked.clear()
    family.ensure([Accumulate(UNITS, Reading("change"), members=(("model", 1), ("base", 0)), against="base")])
    assert asked == [("local/m1", f"local/b{expected[1]}")]


def test_a_member_is_not_compared_with_itself(with_base, monkeypatch):
    monkeypatch.setattr(Engine, "accumulate", lambda engine, *_: engine.resolved.name)
    assert with_base(1).answer(Accumulate(UNITS, Reading("change"), against="model")) == {}


def test_a_change_needs_a_member_and_nothing_else_has_one(with_base):
    with pytest.raises(InputError, match=r"'change' against no member: .*against='base'"):
        Accumulate(UNITS, Reading("change"))
    with pytest.raises(InputError, match="'moments' against 'base'"):
        Accumulate(UNITS, against="base")
    with pytest.raises(InputError, match=r"no member 'reference' to compare model with; add --role reference=PATH"):
        ask(with_base(1), Accumulate(UNITS, Reading("change"), against="reference"))


class Told(Counting):
    """Its kind has neurons; what this one says of them comes at loading."""

    capabilities = Counting.capabilities | {"neurons"}

    def __init__(self, description):
        super().__init__()
        self.description = description

    def describe(self):
        return self.description


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ({"scores"}, None),
        ({"neurons"}, "local/m0 lacks neurons: no MLP in layers.0"),
        ({"scores", "neurons"}, "local/m0 lacks neurons: no MLP in layers.0"),
        ({"neurons|scores"}, None),
        ({"neurons|compares"}, "local/m0 lacks compares or neurons: no MLP in layers.0"),
        ({"steps"}, "local/m0 offers hidden_states, neurons, scores; the task needs steps"),
    ],
)
def test_what_only_the_loaded_model_knows_it_lacks(subject, needs, reason):
    assert subject(Told({"neurons_missing": "no MLP in layers.0"})).lacks(needs) == reason


@pytest.mark.parametrize("description", [{"neurons_missing": None}, {}])
def test_a_model_that_says_of_nothing_that_it_is_missing(subject, description):
    assert subject(Told(description)).lacks({"scores", "neurons"}) is None


def test_a_model_is_asked_for_its_neurons_only_where_the_store_does_not_know(subject, monkeypatch):
    told, loads = Told({"dtype": "float32"}), []
    monkeypatch.setattr(Told, "describe", lambda self: loads.append(0) or self.description)
    assert subject(told).lacks({"neurons"}) is None
    told.description = {"neurons_missing": "none"}  # what is stored was written before models said it
    assert "none" in subject(told).lacks({"neurons"})
    assert subject(told).lacks({"scores"}) is None
    assert len(loads) == 2
    assert "none" in subject(told).lacks({"neurons"})
    assert len(loads) == 2
