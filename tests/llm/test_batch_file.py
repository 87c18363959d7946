from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.llm.batch_file import custom_id, mode_of, read_lines, shards

MODES = ["json_schema", "json_object", "text"]
REQUESTS = [(f"key {n}", MODES[n % 3], {"n": n, "text": "\u2028" + "x" * (n % 7)}) for n in range(23)]


@given(st.integers(1, 30), st.integers(1, 2000))
def test_shards_hold_every_request_once_in_order_and_keep_both_limits(most, max_bytes):
    files = list(shards(REQUESTS, most, max_bytes))
    lines = [json.loads(line) for file in files for line in file.content.split(b"\n")[:-1]]
    assert [line["body"] for line in lines] == [body for _, _, body in REQUESTS]
    assert {k: v for file in files for k, v in file.keys.items()} == {
        line["custom_id"]: key for line, (key, _, _) in zip(lines, REQUESTS, strict=True)
    }
    for file in files:
        assert len(file.keys) == file.content.count(b"\n") <= most
        assert len(file.content) <= max_bytes or len(file.keys) == 1
    # No two neighbours would have fitted into one.
    for one, two in pairwise(files):
        first = two.content.index(b"\n") + 1
        assert len(one.keys) == most or len(one.content) + first > max_bytes


def test_no_requests_make_no_file():
    assert list(shards([])) == []


def test_ids_are_short_and_tell_keys_and_modes_apart():
    names = {custom_id(f"{n}" * 40, mode): mode for n in range(50) for mode in MODES}
    assert len(names) == 150
    assert max(map(len, names)) <= 64
    assert all(mode_of(name) == mode for name, mode in names.items())


def line(**parts) -> bytes:
    return json.dumps({"custom_id": "a", "response": None, "error": None} | parts).encode()


def test_a_result_an_error_of_the_request_and_one_that_was_never_sent():
    good = line(response={"status_code": 200, "body": {"choices": []}})
    bad = line(response={"status_code": 400, "body": {"error": {"message": "no", "param": "seed", "code": "x"}}})
    late = line(error={"code": "batch_expired", "message": "too late"})
    one, two, three = read_lines(b"\n".join([good, bad, late]))
    assert (one.body, one.status) == ({"choices": []}, 200)
    assert (two.body, two.status, two.code, two.said) == (None, 400, "x", "no seed")
    assert (three.body, three.status, three.code, three.said) == (None, None, "batch_expired", "too late")


def test_a_line_that_is_no_result_costs_no_other():
    wrong = [
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"custom_id": "a", "response": []}'[:-3],
        b"\xff\xfe",
        line(error="late"),
        b"[" * 10**5,
        b"null",
    ]
    good = line(response={"status_code": 200, "body": {}})
    for one in wrong:
        found = list(read_lines(b"\n".join([good, one, b"", good])))
        assert [each is None for each in found] == [False, True, False], one
