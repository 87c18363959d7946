"""Verdicts before and after, against loops over items; what is left out, and what row order does not touch."""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.compared import ARMS, Compared, compared

from harness.errors import InputError
from harness.text.transform import TRANSFORMS

from .scene import BAIT, MARK, NOISE, hash_of, items, marked, table, whole

PARAPHRASE = ("lm/paraphrase/0", "lm/paraphrase/1")


def _some(unit):
    return marked(unit) if hash_of("some" + unit.unit_id) % 3 else None


def _other(unit):
    return marked(unit) + "2" if hash_of("other" + unit.unit_id) % 2 else None


def _failing(unit):
    return ("digits",) if hash_of("bad" + unit.unit_id) % 4 == 0 else ()


WAYS = {MARK: _some, NOISE: _other, PARAPHRASE[0]: _some, PARAPHRASE[1]: _other}


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    return (*items(rng, 40, per_cluster=2), *items(rng, 15, shape=(1, 3)), *items(rng, 15, shape=(2, 2)))


@pytest.fixture
def rows(scene):
    def sometimes(name):
        score = whole(name)
        return lambda unit: None if hash_of(f"fail/{name}/{unit.unit_id}") % 25 == 0 else score(unit)

    return table(scene, [sometimes("a"), sometimes("b")], WAYS, _failing)


def _credit(chosen, rejected):
    low, high = min(chosen), max(rejected)
    return float(low > high) if low != high else 1 / comb(chosen.count(low) + rejected.count(low), chosen.count(low))


def _known(rows):
    found = rows[rows["status"] == "ok"]
    return {(r.item_id, r.side, r.variant, r.replicate, r.seed): r for r in found.itertuples()}


def _expected(rows, pairs, variants, arm):
    known = _known(rows)
    kept, failed = {}, 0
    texts = set(rows[["item_id", "side", "variant"]].itertuples(index=False, name=None))
    exchanged = {"both": ("chosen", "rejected")}.get(arm, (arm.partition("_")[0],))
    for variant in variants:
        for item in pairs:
            sides = sorted(rows.loc[rows["item_id"] == item.id, "side"].unique())
            used = {s for s in sides if (item.id, s, variant) in texts and s.partition("/")[0] in exchanged}
            if not used:
                continue
            name = f"{item.id}/{variant[-1]}" if variant.startswith("lm/") else item.id
            found = []
            for seed in (0, 1):
                old = {s: known.get((item.id, s, "original", 0, seed)) for s in sides}
                new = {s: known.get((item.id, s, variant, 0, seed)) if s in used else old[s] for s in sides}
                found.append((old, new))
            if any(r is None for pair in found for side in pair for r in side.values()):
                failed += 1
                continue
            kept[name] = [[_verdict(side) for side in pair] for pair in found], used
    return kept, failed


def _verdict(replies):
    chosen = [r.score for s, r in replies.items() if s.startswith("chosen")]
    rejected = [r.score for s, r in replies.items() if s.startswith("rejected")]
    return _credit(chosen, rejected), min(chosen) - max(rejected)


def _of(found: list[Compared], name: str, arm: str) -> Compared:
    return next(c for c in found if c.rewriting.name == name and c.rewriting.arm == arm)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize(
    ("name", "variants"), [("planted_mark", [MARK]), ("planted_noise_3", [NOISE]), ("paraphrase", PARAPHRASE)]
)
def test_verdicts_are_those_of_a_loop(scene, rows, name, variants, arm):
    one = _of(compared(rows), name, arm)
    expected, failed = _expected(rows, scene, variants, arm)
    assert set(one.pairs.index) == set(expected)
    assert failed
    assert one.failed == failed
    for i, pair in enumerate(one.pairs.index):
        for seed in (0, 1):
            (credit, margin), (credit_after, margin_after) = expected[pair][0][seed]
            assert one.before[seed, i] == credit
            assert one.after[seed, i] == credit_after
            assert one.margin_before[seed, i] == margin
            assert one.margin_after[seed, i] == margin_after


