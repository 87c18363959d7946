"""Labels by people: as rows of the verb, or plain lines that name a reply."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.errors import InputError
from harness.labels import LabelRow, text_id
from harness.llm.gold import read_gold
from harness.llm.schema import schema_sha256
from harness.preference import units
from harness.testing import planted

ITEMS = planted.items(np.random.default_rng(0), 6)
UNITS = tuple(units(ITEMS))
A, B = UNITS[0], UNITS[1]


def read(tmp_path, *lines):
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
    return read_gold(tmp_path / "gold.jsonl", ITEMS)


def test_a_reply_is_named_by_its_id_or_by_its_text_and_may_be_judged_in_part(tmp_path):
    rows = read(
        tmp_path,
        {"id": A.unit_id, "helpful": " Yes"},
        {"text": text_id(B.conversation), "labeler": "Ann", "helpful": "no", "topics": ["history"]},
        {"text": "f" * 32, "honest": "unclear"},
    )
    said = {row.text: (row.labeler, row.labels) for row in rows}
    assert said == {
        text_id(A.conversation): ("people", {"helpful": "yes"}),
        text_id(B.conversation): ("Ann", {"helpful": "no", "topics": ["history"]}),
        "f" * 32: ("people", {"honest": "unclear"}),
    }
    assert {(r.labeled_by, r.prompt, r.schema_sha256) for r in rows} == {("gold", None, schema_sha256())}


def test_rows_of_the_verb_become_gold_and_keep_what_they_say(tmp_path):
    row = LabelRow(text="a" * 32, labeler="m", schema_sha256="other", labels={"helpful": "no"})
    (read_back,) = read(tmp_path, row.model_dump())
    assert read_back == row.model_copy(update={"labeled_by": "gold"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"helpful": "yes"}, "expected one of id"),
        ({"id": A.unit_id, "text": "f" * 32, "helpful": "yes"}, "expected one of id"),
        ({"id": A.item_id, "helpful": "yes"}, "no reply of the data is called"),
        ({"id": [1], "helpful": "yes"}, "no reply of the data is called"),
        ({"id": A.unit_id, "helpful": "maybe"}, "expected yes, no, unclear"),
        ({"id": A.unit_id, "helpfull": "yes"}, "no label field"),
        ({"id": A.unit_id}, "no field"),
        ({"text": 3, "helpful": "yes"}, "text"),
        ({"text": "f" * 32, "labeled_by": "gold", "labels": {"helpful": "maybe"}}, "labeler"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_line_that_names_no_reply_or_no_label_is_refused_with_its_number(tmp_path, line, said):
    with pytest.raises(InputError, match=f"gold.jsonl:2: .*{said}"):
        read(tmp_path, {"id": B.unit_id, "helpful": "yes"}, line)


def test_one_reply_judged_twice_is_refused_however_it_is_named(tmp_path):
    with pytest.raises(InputError, match="two labels"):
        read(tmp_path, {"id": A.unit_id, "helpful": "yes"}, {"text": text_id(A.conversation), "helpful": "no"})


def test_a_file_that_is_not_there_is_wrong_input(tmp_path):
    with pytest.raises(InputError, match="cannot read the labels"):
        read_gold(tmp_path / "absent.jsonl", ITEMS)
