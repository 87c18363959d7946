"""Labels joined to units by their text, and files that are no labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from harness.errors import HarnessError, InputError
from harness.labels import PASSES, LabelRow, Labels, column, read_labels, text_id, write_labels, wrong_values
from harness.llm.schema import LABELS, NUMBERED, answer_schema, schema_sha256
from harness.preference import units
from harness.testing import planted

ITEMS = planted.items(np.random.default_rng(0), 6)
UNITS = tuple(units(ITEMS))
NO = {name: ([] if f.several else list(f.values)[1]) for name, f in LABELS.items()}


def row(unit, labeled_by="first", labels=NO, **changes) -> LabelRow:
    given = {"text": text_id(unit.conversation), "labeled_by": labeled_by, "labeler": "somebody"}
    error = "refused" if labels is None else None
    return LabelRow(**given, schema_sha256=schema_sha256(), labels=labels, error=error, **changes)


def write(path, rows) -> None:
    path.write_text("".join(r.model_dump_json() + "\n" for r in rows), encoding="utf-8")


def test_a_label_goes_to_the_unit_with_its_text_in_any_order(tmp_path):
    rng = np.random.default_rng(1)
    helpful = {u.unit_id: rng.choice(["yes", "no", "unclear"]) for u in UNITS}
    rows = [row(u, labels=NO | {"helpful": str(helpful[u.unit_id])}) for u in UNITS]
    write(tmp_path / "labels.jsonl", [rows[i] for i in rng.permutation(len(rows))])
    frame = read_labels(tmp_path / "labels.jsonl").frame(UNITS).set_index("unit_id")
    for unit_id, said in helpful.items():
        expected = {"yes": 1.0, "no": 0.0, "unclear": math.nan}[said]
        assert frame.loc[unit_id, "x_label_helpful"] == pytest.approx(expected, nan_ok=True)
    assert set(frame.columns) == {column(name) for name in NUMBERED}


def test_a_failed_or_absent_label_is_missing_and_counted(tmp_path):
    write(tmp_path / "l.jsonl", [row(UNITS[0], labels=None), row(UNITS[1]), row(UNITS[1], "retest")])
    labels = read_labels(tmp_path / "l.jsonl")
    frame = labels.frame(UNITS)
    assert frame["x_label_helpful"].notna().sum() == 1
    assert frame["x_label_helpful_retest"].notna().sum() == 1
    assert "x_label_helpful_gold" not in frame
    record = labels.record()
    assert (record.n_texts, record.n_failed, labels.passes) == (2, 1, ("first", "retest"))


def test_labels_that_are_of_no_text_of_the_data_are_none():
    labels = Labels({("first", r.text): r for r in (row(UNITS[0]), row(UNITS[1], labels=None))}, "ab")
    assert labels.about(UNITS) is labels
    assert labels.about(UNITS[:1]) is labels
    assert not labels.about(UNITS[1:])
    assert not labels.about(())
    gold = Labels({("gold", text_id(UNITS[2].conversation)): row(UNITS[2], "gold")}, "ab")
    assert gold.about(UNITS) is gold


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "not a label"),
        ("{}", "not a label"),
        (row(UNITS[0], labels={"helpfull": "yes"}).model_dump_json(), "no label field"),
        (row(UNITS[0], labels={"helpful": "maybe"}).model_dump_json(), "expected yes, no, unclear"),
        (row(UNITS[0], labels={"topics": ["gossip"]}).model_dump_json(), "gossip"),
        ("", "holds no labels"),
    ],
)
def test_what_is_no_label_is_refused_with_its_line(tmp_path, line, said):
    (tmp_path / "l.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_labels(tmp_path / "l.jsonl")


def test_two_labels_of_one_text_in_one_pass_are_refused(tmp_path):
    write(tmp_path / "l.jsonl", [row(UNITS[0]), row(UNITS[0])])
    with pytest.raises(InputError, match="two labels"):
        read_labels(tmp_path / "l.jsonl")


def test_every_numbered_value_is_listed_and_the_answer_schema_is_closed():
    schema = answer_schema()
    assert set(schema["required"]) == set(schema["properties"]) == set(LABELS)
    assert schema["additionalProperties"] is False
    assert all(v is None or -1 <= v <= 1 for name in NUMBERED for v in LABELS[name].values.values())
    assert json.dumps(schema)
    assert not Labels()


def test_a_file_is_sorted_whole_and_reads_back(tmp_path):
    target = tmp_path / "new" / "labels.jsonl"
    rows = [row(u, labeled_by) for u in UNITS for labeled_by in ("gold", "second", "retest", "first")]
    contents = set()
    for seed in range(3):
        write_labels(target, [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))])
        contents.add(target.read_bytes())
    assert len(contents) == 1
    assert list(target.parent.iterdir()) == [target]
    read = read_labels(target)
    assert read.rows == {(r.labeled_by, r.text): r for r in rows}
    lines = [json.loads(x) for x in target.read_text().splitlines()]
    assert [(PASSES.index(x["labeled_by"]), x["text"]) for x in lines] == sorted(
        (PASSES.index(r.labeled_by), r.text) for r in rows
    )


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "labels.jsonl").mkdir()
    with pytest.raises(HarnessError, match="cannot write"):
        write_labels(tmp_path / "labels.jsonl", [row(UNITS[0])])
    assert [p.name for p in tmp_path.iterdir()] == ["labels.jsonl"]


@pytest.mark.parametrize("given", [{"helpful": "x" * 9999}, {"x" * 9999: "yes"}, {"topics": "x" * 9999}])
def test_what_is_wrong_with_a_value_is_said_without_all_of_it(given):
    assert len(wrong_values(given)) < 500
