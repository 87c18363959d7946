import gzip
import hashlib
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.datasets import load, rows
from harness.errors import InputError
from harness.preference import Message

ROWS = [
    {"prompt": "How?", "chosen": "So.", "rejected": "No."},
    {
        "prompt": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Why?"}],
        "chosen": ["Because", "Since"],
        "rejected": ["Dunno", "Eh", "Hm"],
        "id": "mine",
        "subset": "hard",
        "objective": "helpful",
    },
]


def jsonl(path, objects):
    path.write_text("".join(f"{o if isinstance(o, str) else json.dumps(o)}\n" for o in objects), encoding="utf-8")
    return path


def test_a_plain_row_gets_its_defaults(tmp_path):
    item = rows(jsonl(tmp_path / "pairs.jsonl", ROWS))[0].item
    text = json.dumps(["How?", "So.", "No."], separators=(",", ":"))
    assert item.id == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (item.prompt, item.chosen, item.rejected) == ((Message("user", "How?"),), ("So.",), ("No.",))
    assert (item.dataset, item.subset, item.objective, dict(item.meta)) == ("pairs", "pairs", "other", {})


def test_optional_columns_are_kept(tmp_path):
    item = rows(jsonl(tmp_path / "pairs.jsonl", ROWS))[1].item
    assert item.prompt == (Message("system", "Be brief"), Message("user", "Why?"))
    assert (item.chosen, item.rejected) == (("Because", "Since"), ("Dunno", "Eh", "Hm"))
    assert (item.id, item.subset, item.objective, dict(item.meta)) == ("mine", "hard", "helpful", {})


def test_a_null_is_an_absent_column(tmp_path):
    with_nulls = {**ROWS[0], "id": None, "subset": None, "objective": None}
    plain, nulls = (rows(jsonl(tmp_path / "pairs.jsonl", [row]))[0].item for row in (ROWS[0], with_nulls))
    assert plain == nulls


def parquet(path):
    pq.write_table(pa.Table.from_pylist([{**ROWS[0], "id": "p"}, {**ROWS[0], "id": None, "rejected": "Nay"}]), path)


def as_json(path):
    path.write_text(json.dumps(ROWS, indent=1))


def as_csv(path):
    text = 'id,prompt,chosen,rejected\np,"How, ""then""?","So.\nBut",No.\n,Who?,NA,null\n'
    path.write_text(text)


def as_gzip(path):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)


def test_csv_keeps_texts_as_they_are(tmp_path):
    as_csv(tmp_path / "pairs.csv")
    first, second = (row.item for row in rows(tmp_path / "pairs.csv"))
    assert (first.id, first.prompt[0].content, first.chosen) == ("p", 'How, "then"?', ("So.\nBut",))
    assert (second.chosen, second.rejected, len(second.id)) == (("NA",), ("null",), 16)


def test_parquet_round_trip_gives_the_items_of_json_lines(tmp_path):
    messages = [{**ROWS[1], "id": f"m{i}"} for i in range(3)]
    jsonl(tmp_path / "pairs.jsonl", messages)
    pq.write_table(pa.Table.from_pylist(messages), tmp_path / "pairs.parquet")
    lines = [row.item for row in rows(tmp_path / "pairs.jsonl")]
    assert [row.item for row in rows(tmp_path / "pairs.parquet")] == lines


@pytest.mark.parametrize(("name", "write"), [("d.json", as_json), ("d.jsonl.gz", as_gzip), ("d.parquet", parquet)])
def test_every_format_is_read_and_named_by_its_stem(tmp_path, name, write):
    write(tmp_path / name)
    found = rows(tmp_path / name)
    assert [row.number for row in found] == [1, 2]
    assert {row.item.dataset for row in found} == {"d"}


def test_a_file_of_any_name_is_read_as_json_lines(tmp_path):
    path = jsonl(tmp_path / "my.pairs", ROWS)
    suite = load([str(path)])
    assert [r.name for r in suite.records] == ["my.pairs", "my.pairs"]


