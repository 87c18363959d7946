"""Kappa of texts and correlation of differences, joined by text whatever the order."""

from __future__ import annotations

import numpy as np
import pytest

from harness.labels import LabelRow, text_id
from harness.llm.reliability import reliability
from harness.llm.schema import LABELS, NUMBERED
from harness.preference import units
from harness.testing import planted

ITEMS = planted.items(np.random.default_rng(0), 60)
UNITS = {text_id(u.conversation): u for u in units(ITEMS)}
NO = {name: [] if f.several else "no" for name, f in LABELS.items()} | {"sentiment": "neutral"}


def rows(labeled_by, said):
    return [
        LabelRow(text=text, labeled_by=labeled_by, labeler="m", schema_sha256="s", labels=NO | {"helpful": value})
        for text, value in said.items()
    ]


def drawn(seed, values=("yes", "no", "unclear")):
    rng = np.random.default_rng(seed)
    return {text: str(rng.choice(values)) for text in UNITS}


def found(*passes):
    given = [row for p in passes for row in p]
    return {(r.field, r.against): r for r in reliability(given, ITEMS)}


def cohen(a, b):
    values = sorted({*a, *b})
    observed = sum(x == y for x, y in zip(a, b, strict=True)) / len(a)
    chance = sum(a.count(v) * b.count(v) for v in values) / len(a) ** 2
    return (observed - chance) / (1 - chance)


def test_kappa_is_cohens_over_the_texts_both_labelled_with_unclear_as_a_value():
    first, again = drawn(1), drawn(2)
    mixed = {t: first[t] if i % 2 else again[t] for i, t in enumerate(UNITS) if i < 70}
    expected = cohen([first[t] for t in mixed], list(mixed.values()))
    results = found(rows("first", first), rows("retest", mixed))
    one = results["helpful", "retest"]
    assert one.kappa.value == pytest.approx(expected)
    assert one.kappa.n == 70
    assert [key[0] for key in results] == list(NUMBERED)
    rng = np.random.default_rng(0)
    shuffled = rows("first", first) + rows("retest", mixed)
    rng.shuffle(shuffled)
    assert {(r.field, r.against): r for r in reliability(shuffled, ITEMS[::-1])} == results


def test_labels_drawn_at_random_agree_by_chance_and_are_weak():
    one = found(rows("first", drawn(1)), rows("second", drawn(2)))["helpful", "second"]
    assert abs(one.kappa.value) < 0.25
    assert one.weak
    same = found(rows("first", drawn(1)), rows("second", drawn(1)))["helpful", "second"]
    assert same.kappa.value == pytest.approx(1.0)
    assert not same.weak
    assert same.differences.value == pytest.approx(1.0)


def test_differences_correlate_over_whole_pairs_with_unclear_missing():
    first, again = drawn(3), drawn(4)
    number = {"yes": 1.0, "no": 0.0, "unclear": np.nan}
    xs, ys = [], []
    for item in ITEMS:
        a, b = (text_id(u.conversation) for u in units([item]))
        xs.append(number[first[a]] - number[first[b]])
        ys.append(number[again[a]] - number[again[b]])
    x, y = np.array(xs), np.array(ys)
    known = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[known], y[known]
    one = found(rows("first", first), rows("retest", again))["helpful", "retest"]
    assert one.differences.value == pytest.approx((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))
    assert one.differences.n == known.sum()


def test_what_is_not_there_is_null_with_a_reason():
    first = drawn(1)
    part = {t: v for i, (t, v) in enumerate(first.items()) if i % 2 == 0}
    only_helpful = [r.model_copy(update={"labels": {"helpful": "yes"}}) for r in rows("gold", part)]
    failed = [r.model_copy(update={"labels": None, "error": "refused"}) for r in rows("second", first)]
    elsewhere = [r.model_copy(update={"text": "f" * 32}) for r in rows("second", part)][:1]
    results = found(rows("first", first), only_helpful, failed, elsewhere)
    assert {against for _, against in results} == {"gold"}
    assert results["helpful", "gold"].kappa.value is not None
    assert results["helpful", "gold"].differences.value is None, "one side of each pair alone"
    honest = results["honest", "gold"]
    assert (honest.kappa.value, honest.differences.value, honest.weak) == (None, None, False)
    assert honest.kappa.reason
    alone = found(rows("gold", first))["helpful", "gold"]
    assert alone.kappa.reason
    assert alone.differences.reason
