"""Columns of a board that only several results together have, from planted results on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.leaderboard.board import Board, Cell
from harness.leaderboard.files import read_board
from harness.preference import Unit
from harness.task import TASKS
from harness.testing import planted
from tests.leaderboard.records import metric, model, spec
from tests.results import trees

TASK = TASKS.get("alignment_resistance")
NAME = f"{TASK.meta.name}@{TASK.meta.version}"
ITEMS = planted.items(np.random.default_rng(0), 400, per_cluster=2)
IDS = [item.id for item in ITEMS]
HARD, FAMILY, SPLIT = set(IDS[:120]), set(IDS[120:200]), set(IDS[200:240])
"""Where every model is wrong; where the family alone is; where all single models but e are, and one of the family."""

SINGLES = "abcde"
OWN = {name: set(IDS[240 + 20 * k : 260 + 20 * k]) for k, name in enumerate((*SINGLES, "f1", "f2", "f3"))}


def wrong_items(name: str) -> set[str]:
    shared = SPLIT if name in (*"abcd", "f1") else set()
    return HARD | OWN[name] | shared | (FAMILY if name.startswith("f") else set())


def scores(wrong: set[str]):
    return lambda unit: planted.oracle(unit) * (-1 if unit.item_id in wrong else 1)


def write(root: Path, name: str, table=None, **fields: Any) -> None:
    """The result of one model of the organisation, of the task that is registered."""
    table = planted.table(ITEMS, scores(wrong_items(name))) if table is None else table
    write_table(root, f"org/{name}", table, **fields)


def write_table(root: Path, name: str, table, version: str = TASK.meta.version, **fields: Any) -> None:
    data = {"name": "d", "subset": "s", "objective": "helpful", "source": "hub", "revision": None}
    task = {
        "name": TASK.meta.name,
        "version": version,
        "params": {},
        "config_hash": "0" * 8,
        "datasets": [{**data, "n_items": len(ITEMS), "items_sha256": "a" * 64}],
    }
    metrics = [metric("resistance", 0.5, dims={"member": "model"}, higher_is_better=False)]
    trees.write(root, table, name, **{"task": task, "metrics": metrics, **fields})


def write_family(root: Path, names: tuple[str, ...]) -> None:
    """One result of several models, whose members are called as they may be in a family."""
    roles = ("helpful", "harmless", "mixed")
    by_role = {role: scores(wrong_items(name)) for role, name in zip(roles, names, strict=True)}
    table = planted.table(ITEMS, by_role, tuple((role, 0) for role in roles))
    members = [
        {"member": role, "seed": 0, "model": model(f"org/{name}")} for role, name in zip(roles, names, strict=True)
    ]
    subject = {"kind": "family", "name": "org/f", "revision": "family-0123456789ab", "members": members}
    metrics = [metric("resistance", 0.5, dims={"member": role}, higher_is_better=False) for role in roles]
    write_table(root, "org/f", table, subject=subject, metrics=metrics)


def board(root: Path, task: str = NAME) -> Board:
    columns = [{"metric": "resistance", "label": "resistance"}, {"metric": "consensus_core", "label": "core"}]
    path = root.parent / "board.yaml"
    text = yaml.safe_dump(spec(tasks=[task], columns=columns, rank_by="resistance").model_dump(mode="json"))
    path.write_text(text.replace("t@1", task))
    return read_board(path, root)


def cores(found: Board) -> dict[str, Cell]:
    return {row.name.removeprefix("org/"): row.cells[1] for row in found.rows}


def by_hand(name: str, others: tuple[str, ...]) -> float:
    """The share of a model's wrong items on which four fifths of the others are wrong, item by item."""
    wrong = wrong_items(name)
    shared = [i for i in wrong if sum(i in wrong_items(o) for o in others) >= 0.8 * len(others)]
    return len(shared) / len(wrong)


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("eight") / "results"
    for name in SINGLES:
        write(root, name)
    write_family(root, ("f1", "f2", "f3"))
    write_table(root, "null/random", planted.table(ITEMS, lambda u: -planted.oracle(u)))
    return root


