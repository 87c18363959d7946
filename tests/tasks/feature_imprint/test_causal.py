"""Edited texts and designed pairs whose scores are known sums of their features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from harness.tasks.feature_imprint.causal import causal_rows, designed_rows, edited_units
from harness.tasks.feature_imprint.fits import Fits

from harness.preference import Message, PreferenceItem, Unit, units
from harness.text.edits import EDITS, STANDARD

NAMES = ("log_words", "exclamation", "question", "hedging")
BETA = np.array([0.5, -0.3, 0.2, 0.1])
MEMBER = {"member": "model"}
APPLIED = ("exclaim", "ask", "hedge", "pad")
MOVED = {EDITS.get(name).variant: EDITS.get(name).feature for name in APPLIED}


def items(n: int = 12) -> tuple[PreferenceItem, ...]:
    return tuple(
        PreferenceItem(
            f"i{k}", (Message("user", f"Why {k}?"),), (f"It is so, number {k}.",), ("No idea! Ask me.",), "d", "s",
            "other", f"c{k}",
        )
        for k in range(n)
    )  # fmt: skip


def fits(beta: np.ndarray = BETA, seeds: int = 1, n: int = 200) -> Fits:
    """A regression of margins that are exactly what the features say, the seeds a little apart."""
    X = np.random.default_rng(0).normal(size=(n, len(NAMES)))
    d = np.stack([X @ beta * (1 + 0.1 * (s - (seeds - 1) / 2)) for s in range(seeds)])
    return Fits.linear(d, X, np.arange(n), NAMES)


def table(
    beta: np.ndarray = BETA, seeds: tuple[int, ...] = (0,), sw: float = 2.0, noise: float = 0.0, texts: int = 60
) -> pd.DataFrame:
    """Originals and edits with random features; a score is what its prompt is worth, sw times beta x, and noise."""
    rng = np.random.default_rng(1)
    rows = []
    for t in range(texts):
        origin = rng.normal(size=len(NAMES))
        for variant in ("original", *MOVED):
            moved = MOVED.get(variant)
            x = origin + rng.uniform(0.2, 1.0) * np.array([name == moved for name in NAMES], float)
            for seed in seeds:
                rows.append(
                    {
                        "unit_id": f"u{t}" + ("" if variant == "original" else f"@{variant}"),
                        "item_id": f"i{t // 2}", "cluster_id": f"c{t // 2}", "variant": variant, "seed": seed,
                        "score": t + sw * float(x @ beta) + noise * rng.normal(), **dict(zip(NAMES, x, strict=True)),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def by_key(metrics) -> dict:
    return {(m.name, m.dims.get("edit") or m.dims.get("subset")): m for m in metrics}


# --- texts ----------------------------------------------------------------------------------------


def test_edited_units_are_whole_items_under_their_own_variant_with_the_prompt_untouched():
    mine = tuple(units(items()))
    made = edited_units(mine, 4, seed=0, names=STANDARD)
    originals = {u.unit_id: u for u in mine}
    assert len({u.item_id for u in made}) == 4
    assert len({u.unit_id for u in made}) == len(made)
    by_item = {item: {u.side for u in made if u.item_id == item} for item in sorted({u.item_id for u in made})}
    assert all(sides == {"chosen", "rejected"} for sides in by_item.values())
    for u in made:
        origin = originals[u.unit_id.removesuffix(f"@{u.variant}")]
        assert u.variant.removeprefix("edit/") in EDITS.names()
        assert u.conversation[:-1] == origin.conversation[:-1]
        assert u.conversation[-1].role == "assistant"
        assert u.conversation[-1].content != origin.conversation[-1].content
        assert dataclasses.replace(u, unit_id=origin.unit_id, variant="original", conversation=()) == (
            dataclasses.replace(origin, conversation=())
        )


def test_the_sample_of_edited_items_depends_on_ids_and_seed_alone_and_grows():
    mine = tuple(units(items()))
    few, more, shuffled = (
        {u.unit_id for u in edited_units(given, k, seed=0, names=STANDARD)}
        for given, k in ((mine, 3), (mine, 6), (mine[::-1], 3))
    )
    assert few == shuffled
    assert few < more
    assert few != {u.unit_id for u in edited_units(mine, 3, seed=1, names=STANDARD)}
    assert edited_units(mine, 0, seed=0, names=STANDARD) == ()


def test_every_edit_that_applies_is_there():
    reply = "I think maybe it is so, and you know it."
    unit = Unit("u", "i", "c", "d", "s", "other", "chosen", (Message("user", "Is it?"), Message("assistant", reply)))
    found = {u.variant: u.conversation[-1].content for u in edited_units([unit], 1, seed=0, names=STANDARD)}
    assert found["edit/exclaim"] == "I think maybe it is so, and you know it!"
    assert {"edit/calm", "edit/state", "edit/unbold"}.isdisjoint(found)
    expected = {e.variant for e in map(EDITS.get, EDITS.names()) if e.apply("Is it?", reply) is not None}
    assert set(found) == expected


# --- effects --------------------------------------------------------------------------------------


def test_effects_of_a_reward_that_is_its_features_are_what_the_regression_predicts():
    texts = table()
    rows = by_key(causal_rows(texts, fits(), {0: 2.0}, MEMBER))
    for name in APPLIED:
        edit = EDITS.get(name)
        at = NAMES.index(edit.feature)
        changes = [
            texts[texts.unit_id == f"u{t}@{edit.variant}"][edit.feature].item()
            - texts[texts.unit_id == f"u{t}"][edit.feature].item()
            for t in range(60)
        ]
        expected = BETA[at] * np.mean(changes)
        effect = rows["effect", name]
        assert effect.value == pytest.approx(expected)
        assert rows["effect_predicted", name].value == pytest.approx(expected)
        assert rows["effect_declared", name].value == pytest.approx(expected)
        assert effect.dims == {"member": "model", "feature": edit.feature, "edit": name}
        assert effect.p_holm < 0.05
        assert (effect.n, effect.n_clusters) == (60, 30)
    agreement = rows["causal_agreement", None]
    assert (agreement.value, agreement.n) == (1.0, 4)


def test_the_prediction_counts_every_feature_and_the_declared_one_alone_only_its_own():
    texts = table()
    edited = texts.variant == "edit/exclaim"
    texts.loc[edited, "log_words"] += 0.7
    rows = by_key(causal_rows(texts, fits(), {0: 2.0}, MEMBER))
    declared, predicted = rows["effect_declared", "exclaim"].value, rows["effect_predicted", "exclaim"].value
    assert predicted - declared == pytest.approx(0.5 * 0.7)


def test_a_reward_against_the_regression_does_not_agree():
    flipped = by_key(causal_rows(table(BETA * [-1, 1, 1, 1]), fits(), {0: 2.0}, MEMBER))
    assert flipped["causal_agreement", None].value == 0.75
    assert flipped["effect", "pad"].value < 0 < flipped["effect_predicted", "pad"].value


def test_row_order_and_what_each_text_is_worth_change_nothing():
    texts = table(noise=0.3)
    plain = causal_rows(texts, fits(), {0: 2.0}, MEMBER)
    origin = texts.unit_id.str.partition("@")[0]
    moved = texts.assign(score=2 * texts.score + 5 * origin.str.removeprefix("u").astype(int))
    for changed, sw in ((texts.sample(frac=1, random_state=0), 2.0), (moved, 4.0)):
        again = causal_rows(changed, fits(), {0: sw}, MEMBER)
        for a, b in zip(plain, again, strict=True):
            assert a.key == b.key
            assert a.value == pytest.approx(b.value)
            assert a.se == pytest.approx(b.se)
            assert a.p_holm == pytest.approx(b.p_holm)


def test_edits_that_do_nothing_are_not_asked_whether_they_agree():
    rows = by_key(causal_rows(table(BETA * [1, 1, 0, 0], noise=1e-9), fits(), {0: 2.0}, MEMBER))
    agreement = rows["causal_agreement", None]
    assert agreement.value is None
    assert agreement.reason == "2 edits with a significant effect and a prediction: 3 are needed"
    noisy = causal_rows(table(BETA * 0, noise=1.0), fits(), {0: 2.0}, MEMBER)
    effects = [m for m in noisy if m.name == "effect"]
    assert [m.p_holm for m in effects] == pytest.approx(_holm([m.p for m in effects]))
    assert by_key(noisy)["causal_agreement", None].n == 0


def _holm(ps: list[float]) -> list[float]:
    order = sorted(range(len(ps)), key=ps.__getitem__)
    worst, out = 0.0, [0.0] * len(ps)
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, ps[i] * (len(ps) - rank)))
        out[i] = worst
    return out


def test_an_effect_that_is_the_same_on_every_text_is_measured_by_signs():
    texts = table(BETA * 0)
    texts["score"] = texts.unit_id.str.partition("@")[0].str.removeprefix("u").astype(float)
    texts.loc[texts.variant == "edit/ask", "score"] += 1.0
    rows = by_key(causal_rows(texts, fits(), {0: 2.0}, MEMBER))
    assert rows["effect", "ask"].value == 0.5
    assert rows["effect", "ask"].p == 2.0**-29
    assert rows["effect", "pad"].value == 0.0
    assert rows["effect", "pad"].p == 1.0


def test_texts_that_a_seed_could_not_score_or_that_lack_a_feature_are_left_out():
    texts = table(seeds=(3, 7), noise=0.3)
    texts.loc[(texts.unit_id == "u4@edit/pad") & (texts.seed == 7), "score"] = np.nan
    texts.loc[texts.unit_id == "u5", "hedging"] = np.nan
    texts = texts[~((texts.unit_id == "u6") & (texts.seed == 3))]
    rows = by_key(causal_rows(texts, fits(seeds=2), {3: 2.0, 7: 1.0}, MEMBER))
    assert rows["effect", "pad"].n == 57
    assert rows["effect", "ask"].n == 58
    score = texts.set_index(["unit_id", "seed"]).score
    kept = [t for t in range(60) if t not in (4, 5, 6)]
    per_seed = [
        np.mean([score[f"u{t}@edit/pad", seed] - score[f"u{t}", seed] for t in kept]) / sw
        for seed, sw in ((3, 2.0), (7, 1.0))
    ]
    assert rows["effect", "pad"].value == pytest.approx(np.mean(per_seed))
    assert "seeds" in rows["effect", "pad"].ci.method
    assert "seeds" in rows["effect_predicted", "pad"].ci.method


def test_without_a_regression_everything_is_null_with_a_reason():
    texts = table()
    rows = [*causal_rows(texts, None, {0: 0.0}, MEMBER), *designed_rows(pairs(), None, {0: 0.0}, MEMBER)]
    assert {m.name for m in rows} == {
        "effect", "effect_predicted", "effect_declared", "causal_agreement", "designed_agreement", "designed_margin",
        "designed_predicted",
    }  # fmt: skip
    assert all(m.value is None and m.reason for m in rows)
    assert len([m for m in rows if m.name == "effect"]) == 4


def test_a_declared_feature_outside_the_regression_has_no_share_of_it():
    inside = ("log_words", "exclamation", "question")
    X = np.random.default_rng(0).normal(size=(50, 3))
    beta = Fits.linear((X @ BETA[:3])[None], X, np.arange(50), inside)
    rows = by_key(causal_rows(table(), beta, {0: 2.0}, MEMBER))
    assert rows["effect_declared", "hedge"].reason == "hedging is not in the regression"
    assert rows["effect_predicted", "hedge"].value == pytest.approx(0.0)
    assert rows["effect", "hedge"].value > 0


def test_edits_of_which_no_text_was_scored_are_null():
    texts = table()
    texts.loc[texts.variant == "edit/ask", "score"] = np.nan
    rows = by_key(causal_rows(texts, fits(), {0: 2.0}, MEMBER))
    assert {rows[c, "ask"].reason for c in ("effect", "effect_predicted", "effect_declared")} == {
        "no edited text was scored"
    }
    assert rows["causal_agreement", None].n == 3


# --- designed pairs -------------------------------------------------------------------------------


def pairs(seeds: tuple[int, ...] = (0,), n: int = 25) -> pd.DataFrame:
    """Pairs of two subsets, 16 and 9; the margin follows the features but for every fifth, which goes the other way."""
    rng = np.random.default_rng(2)
    rows = []
    for i in range(n):
        x = {side: rng.normal(size=len(NAMES)) for side in ("chosen", "rejected")}
        sign = -1 if i % 5 == 0 else 1
        for side, values in x.items():
            for seed in seeds:
                rows.append(
                    {
                        "unit_id": f"p{i}#{side}", "item_id": f"p{i}", "cluster_id": f"c{i}", "dataset": "evalbiasbench",
                        "subset": "length bias" if i < 16 else "concreteness", "side": side, "variant": "original",
                        "seed": seed, "score": 3.0 * sign * float(values @ BETA), **dict(zip(NAMES, values, strict=True)),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_designed_agreement_is_the_share_of_pairs_the_imprint_foretells():
    rows = by_key(designed_rows(pairs(), fits(), {0: 3.0}, MEMBER))
    wide = pairs().pivot_table(index="item_id", columns="side", values=["score", *NAMES])
    margins = wide["score"]["chosen"] - wide["score"]["rejected"]
    foretold = sum(b * (wide[f]["chosen"] - wide[f]["rejected"]) for b, f in zip(BETA, NAMES, strict=True))
    assert rows["designed_agreement", None].value == pytest.approx((margins * foretold > 0).mean()) == 0.8
    assert rows["designed_margin", None].value == pytest.approx(margins.mean() / 3)
    assert rows["designed_predicted", None].value == pytest.approx(foretold.mean())
    first = [f"p{i}" for i in range(16)]
    assert rows["designed_agreement", "length bias"].value == pytest.approx((margins * foretold > 0)[first].mean())
    assert rows["designed_agreement", "length bias"].dims["dataset"] == "evalbiasbench"
    assert rows["designed_agreement", "length bias"].n == 16
    assert ("designed_agreement", "concreteness") not in rows


def test_exchanging_the_sides_keeps_the_agreement_and_turns_the_means_round():
    given = pairs(seeds=(0, 1))
    turned = given.assign(side=given.side.map({"chosen": "rejected", "rejected": "chosen"}))
    a, b = (by_key(designed_rows(t, fits(seeds=2), {0: 3.0, 1: 2.0}, MEMBER)) for t in (given, turned))
    for name, sign in (("designed_agreement", 1), ("designed_margin", -1), ("designed_predicted", -1)):
        assert a[name, None].value == pytest.approx(sign * b[name, None].value)


def test_a_tie_of_the_model_or_of_the_imprint_counts_one_half():
    given = pairs()
    flat = given.assign(score=1.0)
    assert by_key(designed_rows(flat, fits(), {0: 1.0}, MEMBER))["designed_agreement", None].value == 0.5
    alike = given.assign(**dict.fromkeys(NAMES, 0.0))
    assert by_key(designed_rows(alike, fits(), {0: 1.0}, MEMBER))["designed_agreement", None].value == 0.5


def test_pairs_that_were_not_scored_are_left_out():
    given = pairs()
    given.loc[given.item_id == "p0", "score"] = np.nan
    rows = by_key(designed_rows(given, fits(), {0: 3.0}, MEMBER))
    assert rows["designed_agreement", None].n == 24
    nothing = by_key(designed_rows(given.assign(score=np.nan), fits(), {0: 3.0}, MEMBER))
    assert nothing["designed_margin", None].reason == "no designed pair was scored"


def test_an_edit_that_applies_in_few_prompts_has_no_effect_to_tell():
    rows = by_key(causal_rows(table(texts=38), fits(), {0: 2.0}, MEMBER))
    assert rows["effect", "ask"].reason == "the edit applies in 19 prompts, 20 are needed"
    assert rows["causal_agreement", None].value is None
    assert by_key(causal_rows(table(texts=40), fits(), {0: 2.0}, MEMBER))["effect", "ask"].value is not None
