"""Rewrites joined to units by their text, and files that are no rewrites."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from harness.errors import InputError
from harness.labels import text_id
from harness.preference import units
from harness.rewrites import NO_REWRITES, RewriteRow, Rewrites, read_rewrites, rewritten_unit, variant, write_rewrites
from harness.testing import planted

ITEMS = planted.items(np.random.default_rng(0), 6)
UNITS = tuple(units(ITEMS))


def row(unit, kind="paraphrase", sample=0, rewritten="x", **more) -> RewriteRow:
    given = {
        "text": text_id(unit.conversation),
        "kind": kind,
        "sample": sample,
        "rewriter": "m",
        "prompt": "1.1",
    } | more
    return RewriteRow(**given, rewritten=rewritten)


def write(path, rows):
    path.write_text("".join(r.model_dump_json() + "\n" for r in rows), encoding="utf-8")
    return path


def test_a_rewrite_goes_to_the_unit_with_its_text_in_any_order(tmp_path):
    rng = np.random.default_rng(1)
    rows = [row(u, kind, k, f"{kind} {k} of {u.unit_id}") for u in UNITS for kind in ("paraphrase", "style:short:up") for k in (0, 1)]  # fmt: skip
    found = read_rewrites(write(tmp_path / "r.jsonl", [rows[i] for i in rng.permutation(len(rows))]))
    assert found.ways == (("paraphrase", 0), ("paraphrase", 1), ("style:short:up", 0), ("style:short:up", 1))
    for unit in UNITS:
        for kind, k in found.ways:
            assert found.of(unit, (kind, k)).rewritten == f"{kind} {k} of {unit.unit_id}"
    assert found.of(UNITS[0], ("paraphrase", 2)) is None


def test_a_file_is_sorted_and_read_back_as_it_was(tmp_path):
    rows = [
        row(UNITS[0], problems=("digits", "meaning"), similarity=0.25, judged="unclear"),
        row(UNITS[1], rewritten=None, error="quarantined: it holds nothing"),
        row(UNITS[1], sample=10),
        row(UNITS[1], sample=2, rewritten="🙂\u2028<|im_end|>\x00"),
        row(UNITS[0], "style:formal:up"),
    ]
    for order in (rows, rows[::-1]):
        write_rewrites(tmp_path / "r.jsonl", order)
        content = (tmp_path / "r.jsonl").read_bytes()
        keys = [(r["kind"], r["sample"], r["text"]) for r in map(json.loads, content.decode().split("\n")[:-1])]
        assert keys == sorted(keys)
        found = read_rewrites(tmp_path / "r.jsonl")
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert set(found.rows.values()) == set(rows)


def test_what_became_of_a_reply_is_its_text_with_its_problems_or_the_failure_as_the_one_problem():
    assert row(UNITS[0]).outcome.status == "valid"
    assert row(UNITS[0], problems=("digits", "meaning")).outcome.status == "digits+meaning"
    assert row(UNITS[0], rewritten=None, error="quarantined: two: fields").outcome.status == "quarantined"
    assert row(UNITS[0], rewritten=None).outcome.status == "missing"
    assert [row(UNITS[0], rewritten=t).outcome.text for t in ("x", None, "")] == ["x", None, ""]


def test_rewrites_that_are_of_no_text_of_the_data_are_none():
    rows = (row(UNITS[0]), row(UNITS[1], rewritten=None))
    found = Rewrites({(r.kind, r.sample, r.text): r for r in rows}, "ab")
    assert found.about(UNITS) is found
    assert found.about(UNITS[:1]) is found
    assert found.about(UNITS[1:]) is found.about(()) is NO_REWRITES
    assert not NO_REWRITES
    assert found


def test_a_result_says_who_rewrote_how_many_texts_and_how_many_failed():
    rows = [row(UNITS[0]), row(UNITS[0], sample=1, rewritten=None), row(UNITS[1], "style:short:up", prompt="1.2")]
    said = Rewrites({(r.kind, r.sample, r.text): r for r in rows}, "ab").record()
    assert (said.sha256, said.rewriters, said.kinds) == ("ab", ("m",), ("paraphrase", "style:short:up"))
    assert (said.prompts, said.n_texts, said.n_failed) == (("1.1", "1.2"), 2, 1)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"text": None}, "text"),
        ({"sample": "first"}, "sample"),
        ({"judged": "maybe"}, "judged"),
        ({"problems": "digits"}, "problems"),
        ({"note": "x"}, "note"),
        ({"rewritten": 3}, "rewritten"),
    ],
)
def test_a_line_that_is_no_rewrite_is_named_by_its_number(tmp_path, change, wrong):
    lines = [json.loads(row(unit).model_dump_json()) for unit in UNITS[:3]]
    lines[1] |= change
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=rf"r\.jsonl:2: not a rewrite: {wrong}"):
        read_rewrites(tmp_path / "r.jsonl")


def test_two_rewrites_of_one_kind_sample_and_text_are_refused_and_of_another_are_not(tmp_path):
    unlike = [row(UNITS[0]), row(UNITS[0], sample=1), row(UNITS[0], "style:short:up"), row(UNITS[1])]
    assert len(read_rewrites(write(tmp_path / "a.jsonl", unlike)).rows) == 4
    with pytest.raises(InputError, match=r"b\.jsonl:5: text [0-9a-f]{32} has two rewrites 'paraphrase' of sample 1"):
        read_rewrites(write(tmp_path / "b.jsonl", [*unlike, row(UNITS[0], sample=1, rewritten="y")]))


def test_an_empty_or_absent_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no rewrites; reward-harness rewrite makes"):
        read_rewrites(write(tmp_path / "empty.jsonl", []))
    with pytest.raises(InputError, match="cannot read the rewrites"):
        read_rewrites(tmp_path / "absent.jsonl")


def test_a_rewritten_unit_is_another_reply_to_the_same_words():
    for unit in UNITS:
        name = variant(("style:formal:up:down", 1))
        other = rewritten_unit(unit, name, "Other words.")
        assert name == "lm/style:formal:up:down/1"
        assert (other.unit_id, other.variant) == (f"{unit.unit_id}@{name}", name)
        assert other.conversation[:-1] == unit.conversation[:-1]
        assert (other.conversation[-1].role, other.conversation[-1].content) == ("assistant", "Other words.")
        assert (other.item_id, other.side, other.cluster_id) == (unit.item_id, unit.side, unit.cluster_id)
