"""Who is ranked, who stands apart, and what may share a column."""

from __future__ import annotations

import random

import pytest

from harness.errors import InputError
from harness.leaderboard.build import build
from tests.leaderboard.records import metric, model, result, spec


def names(rows) -> list[str]:
    return [row.name for row in rows]


def test_a_board_does_not_depend_on_the_order_of_results():
    records = [result(f"org/{i}", [metric(value=0.5 + i / 20)]) for i in range(5)]
    records += [result("null/random", [metric(value=0.5)]), result("org/l", limit=5), result("org/1", started="2025")]
    records += [result("org/0", [metric(value=0.1)], started="2020"), result("org/0", [metric(value=0.2)])]
    boards = []
    for seed in range(4):
        random.Random(seed).shuffle(records)
        boards.append(build(spec(), records))
    assert all(board == boards[0] for board in boards)


@pytest.mark.parametrize(("better", "first"), [(True, "org/high"), (False, "org/low")])
def test_ranks_respect_the_direction_the_metric_states(better, first):
    records = [
        result("org/low", [metric(value=0.2, higher_is_better=better)]),
        result("org/high", [metric(value=0.9, higher_is_better=better)]),
    ]
    board = build(spec(), records)
    assert names(board.ranked)[0] == first
    assert [(r.rank.low, r.rank.high) for r in board.ranked] == [(1, 1), (2, 2)]
    assert board.columns[0].higher_is_better is better


def test_the_spec_overrides_the_direction_and_a_column_without_one_cannot_rank():
    records = [result("org/low", [metric(value=0.2, higher_is_better=None)])]
    records.append(result("org/high", [metric(value=0.9, higher_is_better=None)]))
    with pytest.raises(InputError, match="set higher_is_better"):
        build(spec(), records)
    column = {"metric": "acc", "label": "acc", "higher_is_better": False}
    assert names(build(spec(columns=[column]), records).ranked) == ["org/low", "org/high"]


def test_rows_that_nothing_separates_share_a_letter_and_a_rank_range():
    values = {"org/a": 0.900, "org/b": 0.895, "org/c": 0.5}
    ranked = build(spec(), [result(name, [metric(value=v)]) for name, v in values.items()]).ranked
    assert [(r.rank.low, r.rank.high, r.rank.letters) for r in ranked] == [(1, 2, "a"), (1, 2, "a"), (3, 3, "b")]


def test_a_paired_test_beats_standard_errors_only_in_a_column_that_names_its_items():
    records = [result("org/a", [metric(value=0.90)]), result("org/b", [metric(value=0.89)])]
    column = {"metric": "acc", "label": "acc"}
    for paired, letters in (({"objective": "helpful"}, ["a", "b"]), (None, ["a", "a"])):
        board = build(spec(columns=[{**column, "paired": paired}]), records, lambda *_: 0.001)
        assert [r.rank.letters for r in board.ranked] == letters
    board = build(spec(columns=[{**column, "paired": {}}]), records, lambda *_: None)
    assert [r.rank.letters for r in board.ranked] == ["a", "a"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (result("org/bad", limit=10), "limited to 10 items"),
        (result("org/bad", status="partial", reason="killed"), "partial: killed"),
        (result("org/bad", status="error", reason="boom"), "error: boom"),
        (result("org/bad", [], status="not_applicable", reason="no scores"), "not applicable: no scores"),
        (result("org/bad", [metric(value=None, se=None, reason="one cluster")]), "acc: one cluster"),
        (result("org/bad", [metric("other")]), "acc: not measured"),
        (result("org/bad", items="b" * 64), "other data"),
        (result("org/bad", params={"strict": True}), "other parameters"),
        (result("org/bad", [metric(n=9)]), "rests on 9 items, fewer than 50"),
        (result("org/bad", [metric(n_clusters=7)]), "rests on 7 prompts, fewer than 30"),
    ],
)
def test_what_cannot_be_compared_is_listed_with_the_reason_and_never_ranked(bad, why):
    board = build(spec(min_n=50, min_clusters=30), [bad, result("org/a"), result("org/b")])
    assert names(board.ranked) == ["org/a", "org/b"]
    assert names(board.apart) == ["org/bad"]
    assert why in board.apart[0].reason
    assert board.apart[0].rank is None


def test_no_column_mixes_two_sets_of_items_and_the_majority_of_models_decides():
    new = [result(f"org/{i}", items="b" * 64) for i in range(3)]
    old = [result(name) for name in ("org/x", "null/longest", "null/random", "null/shortest")]
    for order in ([*new, *old], [*old, *new]):
        board = build(spec(), order)
        assert names(board.ranked) == ["org/0", "org/1", "org/2"]
        assert {row.reason for row in board.apart} == {"other data"}
        assert not board.baselines


def test_only_rows_whose_other_interval_clears_the_bar_are_ranked():
    columns = [{"metric": "acc", "label": "acc"}, {"metric": "drop", "label": "drop", "higher_is_better": False}]
    records = [
        result("org/real", [metric(value=0.7), metric("drop", 5.0, unit="pp")]),
        result("org/noise", [metric(value=0.501), metric("drop", 0.0, unit="pp")]),
    ]
    board = build(spec(columns=columns, rank_by="drop", requires=[{"column": "acc", "low_above": 0.5}]), records)
    assert names(board.ranked) == ["org/real"]
    assert board.apart[0].reason == "the interval of acc does not lie above 0.5"