@pytest.mark.parametrize("arm", ARMS)
def test_texts_are_the_rewritten_replies_of_the_pairs(scene, rows, arm):
    one = _of(compared(rows), "paraphrase", arm)
    expected, _ = _expected(rows, scene, PARAPHRASE, arm)
    wanted = sum(len(used) for _, used in expected.values())
    assert len(one.texts) == wanted
    known = rows[rows["variant"].isin(PARAPHRASE) & (rows["status"] == "ok")]
    for seed in (0, 1):
        mine = known[(known["seed"] == seed) & known["side"].str.startswith("chosen")]
        names = [f"{i}/{v[-1]}" for i, v in zip(mine["item_id"], mine["variant"], strict=True)]
        total = mine["score"][[name in expected for name in names]].sum() if arm != "rejected_only" else 0.0
        assert one.new[seed, (one.texts["side"] == "chosen").to_numpy()].sum() == total
    assert set(one.texts["side"]) == ({"chosen", "rejected"} if arm == "both" else {arm.partition("_")[0]})
    assert set(one.texts["item_id"]) == set(one.pairs["item_id"])


def test_each_text_keeps_its_own_numbers(rows):
    one = _of(compared(rows), "planted_mark", "both")
    mine = rows[(rows["variant"] == MARK) & (rows["seed"] == 1)]
    single = mine[~mine["side"].str.contains("/")].set_index(["item_id", "side"])
    base = rows[(rows["variant"] == "original") & (rows["seed"] == 1) & (rows["replicate"] == 0)]
    base = base.set_index(["item_id", "side"])
    checked = 0
    for i, text in enumerate(one.texts.itertuples()):
        if (text.item_id, text.side) in single.index:
            wanted = single.loc[(text.item_id, text.side)]
            assert text.edit_ratio == wanted["x_edit_ratio"]
            assert text.similarity == wanted["x_similarity"]
            assert text.valid == bool(wanted["x_valid"])
            assert text.cluster_id == wanted["cluster_id"]
            assert one.new[1, i] == wanted["score"]
            assert one.old[1, i] == base.loc[(text.item_id, text.side), "score"]
            checked += 1
    assert checked > 20


def test_a_pair_is_valid_where_every_rewrite_used_is(scene, rows):
    both, chosen = (_of(compared(rows), "planted_mark", arm) for arm in ("both", "chosen_only"))
    bad = rows[(rows["variant"] == MARK) & (rows["x_valid"] == 0)]
    assert set(both.pairs.index[~both.pairs["valid"]]) == set(bad["item_id"]) & set(both.pairs.index)
    of_chosen = set(bad.loc[bad["side"].str.startswith("chosen"), "item_id"])
    assert set(chosen.pairs.index[~chosen.pairs["valid"]]) == of_chosen & set(chosen.pairs.index)
    assert 0 < len(both.valid.pairs) < len(both.pairs)
    assert both.valid.pairs["valid"].all()
    assert both.valid.texts["valid"].all()
    assert len(both.valid.texts) == both.texts["valid"].sum()
    assert both.valid.after.shape == (2, len(both.valid.pairs))
    assert both.valid.new.shape == (2, len(both.valid.texts))


def test_chance_is_that_of_a_constant_model(scene, rows):
    one = _of(compared(rows), "planted_mark", "both")
    constant = _of(compared(rows.assign(score=1.0, status="ok")), "planted_mark", "both")
    chance = constant.pairs["chance"]
    assert (constant.before == chance.to_numpy()).all()
    assert (one.pairs["chance"] == chance[one.pairs.index]).all()
    assert set(chance) == {1 / 2, 1 / 4, 1 / 6}


def test_where_keeps_pairs_with_their_texts(rows):
    one = _of(compared(rows), "planted_mark", "both")
    mask = (one.pairs["cluster_id"] > "8").to_numpy()
    part = one.where(mask)
    assert list(part.pairs.index) == list(one.pairs.index[mask])
    assert (part.before == one.before[:, mask]).all()
    assert (part.margin_after == one.margin_after[:, mask]).all()
    assert set(part.texts["item_id"]) == set(part.pairs["item_id"])
    assert len(part.texts) == one.texts["item_id"].isin(part.pairs["item_id"]).sum()
    assert (part.scored, part.failed) == (one.scored, one.failed)


