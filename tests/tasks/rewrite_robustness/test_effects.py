"""Columns of a rewriting against plain loops, and what must and must not move them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.columns import COLUMNS
from harness.tasks.rewrite_robustness.compared import ARMS, compared
from harness.tasks.rewrite_robustness.effects import effect_rows
from harness.tasks.rewrite_robustness.params import Params
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.testing import planted

from .scene import BAIT, MARK, NOISE, OTHER, hash_of, items, marked, reply, smooth, table, whole

PARAMS = Params(draws=100)
MEMBER = {"member": "model"}
UNIT = np.array([2.0, 4.0])
ALL = 160
PARAPHRASE = ("lm/paraphrase/0", "lm/paraphrase/1")


def _some(unit):
    return marked(unit) if hash_of("some" + unit.unit_id) % 4 else None


def _failing(unit):
    return ("digits",) if hash_of("bad" + unit.unit_id) % 5 == 0 else ()


WAYS = {MARK: _some, OTHER: marked, NOISE: _some, BAIT: marked}


def _pairs(n=80, **how):
    return items(np.random.default_rng(0), n, **how)


def _rows(rows, unit=UNIT, params=PARAMS):
    return effect_rows(compared(rows), unit[: rows["seed"].nunique()], params, MEMBER)


def _by_key(metrics):
    found = {m.key: m for m in metrics}
    assert len(found) == len(metrics)
    return found


def _of(metrics, transform, arm="both"):
    mine = [m for m in metrics if m.dims.get("transform") == transform and m.dims.get("arm") == arm]
    return {m.name if "rows" not in m.dims else "drop_all": m for m in mine}


def _sides(rows, variant, seed=0, replicate=0):
    mine = rows[(rows["variant"] == variant) & (rows["seed"] == seed) & (rows["replicate"] == replicate)]
    return {(r.item_id, r.side): r for r in mine.itertuples()}


def _credit(margin):
    return 0.5 if margin == 0 else float(margin > 0)


def _verdicts(rows, variant, arm, seed=0, valid_only=True):
    """[(before, after)] of the pairs of one reply a side, by a loop."""
    old, new = _sides(rows, "original", seed), _sides(rows, variant, seed)
    found = []
    for item in sorted({i for i, _ in old}):
        exchanged = [s for s in ("chosen", "rejected") if arm in ("both", f"{s}_only") and (item, s) in new]
        if not exchanged or (valid_only and not all(new[item, s].x_valid for s in exchanged)):
            continue
        then = {s: (new if s in exchanged else old)[item, s].score for s in ("chosen", "rejected")}
        before = old[item, "chosen"].score - old[item, "rejected"].score
        found.append((before, then["chosen"] - then["rejected"]))
    return found


@pytest.fixture(scope="module")
def tied():
    return table(_pairs(ALL), [whole("a")], WAYS, _failing)


@pytest.mark.parametrize("arm", ARMS)
def test_rates_are_those_of_a_loop(tied, arm):
    mine = _of(_rows(tied), "planted_mark", arm)
    pairs = [(_credit(a), _credit(b)) for a, b in _verdicts(tied, MARK, arm)]
    n = len(pairs)
    right, wrong = [b for a, b in pairs if a == 1], [b for a, b in pairs if a == 0]
    assert mine["acc_orig"].value == pytest.approx(sum(a for a, _ in pairs) / n)
    assert mine["acc_new"].value == pytest.approx(sum(b for _, b in pairs) / n)
    assert mine["drop_pp"].value == pytest.approx(100 * sum(a - b for a, b in pairs) / n)
    assert mine["break_rate"].value == pytest.approx(sum(1 - b for b in right) / len(right))
    assert mine["fix_rate"].value == pytest.approx(sum(wrong) / len(wrong))
    assert mine["flip_rate"].value == pytest.approx(sum(abs(a - b) for a, b in pairs) / n)
    assert mine["ties"].value == sum(0.5 in pair for pair in pairs)
    assert 0 < mine["ties"].value < n
    ns = {name: mine[name].n for name in ("acc_orig", "acc_new", "drop_pp", "flip_rate", "break_rate", "fix_rate")}
    whole_n = dict.fromkeys(("acc_orig", "acc_new", "drop_pp", "flip_rate"), n)
    assert ns == {**whole_n, "break_rate": len(right), "fix_rate": len(wrong)}
    assert len(right) + len(wrong) < n


@pytest.mark.parametrize("arm", ARMS)
def test_validity_is_counted_over_what_is_touched(tied, arm):
    mine = _of(_rows(tied), "planted_mark", arm)
    valid, touched = (len(_verdicts(tied, MARK, arm, valid_only=v)) for v in (True, False))
    assert mine["n_valid"].value == valid
    assert mine["valid_rate"].value == valid / touched
    assert mine["valid_rate"].n == touched
    assert mine["applicable_rate"].value == touched / ALL
    assert 0 < valid < touched < ALL
    texts = [t for (_, s), t in _sides(tied, MARK).items() if t.x_valid and arm in ("both", f"{s}_only")]
    assert mine["edit_ratio"].value == pytest.approx(np.mean([t.x_edit_ratio for t in texts]))
    assert mine["similarity_mean"].value == pytest.approx(np.mean([t.x_similarity for t in texts]))
    without = _of(_rows(tied.assign(x_similarity=np.nan)), "planted_mark", arm)["similarity_mean"]
    assert (without.value, without.reason) == (None, "no encoder")


@pytest.mark.parametrize("arm", ARMS)
def test_invalid_pairs_are_only_in_the_row_of_all(tied, arm):
    mine = _of(_rows(tied), "planted_mark", arm)
    everything = [_credit(a) - _credit(b) for a, b in _verdicts(tied, MARK, arm, valid_only=False)]
    assert mine["drop_all"].value == pytest.approx(100 * np.mean(everything))
    assert mine["drop_all"].n == len(everything) > mine["drop_pp"].n
    assert mine["drop_all"].value != mine["drop_pp"].value
    rows = tied.assign(x_valid=tied["x_valid"].where(tied["x_valid"].isna(), 1.0))
    assert _of(_rows(rows), "planted_mark", arm)["drop_pp"].value == mine["drop_all"].value


def test_several_seeds_have_denominators_of_their_own():
    rows = table(_pairs(), [whole("a"), whole("b")], WAYS)
    mine = _of(_rows(rows), "planted_mark")
    pairs = [[(_credit(a), _credit(b)) for a, b in _verdicts(rows, MARK, "both", seed)] for seed in (0, 1)]
    broken = [np.mean([1 - b for a, b in one if a == 1]) for one in pairs]
    fixed = [np.mean([b for a, b in one if a == 0]) for one in pairs]
    assert mine["break_rate"].value == pytest.approx(np.mean(broken))
    assert mine["fix_rate"].value == pytest.approx(np.mean(fixed))
    either = zip(*pairs, strict=True)
    assert mine["break_rate"].n == sum(any(a == 1 for a, _ in both) for both in either)
    drops = [np.mean([a - b for a, b in one]) for one in pairs]
    assert mine["drop_pp"].value == pytest.approx(100 * np.mean(drops))
    alone = [_of(_rows(rows[rows["seed"] == s], UNIT[s:]), "planted_mark")["drop_pp"] for s in (0, 1)]
    mean = np.mean([[a - b for a, b in one] for one in pairs], axis=0)
    items_se = mean.std(ddof=1) / len(mean) ** 0.5
    assert mine["drop_pp"].se == pytest.approx(100 * (items_se**2 + np.var(drops, ddof=1) / 2) ** 0.5)
    assert [m.value for m in alone] == pytest.approx([100 * d for d in drops])


def test_drop_is_tested_by_exact_mcnemar():
    rows = table(_pairs(), [smooth("a", 1.5)], WAYS)
    mine = _of(_rows(rows), "planted_mark")["drop_pp"]
    pairs = [(_credit(a), _credit(b)) for a, b in _verdicts(rows, MARK, "both")]
    lost, won = (sum(pair == want for pair in pairs) for want in ((1, 0), (0, 1)))
    assert lost != won
    assert mine.p == pytest.approx(stats.binomtest(lost, lost + won).pvalue)


def test_several_pairs_a_prompt_are_tested_by_sign_flips():
    rows = table(_pairs(40, per_cluster=2), [smooth("a", 0.8)], {MARK: marked})
    mine = _of(_rows(rows), "planted_mark")["drop_pp"]
    by_prompt = {}
    for i, (a, b) in enumerate(_verdicts(rows, MARK, "both")):
        by_prompt[i // 2] = by_prompt.get(i // 2, 0) + _credit(a) - _credit(b)
    sums = np.array([s for s in by_prompt.values() if s])
    assert 2 < len(sums) <= 16
    totals = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=len(sums))]
    assert mine.p == pytest.approx(np.mean(np.array(totals) >= abs(sums.sum())))
    assert mine.n_clusters == 20


def test_holm_is_over_the_transforms_of_an_arm():
    rows = table(_pairs(120), [lambda u: smooth("a", 1.0)(u) - ("MARK" in reply(u)) * (u.side == "chosen") * 0.4], WAYS)
    found = _rows(rows)
    for arm in ARMS:
        mine = [m for m in found if m.name == "drop_pp" and m.dims["arm"] == arm and "rows" not in m.dims]
        family = [m for m in mine if m.dims["set"] != "identity"]
        assert len(family) == 4
        wanted = multipletests([m.p for m in family], method="holm")[1]
        assert [m.p_holm for m in family] == pytest.approx(list(wanted))
        assert all(m.p_holm is None for m in mine if m.dims["set"] == "identity")
    assert all(m.p_holm is None for m in found if "rows" in m.dims or m.name != "drop_pp")


def test_drop_rel_is_of_what_was_above_chance():
    rows = table((*_pairs(60), *_pairs(40, shape=(1, 3))), [smooth("a", 1.0)], {MARK: marked})
    mine = _of(_rows(rows), "planted_mark")
    chance = (60 / 2 + 40 / 4) / 100
    right, new = mine["acc_orig"].value, mine["acc_new"].value
    assert mine["drop_rel"].value == pytest.approx((right - new) / (right - chance))
    assert mine["drop_rel"].ci.low < mine["drop_rel"].value < mine["drop_rel"].ci.high
    noise = _of(_rows(table(_pairs(), [planted.noise], {MARK: marked})), "planted_mark")
    assert noise["acc_orig"].ci.low < 0.5
    assert noise["drop_rel"].value is None
    assert "chance 0.500" in noise["drop_rel"].reason


@pytest.mark.parametrize("arm", ARMS)
def test_scores_move_by_what_a_loop_finds(arm):
    rows = table(_pairs(), [smooth("a"), smooth("b")], WAYS, _failing)
    mine = _of(_rows(rows), "planted_mark", arm)
    moved, ratios, ranks = [], [], []
    for seed in (0, 1):
        old, new = _sides(rows, "original", seed), _sides(rows, MARK, seed)
        kept = [key for key, t in new.items() if t.x_valid and arm in ("both", f"{key[1]}_only")]
        moved.append([(new[key].score - old[key].score) / UNIT[seed] for key in kept])
        pairs = np.array(_verdicts(rows, MARK, arm, seed))
        ratios.append((pairs[:, 1] * pairs[:, 0]).sum() / (pairs[:, 0] ** 2).sum())
        ranks.append(stats.spearmanr([old[k].score for k in kept], [new[k].score for k in kept])[0])
    assert mine["shift"].value == pytest.approx(np.mean(moved))
    assert mine["abs_shift"].value == pytest.approx(np.mean(np.abs(moved)))
    assert mine["shift"].n == mine["abs_shift"].n == len(moved[0])
    assert mine["margin_ratio"].value == pytest.approx(np.mean(ratios))
    assert ("spearman" in mine) == (arm == "both")
    if arm == "both":
        assert mine["spearman"].value == pytest.approx(np.mean(ranks))


def test_both_sides_move_as_each_side_does():
    found = _rows(table(_pairs(), [smooth("a")], WAYS, _failing))
    both, *single = (_of(found, "planted_mark", arm) for arm in ARMS)
    for name in ("shift", "abs_shift", "edit_ratio", "similarity_mean"):
        parts = [one[name] for one in single]
        assert both[name].n == sum(m.n for m in parts)
        assert both[name].value == pytest.approx(sum(m.value * m.n for m in parts) / both[name].n)


def test_what_changes_no_score_costs_nothing():
    score = smooth("a", 0.0)
    found = _rows(table(_pairs(), [score, smooth("b", 0.0)], WAYS))
    for transform, arm in (("identity", "both"), *product(("planted_mark", "planted_bait"), ARMS)):
        mine = _of(found, transform, arm)
        for name in ("drop_pp", "drop_rel", "break_rate", "fix_rate", "flip_rate", "shift", "abs_shift", "drop_all"):
            assert mine[name].value == 0, (transform, arm, name)
        assert mine["margin_ratio"].value == pytest.approx(1)
        assert mine["acc_orig"].value == mine["acc_new"].value
    assert _of(found, "identity")["spearman"].value == pytest.approx(1)


def test_a_constant_reward_is_all_ties():
    mine = _of(_rows(table(_pairs(), [planted.constant], WAYS), np.zeros(1)), "planted_mark")
    assert mine["drop_pp"].value == mine["flip_rate"].value == 0
    assert mine["acc_orig"].value == mine["acc_new"].value == 0.5
    assert mine["ties"].value == mine["n_valid"].value
    for name in ("break_rate", "fix_rate", "drop_rel", "shift", "abs_shift", "margin_ratio", "spearman"):
        assert mine[name].value is None
        assert mine[name].reason
    assert "margins have no unit" in mine["shift"].reason


def test_exchanged_sides_turn_every_verdict_round(tied):
    other = {"chosen": "rejected", "rejected": "chosen"}
    turned = tied.assign(side=tied["side"].map(other))
    found, back = _rows(tied), _rows(turned)
    arms = {"both": "both", "chosen_only": "rejected_only", "rejected_only": "chosen_only"}
    for transform, (arm, mirrored) in product(("planted_mark", "planted_bait"), arms.items()):
        one, two = _of(found, transform, arm), _of(back, transform, mirrored)
        for name in ("acc_orig", "acc_new"):
            assert two[name].value == pytest.approx(1 - one[name].value)
        assert two["drop_pp"].value == pytest.approx(-one["drop_pp"].value)
        assert two["break_rate"].value == pytest.approx(one["fix_rate"].value)
        for name in ("flip_rate", "ties", "n_valid", "valid_rate", "shift", "margin_ratio"):
            assert two[name].value == pytest.approx(one[name].value)


def test_a_constant_a_prompt_and_the_scale_move_no_verdict(tied):
    offsets = tied["cluster_id"].map(lambda c: float(hash_of(c) % 64))
    found, moved = (_by_key(m) for m in (_rows(tied), _rows(tied.assign(score=4 * tied["score"] + offsets), 4 * UNIT)))
    assert set(found) == set(moved)
    for key, one in found.items():
        if key[0] in ("spearman", "noise_score"):
            continue
        assert moved[key] == one


def test_order_of_rows_moves_nothing(tied):
    found = _by_key(_rows(tied))
    shuffled = _by_key(_rows(tied.sample(frac=1, random_state=1)))
    assert found == shuffled


def test_a_reward_that_reads_a_marker_breaks_exactly_there():
    def score(unit):
        return planted.oracle(unit) - 2 * ("MARK" in reply(unit))

    found = _rows(table(_pairs(), [score], {MARK: marked, OTHER: lambda unit: reply(unit) + " other"}))
    broken = {
        (m.dims["transform"], m.dims["arm"]): m.value
        for m in found
        if m.name == "break_rate" and m.dims["set"] != "identity"
    }
    assert broken == {
        key: float(key == ("planted_mark", "chosen_only")) for key in product(("planted_mark", "planted_other"), ARMS)
    }


def test_two_samples_are_two_pairs_of_one_prompt():
    rows = table(_pairs(), [smooth("a", 1.0)], dict.fromkeys(PARAPHRASE, marked))
    mine = _of(_rows(rows), "paraphrase")
    single = [_verdicts(rows, variant, "both") for variant in PARAPHRASE]
    drops = [_credit(a) - _credit(b) for one in single for a, b in one]
    assert mine["drop_pp"].value == pytest.approx(100 * np.mean(drops))
    assert (mine["drop_pp"].n, mine["drop_pp"].n_clusters) == (160, 80)
    assert mine["applicable_rate"].value == 1
    by_prompt = np.add(*(np.array([_credit(a) - _credit(b) for a, b in one]) for one in single))
    se = np.sqrt(80 / 79 * ((by_prompt - by_prompt.mean()) ** 2).sum()) / 160
    assert mine["drop_pp"].se == pytest.approx(100 * se)


def test_few_prompts_have_no_rates():
    for n, null in ((19, True), (20, False)):
        mine = _of(_rows(table(_pairs(n), [smooth("a", 0.0)], WAYS)), "planted_bait")
        for name in ("acc_orig", "acc_new", "drop_pp", "drop_all", "flip_rate", "shift", "abs_shift", "margin_ratio"):
            assert (mine[name].value is None) == null, name
            assert mine[name].reason == ("19 prompts to speak of: a rate needs 20" if null else None)
        assert mine["n_valid"].value == n
        assert mine["edit_ratio"].value is not None
    many = _of(_rows(table(_pairs(80), [planted.oracle], WAYS)), "planted_bait")
    assert many["break_rate"].value == 0
    assert many["fix_rate"].reason == "0 prompts to speak of: a rate needs 20"


def test_what_touches_nothing_says_so_and_no_more():
    mine = _of(_rows(table(_pairs(), [smooth("a")], {MARK: lambda unit: None})), "planted_mark")
    assert mine.keys() == {"n_valid", "applicable_rate", "n_failed", "drop_pp"}
    assert (mine["n_valid"].value, mine["applicable_rate"].value) == (0, 0)
    assert mine["drop_pp"].value is None
    assert mine["drop_pp"].reason


def test_a_drop_of_nothing_is_bounded_by_the_share_that_may_turn():
    """Wilson's limit for 0 of n, not an interval of no width."""
    mine = _of(_rows(table(_pairs(), [planted.oracle], WAYS)), "planted_bait")
    n, t = mine["n_valid"].value, stats.t.ppf(0.975, mine["drop_pp"].n_clusters - 1)
    limit = 100 * t**2 / (n + t**2)
    assert mine["drop_pp"].value == 0
    assert mine["drop_pp"].p == 1
    assert (mine["drop_pp"].ci.low, mine["drop_pp"].ci.high) == pytest.approx((-limit, limit))


