"""Valid rewrites and problems by kind and side."""

from __future__ import annotations

import numpy as np

from harness.labels import text_id
from harness.llm.rejections import tallies
from harness.preference import units
from harness.rewrites import RewriteRow
from tests.llm.rewriting import item, items


def row(text, problems=(), rewritten="x", kind="paraphrase", sample=0, error=None):
    return RewriteRow(text=text, kind=kind, sample=sample, rewriter="m", prompt="1", rewritten=rewritten, problems=problems, error=error)  # fmt: skip


def sides(of):
    return {
        side: [text_id(u.conversation) for u in units(of) if u.side.startswith(side)] for side in ("chosen", "rejected")
    }


def test_every_row_counts_on_its_side_by_kind_and_problem_whatever_their_order():
    of = items(4)
    by = sides(of)
    rows = [
        row(by["chosen"][0]),
        row(by["chosen"][1], ("digits", "length")),
        row(by["chosen"][1], ("length",), sample=1),
        row(by["chosen"][2], rewritten=None, error="quarantined: it holds nothing"),
        row(by["rejected"][0], ("meaning",)),
        row(by["rejected"][1]),
        row(by["rejected"][1], kind="style:short:up"),
    ]
    found = tallies(rows, of)
    assert [(t.kind, t.side, t.n, t.valid) for t in found] == [
        ("paraphrase", "chosen", 4, 1),
        ("paraphrase", "rejected", 2, 1),
        ("style:short:up", "chosen", 0, 0),
        ("style:short:up", "rejected", 1, 1),
    ]
    assert list(found[0].problems.items()) == [("length", 2), ("digits", 1), ("quarantined", 1)]
    assert found[1].problems == {"meaning": 1}
    assert tallies(list(np.random.default_rng(0).permutation(np.array(rows, dtype=object))), of[::-1]) == found


def test_a_text_on_both_sides_counts_on_both():
    of = [item("a", "hi", "same", "other"), item("b", "hi", "third", "same")]
    (shared,) = set(sides(of)["chosen"]) & set(sides(of)["rejected"])
    assert [(t.side, t.n, t.valid) for t in tallies([row(shared)], of)] == [("chosen", 1, 1), ("rejected", 1, 1)]


def test_no_rows_no_tallies():
    assert tallies([], items(1)) == []
