"""Files of JSON lines: what is wrong is named by its line, and a file is written whole or stays as it was."""

from __future__ import annotations

import json

import pytest

from harness.errors import HarnessError, InputError
from harness.jsonl import read_file, rows_of, write_rows
from harness.models.spec import Frozen


class Row(Frozen):
    """A name and a number."""

    name: str
    n: int = 0


ODD = ["plain", "🙂 \u2028 \u2029 \x85 \x1c \x0b\x0c \r\n", 'quote " and \\', "\x00", ""]


def test_what_is_written_is_read_back_line_by_line(tmp_path):
    rows = [Row(name=name, n=i) for i, name in enumerate(ODD)]
    write_rows(tmp_path / "deep" / "rows.jsonl", rows)
    content = read_file(tmp_path / "deep" / "rows.jsonl", "rows")
    assert list(rows_of(content, Row)) == list(enumerate(rows, 1))
    assert content.count(b"\n") == len(rows)
    write_rows(tmp_path / "none.jsonl", [])
    assert list(rows_of(read_file(tmp_path / "none.jsonl", "rows"), Row)) == []


def test_empty_lines_are_passed_over_and_counted():
    content = b'\n{"name": "a"}\n  \n\n{"name": "b", "n": 2}\n'
    assert list(rows_of(content, Row)) == [(2, Row(name="a")), (5, Row(name="b", n=2))]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"name": "a"', "Expecting"),
        (b"[1]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
        (b'{"n": 1}', "name: "),
        (b'{"name": "a", "n": "x"}', "n: "),
        (b'{"name": "a", "more": 1}', "more: "),
        (b'{"name": "\xff"}', "codec"),
    ],
)
def test_a_line_that_is_no_row_says_what_is_wrong_and_the_others_are_read(line, wrong):
    found = dict(rows_of(b'{"name": "a"}\n' + line + b'\n{"name": "b"}', Row))
    assert [found[1], found[3]] == [Row(name="a"), Row(name="b")]
    assert isinstance(found[2], str)
    assert wrong in found[2]


def test_a_line_may_be_adapted_first():
    def adapt(said):
        if "label" not in said:
            raise ValueError("expected a label")
        return {"name": said["label"]}

    assert [row for _, row in rows_of(b'{"label": "x"}\n{"name": "y"}', Row, adapt)] == [
        Row(name="x"),
        "expected a label",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the labels .*absent\.jsonl: No such file"):
        read_file(tmp_path / "absent.jsonl", "labels")


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path, monkeypatch):
    target = tmp_path / "rows.jsonl"
    write_rows(target, [Row(name="old")])

    def refuse(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.jsonl.os.replace", refuse)
    with pytest.raises(HarnessError, match=r"cannot write .*rows\.jsonl: No space left"):
        write_rows(target, [Row(name="new")])
    assert json.loads(target.read_text())["name"] == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