def test_noise_is_what_scoring_again_does():
    again = [whole("b")]
    found = _rows(table(_pairs(), [whole("a")], {}, again=again))
    floor, largest = (next(m for m in found if m.name == name) for name in ("noise_floor", "noise_score"))
    assert floor.dims == largest.dims == MEMBER
    assert floor.value == _of(found, "identity")["flip_rate"].value > 0
    rows = table(_pairs(), [whole("a")], {}, again=again)
    old, new = _sides(rows, "original"), _sides(rows, "original", replicate=1)
    assert largest.value == max(abs(old[k].score - new[k].score) for k in old)
    assert not [
        m for m in _rows(table(_pairs(), [whole("a")], {MARK: marked}).query("replicate == 0")) if "noise" in m.name
    ]


def test_failed_scores_are_counted():
    rows = table(_pairs(), [lambda u: None if u.item_id.endswith("7") else smooth("a")(u)], WAYS)
    mine = _of(_rows(rows), "planted_bait")
    assert (mine["n_failed"].value, mine["n_valid"].value) == (8, 72)
    assert mine["applicable_rate"].value == 1


def test_every_row_is_a_column_of_the_task(tied):
    found = _rows(tied)
    _by_key(found)
    assert all(m.unit == COLUMNS[m.name].unit for m in found)
    assert {m.dims["set"] for m in found if "set" in m.dims} == {"identity", "core", "noise", "stress"}
    assert effect_rows([], UNIT[:1], PARAMS, MEMBER) == []
    assert isinstance(tied, pd.DataFrame)