def test_baselines_are_shown_unranked_even_when_they_win():
    board = build(spec(rows={"subjects": ["org/*"]}), [result("null/longest", [metric(value=0.99)]), result("org/a")])
    assert names(board.baselines) == ["null/longest"]
    assert board.baselines[0].rank is None
    assert board.ranked[0].rank.high == 1
    assert not names(build(spec(rows={"subjects": ["other/*"]}), [result("org/a")]).rows)


def test_the_newest_run_wins_and_an_older_one_is_listed_only_if_it_says_something_else():
    old, new = result(started="2026-01-01", command="old"), result(started="2026-02-01", command="new")
    board = build(spec(), [new, old])
    assert board.ranked[0].commands == ("new",)
    assert not board.apart
    other = result(metrics=[metric(value=0.3)], started="2026-01-01")
    board = build(spec(), [new, other])
    assert [row.reason for row in board.apart] == ["an older run of the same"]
    assert board.ranked[0].cells[0].value == 0.7


def test_tasks_join_by_model_so_that_a_family_member_meets_its_own_results():
    members = [{"member": m, "seed": 0, "model": model(f"org/{m}")} for m in ("helpful", "mixed")]
    family = result(
        "org/fam",
        [metric(value=0.8, dims={"member": "helpful"}), metric(value=0.6, dims={"member": "mixed"})],
        revision="family-0123456789ab",
        members=members,
    )
    alone = result("org/mixed", [metric("resistance", 0.4)], task="u", command="other")
    columns = [
        {"task": "t@1", "metric": "acc", "label": "acc"},
        {"task": "u@1", "metric": "resistance", "label": "resistance"},
    ]
    board = build(spec(tasks=["t@1", "u@1"], columns=columns), [family, alone])
    assert [(r.name, r.revision, [c.value for c in r.cells]) for r in board.ranked] == [
        ("org/helpful", "c" * 40, [0.8, None]),
        ("org/mixed", "c" * 40, [0.6, 0.4]),
    ]
    assert board.ranked[1].commands == ("reward-harness run", "other")
    assert board.ranked[0].cells[1].reason == "not run"


def test_a_family_column_makes_a_family_row_and_seeds_stay_together():
    members = [{"member": "mixed", "seed": s, "model": model(f"org/mixed{s}")} for s in (0, 1)]
    metrics = [metric(value=0.6, dims={"member": "mixed"}), metric("tension", -3.0, unit="pp")]
    record = result("org/fam", metrics, members=members)
    columns = [{"metric": "acc", "label": "acc"}, {"metric": "tension", "label": "tension"}]
    board = build(spec(columns=columns, rank_by="tension"), [record])
    assert [(r.name, r.member) for r in board.ranked] == [("org/fam", "family")]
    assert [(r.name, r.member) for r in board.apart] == [("org/fam", "mixed")]


def test_dims_must_match_exactly():
    metrics = [metric(value=0.1, dims={"subset": "x"}), metric(value=0.9, dims={"subset": "x", "style": "hard"})]
    for dims, value in (({"subset": "x"}, 0.1), ({"subset": "x", "style": "hard"}, 0.9), ({}, None)):
        board = build(spec(columns=[{"metric": "acc", "label": "acc", "dims": dims}]), [result(metrics=metrics)])
        assert board.rows[0].cells[0].value == value


@pytest.mark.parametrize(
    ("fields", "marks"),
    [
        ({"truncated": 2}, ""),
        ({"truncated": 3}, "†"),
        ({"trained": "yes"}, "‡"),
        ({"trained": "unknown", "truncated": 200}, "†○"),
        ({"members": [{"member": "model", "seed": 0, "model": {**model("org/a"), "quantization": "awq"}}]}, "◇"),
    ],
)
def test_marks_say_what_a_reader_must_know(fields, marks):
    board = build(spec(), [result(**fields)])
    assert board.ranked[0].marks == marks
    assert "".join(mark for mark, _ in board.legend) == marks


def test_results_set_apart_for_one_reason_share_a_row_across_tasks():
    columns = [{"task": f"{t}@1", "metric": "acc", "label": t} for t in "tu"]
    records = [result(metrics=[metric(value=v)], task=t, limit=3) for t, v in (("t", 0.1), ("u", 0.2), ("t", 0.3))]
    board = build(spec(tasks=["t@1", "u@1"], columns=columns, rank_by="t"), records)
    assert sorted(str([c.value for c in row.cells]) for row in board.apart) == ["[0.1, 0.2]", "[0.3, None]"]


def test_a_member_is_marked_for_its_own_training_data_only():
    members = [
        {"member": name, "seed": 0, "model": model(f"org/{name}"), "trained_on_task_data": trained}
        for name, trained in (("helpful", "yes"), ("harmless", "no"))
    ]
    metrics = [metric(dims={"member": name}) for name in ("helpful", "harmless")]
    board = build(spec(), [result("org/f", metrics, members=members, trained="yes")])
    assert {row.name: row.marks for row in board.rows} == {"org/helpful": "‡", "org/harmless": ""}