def test_shared_errors_are_the_core_and_siblings_do_not_vouch_for_each_other(eight):
    found = cores(board(eight))
    singles = tuple(SINGLES)
    for name in SINGLES:
        others = (*(o for o in singles if o != name), "f1", "f2", "f3")
        assert found[name].value == pytest.approx(by_hand(name, others)) == pytest.approx(120 / len(wrong_items(name)))
        assert found[name].low < found[name].value < found[name].high
    for name in ("f1", "f2", "f3"):
        assert found[name].value == pytest.approx(by_hand(name, singles))
    assert found["f1"].value == pytest.approx((120 + 40) / (120 + 80 + 40 + 20))  # with its siblings: four of seven
    assert found["f2"].value == pytest.approx(120 / 220)


def test_a_trivial_model_is_judged_and_never_judges(eight, tmp_path):
    found = cores(board(eight))
    assert found["null/random"].value == pytest.approx(120 / 400)
    few = tmp_path / "results"
    for name in "abcd":
        write(few, name)
    write_table(few, "null/random", planted.table(ITEMS, planted.constant))
    write_table(few, "null/longest", planted.table(ITEMS, planted.constant))
    few_found = cores(board(few))
    assert few_found["a"].reason == "3 models of other families on the board, a consensus needs 5"
    assert few_found["null/random"].reason == "4 models of other families on the board, a consensus needs 5"


def test_members_that_were_also_run_alone_are_still_one_family(eight, tmp_path):
    root = tmp_path / "results"
    for name in SINGLES:
        write(root, name)
    write_family(root, ("f1", "f2", "f3"))
    for name in ("f1", "f2", "f3"):  # newer than the family's result
        write(root, name, run={"started": "2027-01-01T00:00:00Z", "command": "alone"})
    again, before = cores(board(root)), cores(board(eight))
    assert {n: c.value for n, c in again.items()} == {n: before[n].value for n in again}


def test_items_are_joined_by_id_and_one_that_failed_is_left_out(tmp_path):
    root, rng = tmp_path / "results", np.random.default_rng(3)
    lost = set(IDS[:60])

    def failing(unit: Unit) -> float | None:
        return None if unit.item_id in lost else scores(wrong_items("a"))(unit)

    write(root, "a", planted.table(ITEMS, failing).sample(frac=1, random_state=0))
    for name in ("b", "c", "d", "e", "f1"):
        order = rng.permutation(len(ITEMS))
        write(root, name, planted.table([ITEMS[k] for k in order], scores(wrong_items(name))))
    found = cores(board(root))
    wrong = wrong_items("a") - lost
    assert found["a"].value == pytest.approx((60 + 40) / len(wrong))
    assert found["a"].n == len(wrong)
    assert found["e"].n == len(wrong_items("e") - lost)  # four of its five judges have the lost items, too few


def test_a_tie_is_half_an_error(tmp_path):
    root = tmp_path / "results"
    for name in "bcdef":
        write_table(root, f"org/{name}", planted.table(ITEMS, planted.constant))
    write_table(root, "org/a", planted.table(ITEMS, lambda u: -planted.oracle(u)))
    found = cores(board(root))
    assert found["a"].value == 0.0  # every other one is half wrong everywhere
    assert found["b"].value == 0.0


def test_a_board_without_such_a_column_or_of_another_version_computes_nothing(tmp_path):
    root = tmp_path / "results"
    for name in "abcdef":
        label = "f1" if name == "f" else name
        write(root, name, planted.table(ITEMS, scores(wrong_items(label))), version="0")
    found = board(root, f"{TASK.meta.name}@0")
    assert {row.cells[1].reason for row in found.rows} == {"not measured"}


def test_an_older_run_that_says_the_same_is_not_listed_beside_the_newer_one(tmp_path):
    root = tmp_path / "results"
    for name in "abcde":
        write(root, name)
    write(root, "f1", run={"started": "2026-12-01T00:00:00Z", "command": "new"})
    table = planted.table(ITEMS, scores(wrong_items("f1")))
    task = {"name": TASK.meta.name, "version": TASK.meta.version, "params": {}, "config_hash": "0" * 8, "limit": None}
    data = {"name": "d", "subset": "s", "objective": "helpful", "source": "mirror", "revision": None}
    data |= {"n_items": len(ITEMS), "items_sha256": "a" * 64}
    write_table(root, "org/f1", table, task={**task, "datasets": [data], "datasets_missing": ["x"]})
    found = board(root)
    assert not found.apart
    assert len(found.ranked) == 6
    assert cores(found)["f1"].value is not None
