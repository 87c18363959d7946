"""Rejected rewrites by side and check, against loops over attempts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.columns import COLUMNS
from harness.tasks.rewrite_robustness.rejections import rejection_rows
from scipy import stats

from harness.errors import InputError
from harness.preference import units
from harness.testing import planted

from .scene import MARK, NOISE, PLANTED, hash_of, items

OUTCOMES = ("none", "valid", "valid", "valid", "digits", "urls", "digits+urls")
PARAPHRASE = ("lm/paraphrase/0", "lm/paraphrase/1")


def _status(way, unit):
    fails_more = 1 if unit.side.startswith("rejected") else 0
    return OUTCOMES[max(hash_of(f"{way}/{unit.unit_id}") % len(OUTCOMES) - fails_more, 0)]


def _table(pairs, ways, said=_status, members=(("a", 0), ("a", 1), ("b", 0))):
    known = list(units(pairs))
    columns = {f"x_status/{way}": [said(way, u) for u in known] for way in ways}
    frame = pd.DataFrame({"unit_id": [u.unit_id for u in known], **columns})
    return planted.table(known, planted.noise, members).merge(frame, on="unit_id")


def _loop(pairs, ways, said=_status):
    """[(item, side, problems)] of attempts on replies that the rewriting applies to."""
    found = [(u.item_id, u.side.partition("/")[0], said(way, u)) for way in ways for u in units(pairs)]
    return [(i, side, () if s == "valid" else tuple(s.split("+"))) for i, side, s in found if s not in (None, "none")]


def _of(metrics, name, transform, **dims):
    (one,) = [
        m for m in metrics if m.name == name and m.dims["transform"] == transform and dims.items() <= m.dims.items()
    ]
    return one


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return (*items(rng, 60), *items(rng, 30, shape=(1, 3), per_cluster=2))


@pytest.mark.parametrize(("transform", "ways"), [("planted_mark", (MARK,)), ("paraphrase", PARAPHRASE)])
def test_rates_are_those_of_a_loop(pairs, transform, ways):
    found = rejection_rows(_table(pairs, (MARK, *PARAPHRASE)))
    tried = _loop(pairs, ways)
    passed = _of(found, "valid_texts", transform)
    assert passed.value == pytest.approx(np.mean([not problems for *_, problems in tried]))
    assert passed.n == len(tried)
    for side in ("chosen", "rejected"):
        mine = [problems for _, of, problems in tried if of == side]
        for problem in ("digits", "urls"):
            rate = _of(found, "rejected_rate", transform, side=side, problem=problem)
            assert rate.value == pytest.approx(np.mean([problem in problems for problems in mine])), (side, problem)
            assert rate.n == len(mine)
            assert 0 < rate.value < 1


@pytest.mark.parametrize(("transform", "ways"), [("planted_mark", (MARK,)), ("paraphrase", PARAPHRASE)])
def test_the_gap_is_paired_by_item(pairs, transform, ways):
    gap = _of(rejection_rows(_table(pairs, (MARK, *PARAPHRASE))), "rejection_gap_pp", transform)
    tried = _loop(pairs, ways)
    shares = []
    for item in pairs:
        sides = [[bool(p) for i, of, p in tried if i == item.id and of == side] for side in ("chosen", "rejected")]
        if all(sides):
            shares.append(np.mean(sides[0]) - np.mean(sides[1]))
    assert gap.value == pytest.approx(100 * np.mean(shares))
    assert gap.n == len(shares) < len(pairs)
    assert gap.value > 0
    assert gap.ci.low < gap.value < gap.ci.high


def test_one_pair_a_prompt_is_tested_by_exact_mcnemar():
    pairs = items(np.random.default_rng(1), 90)
    gap = _of(rejection_rows(_table(pairs, (MARK,))), "rejection_gap_pp", "planted_mark")
    by_side = [
        {i: bool(problems) for i, side, problems in _loop(pairs, (MARK,)) if side == of}
        for of in ("chosen", "rejected")
    ]
    both = [(by_side[0][i], by_side[1][i]) for i in by_side[0] if i in by_side[1]]
    lost, won = both.count((True, False)), both.count((False, True))
    assert lost > won
    assert gap.p == pytest.approx(stats.binomtest(lost, lost + won).pvalue)


def test_models_and_order_have_no_part_in_it(pairs):
    table = _table(pairs, (MARK, NOISE))
    found = rejection_rows(table)
    assert found == rejection_rows(table[table["member"] == "b"])
    assert found == rejection_rows(table.sample(frac=1, random_state=1))
    again = table.assign(replicate=1)
    rewritten = table.assign(variant=MARK, unit_id=table["unit_id"] + "@" + MARK)
    assert found == rejection_rows(pd.concat([table, again, rewritten], ignore_index=True))
    assert not any("member" in m.dims or "arm" in m.dims for m in found)
    assert len({m.key for m in found}) == len(found)
    assert all(m.unit == COLUMNS[m.name].unit for m in found)
    noise = next(m for m in found if m.dims["set"] == "noise")
    assert noise.dims == {
        "set": "noise",
        "transform": PLANTED[2].name,
        "family": "planted_noise",
        "rate": "3%",
    }


def test_what_was_not_tried_or_does_not_apply_is_in_no_rate(pairs):
    def said(way, unit):
        return {0: None, 1: "none", 2: "valid"}.get(hash_of(unit.unit_id) % 4, "digits")

    found = rejection_rows(_table(pairs, (MARK,), said))
    tried = _loop(pairs, (MARK,), said)
    one = _of(found, "valid_texts", "planted_mark")
    assert one.n == len(tried)
    assert 0.3 < one.value < 0.7
    assert {m.dims.get("problem") for m in found} == {None, "digits"}


def test_nothing_that_applies_is_null_with_a_reason(pairs):
    found = rejection_rows(_table(pairs, (MARK,), lambda way, unit: "none"))
    assert {m.name for m in found} == {"valid_texts", "rejection_gap_pp"}
    assert all(m.value is None and m.reason for m in found)
    assert rejection_rows(_table(pairs, ())) == []


def test_a_gap_needs_twenty_prompts():
    for n in (19, 20):
        pairs = items(np.random.default_rng(0), n)
        table = _table(pairs, (MARK,), lambda way, unit: "valid")
        gap = _of(rejection_rows(table), "rejection_gap_pp", "planted_mark")
        assert (gap.value, gap.reason) == (
            (0.0, None) if n == 20 else (None, "19 prompts to speak of: a rate needs 20")
        )


def test_twice_rewritten_replies_are_counted_and_unknown_transforms_refused(pairs):
    found = rejection_rows(_table(pairs, ("lm/style:formal:up:down/0",)))
    assert _of(found, "valid_texts", "style:formal:up:down").dims["set"] == "style"
    with pytest.raises(InputError, match="plugin"):
        rejection_rows(_table(pairs, ("rewrite/nobody_made_this",)))