def test_the_identity_is_the_second_replicate_against_the_first(scene):
    rows = table(scene, [whole("a")], {}, again=[whole("b")])
    (one,) = compared(rows)
    assert (one.rewriting.kind, one.rewriting.name, one.rewriting.arm) == ("identity", "identity", "both")
    fresh = compared(table(scene, [whole("b")], {}, again=[whole("a")]))[0]
    assert (one.after == fresh.before).all()
    assert (one.before == fresh.after).all()
    assert (one.before != one.after).any()
    assert one.pairs["valid"].all()
    assert (one.texts["edit_ratio"] == 0).all()
    assert one.texts["similarity"].isna().all()
    assert len(one.pairs) == one.scored == len(scene)


def test_order_of_rows_changes_nothing(rows):
    shuffled = compared(rows.sample(frac=1, random_state=3))
    for one, other in zip(compared(rows), shuffled, strict=True):
        assert one.rewriting == other.rewriting
        pd.testing.assert_frame_equal(one.pairs, other.pairs)
        pd.testing.assert_frame_equal(one.texts, other.texts)
        for name in ("before", "after", "margin_before", "margin_after", "old", "new"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_kind_a_rewriting_is(scene):
    ways = dict.fromkeys(
        (MARK, NOISE, BAIT, PARAPHRASE[0], "lm/style:formal:up/0", "lm/style:formal:up:down/0"), marked
    )
    found = [c.rewriting for c in compared(table(scene, [whole("a")], ways)) if c.rewriting.arm == "both"]
    assert {(r.kind, r.name, r.family, r.rate) for r in found} == {
        ("identity", "identity", "", ""),
        ("core", "planted_mark", "", ""),
        ("noise", "planted_noise_3", "planted_noise", "3%"),
        ("stress", "planted_bait", "", ""),
        ("lm", "paraphrase", "", ""),
        ("style", "style:formal:up", "", ""),
    }
    noise = next(r for r in found if r.kind == "noise")
    wanted = {"set": "noise", "transform": "planted_noise_3", "arm": "both", "family": "planted_noise", "rate": "3%"}
    assert noise.dims == wanted
    assert "family" not in next(r for r in found if r.kind == "core").dims


def test_an_unknown_transform_asks_for_its_plugin(scene, monkeypatch):
    rows = table(scene, [whole("a")], {MARK: marked})
    monkeypatch.delitem(TRANSFORMS._objects, "planted_mark")
    with pytest.raises(InputError, match=r"rewrite/planted_mark.*plugin"):
        compared(rows)
    with pytest.raises(InputError, match="expected rewrite/NAME"):
        compared(table(scene, [whole("a")], {"strange": marked}))


def test_what_changes_no_reply_is_here_without_pairs(scene):
    found = compared(table(scene, [whole("a")], {MARK: lambda unit: None}))
    for arm in ARMS:
        one = _of(found, "planted_mark", arm)
        assert len(one.pairs) == len(one.texts) == 0
        assert one.scored == len(scene)


def test_scored_counts_items_that_could_be_compared(scene, rows):
    known = _known(rows)
    one = _of(compared(rows), "planted_mark", "both")
    touched = set(rows.loc[rows["variant"] == MARK, "item_id"])
    base = {
        item.id
        for item in scene
        if all(
            (item.id, s, "original", 0, seed) in known
            for s in rows.loc[rows["item_id"] == item.id, "side"].unique()
            for seed in (0, 1)
        )
    }
    assert one.scored == len((base - touched) | set(one.pairs["item_id"]))


def test_a_failed_row_counts_as_failed_whatever_score_it_holds(scene):
    rows = table(scene, [whole("a")], {MARK: marked})
    broken = (rows["item_id"] == scene[0].id) & (rows["variant"] == MARK)
    one = _of(compared(rows.assign(status=rows["status"].mask(broken, "failed"))), "planted_mark", "both")
    assert one.failed == 1
    assert scene[0].id not in one.pairs.index


def test_style_matrices_are_left_to_others():
    styled = items(np.random.default_rng(1), 3, styles=("plain", "bold"))
    rows = table(styled, [whole("a")], {MARK: marked})
    assert compared(rows) == []
    plain = items(np.random.default_rng(2), 3)
    both = pd.concat([rows, table(plain, [whole("a")], {MARK: marked})], ignore_index=True)
    assert {i for c in compared(both) for i in c.pairs["item_id"]} == {item.id for item in plain}