GOOD = ROWS[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**GOOD, "chosen": "  "}, "empty reply"),
        ({**GOOD, "rejected": []}, "empty reply"),
        ({**GOOD, "rejected": ["No.", ""]}, "empty reply"),
        ({**GOOD, "rejected": "So. \n"}, "identical replies"),
        ({**GOOD, "rejected": ["No.", "So."]}, "identical replies"),
        ({**GOOD, "prompt": " "}, "empty prompt"),
        ({**GOOD, "prompt": []}, "empty prompt"),
        ({**GOOD, "prompt": 3}, "prompt is a number, not a string or a list of messages"),
        ({**GOOD, "prompt": [{"role": "bot", "content": "x"}]}, "prompt holds something other than messages"),
        ({**GOOD, "prompt": ["x"]}, "prompt holds something other than messages"),
        ({**GOOD, "chosen": 1.5}, "chosen is a number, not a string or a list of strings"),
        ({**GOOD, "chosen": [{"role": "assistant", "content": "x"}]}, "chosen is a list with an object"),
        ({**GOOD, "chosen": ["a", 1]}, "chosen is a list with a number"),
        ({"prompt": "How?", "chosen": "So."}, "no rejected"),
        ({**GOOD, "objective": "harmless"}, 'objective is "harmless", not one of helpful, refuse, comply'),
        ({**GOOD, "id": ["a"]}, "id is neither"),
        ({**GOOD, "subset": 4}, "subset is a number"),
        (GOOD, "duplicate id"),
    ],
)
def test_an_unusable_row_keeps_its_place_and_says_why(tmp_path, row, reason):
    last = {**GOOD, "id": "last"}
    path = jsonl(tmp_path / "pairs.jsonl", [GOOD, "", row, last])
    first, bad, good = rows(path)
    assert [r.number for r in (first, bad, good)] == [1, 3, 4]
    assert first.item is not None
    assert good.item is not None
    assert bad.item is None
    assert reason in bad.error
    suite = load([str(path)])
    assert sum(n for record in suite.records for r, n in record.set_aside.items() if reason in r) == 1
    assert len(suite.items) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("prompt: How?\n", ["line 1 is not JSON", "prompt: How?", "one JSON object a line"]),
        (json.dumps(GOOD) + "\n{'prompt': 1}\n", ["line 2 is not JSON"]),
        ("[1, 2]\n", ["line 1 holds a list", "expected an object"]),
        ("", ["has no rows"]),
        ("\n\n", ["has no rows"]),
        ('{"prompt": "a", "chosen": "b", "answer": "c"}\n', ["no column rejected", "found answer, chosen, prompt"]),
        ('{"question": "a"}\n', ["no column prompt or chosen or rejected", "rename"]),
        (json.dumps({**GOOD, "chosen": ""}) + "\n", ["no row of", "is usable", "1 x empty reply"]),
    ],
)
def test_a_bad_file_gets_one_line_that_says_what_to_do(tmp_path, content, expected):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        load([str(path)])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    for part in expected:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("pairs.jsonl", b"\xff\xfe\x00broken", "cannot read"),
        ("pairs.jsonl.gz", b"not gzip", "cannot read"),
        ("pairs.jsonl.gz", gzip.compress(b'{"prompt": 1}' * 99, mtime=0)[:-9], "cannot read"),
        ("pairs.jsonl.gz", gzip.compress(b'{"prompt": 1}', mtime=0)[:10] + b"\xff" * 20, "cannot read"),
        ("pairs.parquet", b"not parquet", "is not what its name says (.parquet)"),
        ("pairs.json", b"{]", "name it .jsonl"),
        ("pairs.json", b'{"prompt": 1}', "not a list of objects"),
        ("pairs.csv", b"", "is not what its name says (.csv)"),
        ("pairs.csv", b"prompt,chosen,rejected\na,b,c,d,e\nf,g\nh,i,j,k,l,m\n", "is not what its name says (.csv)"),
    ],
)
def test_a_file_that_cannot_be_read_gets_one_line(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        rows(tmp_path / name)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_named_like_a_file_is_unreadable(tmp_path):
    os.mkdir(tmp_path / "pairs.jsonl")
    with pytest.raises(InputError, match="cannot read"):
        load([str(tmp_path / "pairs.jsonl")])
