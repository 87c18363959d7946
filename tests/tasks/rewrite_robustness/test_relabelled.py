"""Changes of labels from a score table, joined by id, and the way from labels and rewrites in files to flips."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.compared import compared
from harness.tasks.rewrite_robustness.flips import flip_rows
from harness.tasks.rewrite_robustness.relabelled import Relabelled

from harness.labels import LabelRow, Labels, text_id
from harness.preference import Message, PreferenceItem, units
from harness.rewrites import rewritten_unit
from harness.testing import planted

PARAPHRASES = ("lm/paraphrase/0", "lm/paraphrase/1")
STYLE, TWICE = "lm/style:formal:up/0", "lm/style:formal:up:down/0"
TONES = {-1.0: "negative", 0.0: "neutral", 1.0: "positive"}


def item(i: int, chosen=1, rejected=1, **meta) -> PreferenceItem:
    replies = [tuple(f"{side} {k} of {i}" for k in range(n)) for side, n in (("good", chosen), ("bad", rejected))]
    return PreferenceItem(f"d/{i}", (Message("user", f"ask {i}"),), *replies, "d", "s", "other", f"p{i}", meta)


def tone(text: str, again: bool = False) -> float:
    """What the labeler says: a number that hangs on the text, and on whether it is asked again."""
    return float(hashlib.sha256(f"{text}{again}".encode()).digest()[0] % 3 - 1)


def ratios(n: int) -> np.ndarray:
    return np.random.default_rng(0).random(n)


def scene(items, ways, seeds=(0,), unlabelled=()):
    """Items, their rewrites and the table with labels of everything, originals also asked again."""
    known = list(units(items))
    new = [rewritten_unit(u, way, f"{u.conversation[-1].content} as {way} says") for way in ways for u in known]
    rows = {}
    for by, asked in (("first", [*known, *new]), ("retest", known)):
        for unit in asked:
            text = unit.conversation[-1].content
            said = {"sentiment": TONES[tone(text, by == "retest")]}
            row = LabelRow(text=text_id(unit.conversation), labeled_by=by, labeler="m", schema_sha256="0", labels=said)
            rows[by, row.text] = row.model_copy(update={"labels": None}) if unit.unit_id in unlabelled else row
    labels = Labels(rows)
    members = tuple(("model", seed) for seed in seeds)
    frame = planted.table([*known, *new], lambda u: len(u.conversation[-1].content) % 7, members)
    numbers = pd.DataFrame({"unit_id": [u.unit_id for u in new], "x_valid": 1.0, "x_edit_ratio": ratios(len(new))})
    merged = frame.merge(labels.frame([*known, *new]), on="unit_id").merge(numbers, on="unit_id", how="left")
    return known, new, merged


def change(unit, way: str) -> float:
    text = unit.conversation[-1].content
    return tone(f"{text} as {way} says") - tone(text)


def test_changes_are_new_minus_old_by_transform_pair_and_side():
    items = [item(i) for i in range(12)]
    known, new, frame = scene(items, [*PARAPHRASES, STYLE, TWICE], seeds=(0, 1))
    labels = Relabelled.of(frame.sample(frac=1, random_state=0))
    assert labels.fields == ("sentiment",)
    assert len(labels.changes) == 3 * len(known)
    ratio = dict(zip([u.unit_id for u in new], ratios(len(new)), strict=True))
    for unit in known:
        for way in (*PARAPHRASES, STYLE):
            _, kind, sample = way.split("/")
            row = labels.changes.loc[(kind, f"{unit.item_id}/{sample}", unit.side)]
            assert row["sentiment"] == change(unit, way)
            assert row["edit_ratio"] == ratio[f"{unit.unit_id}@{way}"]
            assert row["dlog_words"] == pytest.approx(np.log(8 / 5))
            assert np.isnan(row["similarity"])
    assert {-1.0, 1.0} <= set(labels.changes["sentiment"])


def test_unchanged_texts_are_the_originals_asked_again():
    known, _, frame = scene([item(i) for i in range(9)], PARAPHRASES, unlabelled={"d/3#chosen"})
    again = Relabelled.of(frame).again
    assert sorted(again.index) == sorted(u.unit_id for u in known)
    for unit in known:
        text = unit.conversation[-1].content
        expected = np.nan if unit.unit_id == "d/3#chosen" else tone(text, again=True) - tone(text)
        assert again.loc[unit.unit_id, "sentiment"] == pytest.approx(expected, nan_ok=True)
        assert tuple(again.loc[unit.unit_id, ["cluster_id", "side"]]) == (unit.cluster_id, unit.side)
    once = Relabelled.of(frame.drop(columns=[c for c in frame if c.endswith("_retest")]))
    assert once.again["sentiment"].isna().all()


def test_a_label_that_is_missing_on_either_side_of_a_rewrite_is_no_change():
    _, _, frame = scene(
        [item(i) for i in range(4)], PARAPHRASES[:1], unlabelled={"d/0#chosen", f"d/1#rejected@{PARAPHRASES[0]}"}
    )
    found = Relabelled.of(frame).changes["sentiment"]
    missing = found[found.isna()].index.tolist()
    assert missing == [("paraphrase", "d/0/0", "chosen"), ("paraphrase", "d/1/0", "rejected")]
    gone = Relabelled.of(frame[frame["unit_id"] != "d/2#chosen"]).changes["sentiment"]
    assert np.isnan(gone["paraphrase", "d/2/0", "chosen"])
    assert Relabelled.of(frame[frame["variant"] == "original"]).fields == ()
    assert Relabelled.of(frame.drop(columns=[c for c in frame if c.startswith("x_label")])).fields == ()


def test_a_side_of_several_replies_has_their_mean_and_styles_have_none():
    styled = replace(item(7, 2, 2), meta={"styles": ["plain", "list"]})
    several = item(1, 1, 3)
    known, _, frame = scene([several, styled], PARAPHRASES[:1])
    labels = Relabelled.of(frame)
    mine = [change(u, PARAPHRASES[0]) for u in known if u.item_id == "d/1" and u.side.startswith("rejected")]
    assert labels.changes.loc[("paraphrase", "d/1/0", "rejected"), "sentiment"] == pytest.approx(np.mean(mine))
    assert set(labels.changes.index.get_level_values("pair")) == {"d/1/0"}
    assert len(labels.again) == 4
    part = scene([several], PARAPHRASES[:1], unlabelled={"d/1#rejected/2"})[2]
    assert np.isnan(Relabelled.of(part).changes.loc[("paraphrase", "d/1/0", "rejected"), "sentiment"])


def test_sides_follow_the_pairs_and_are_missing_where_nothing_was_rewritten():
    _, _, frame = scene([item(i) for i in range(5)], PARAPHRASES)
    labels = Relabelled.of(frame[frame["unit_id"] != f"d/2#rejected@{PARAPHRASES[0]}"])
    pairs = pd.Index(["d/4/1", "d/2/0", "d/9/0"])
    sides = labels.sides("paraphrase", pairs, ["sentiment", "edit_ratio"])
    for side, frame_ in sides.items():
        assert frame_.index.equals(pairs)
        assert list(frame_) == ["sentiment", "edit_ratio"]
        assert frame_.loc["d/4/1", "sentiment"] == labels.changes.loc[("paraphrase", "d/4/1", side), "sentiment"]
        assert np.isnan(frame_.loc["d/9/0"]).all()
    assert np.isnan(sides["rejected"].loc["d/2/0", "sentiment"])
    assert not np.isnan(sides["chosen"].loc["d/2/0", "sentiment"])
    assert labels.sides("style:warm:up", pairs, ["sentiment"])["chosen"].isna().all().all()


def test_from_labels_and_rewrites_to_flips_of_the_right_pairs():
    known, _, frame = scene([item(i) for i in range(300)], PARAPHRASES)
    frame["score"] = np.where(frame["side"] == "chosen", 1.0, 0.0)
    lost = {u.item_id for u in known if u.side == "chosen" and change(u, PARAPHRASES[1]) < 0}
    broken = frame["item_id"].isin(lost) & (frame["variant"] == PARAPHRASES[1]) & (frame["side"] == "chosen")
    frame.loc[broken, "score"] = -1.0
    both = [c for c in compared(frame) if c.rewriting.arm == "both"]
    metrics = {
        (m.name, *[m.dims.get(k) for k in ("side", "change", "event")]): m
        for m in flip_rows(both, Relabelled.of(frame), {})
    }
    counts = {w: sum(change(u, w) < 0 for u in known if u.side == "chosen") for w in PARAPHRASES}
    assert metrics["cell_n", "chosen", "lost", "break"].value == sum(counts.values())
    assert metrics["flip", "chosen", "lost", None].value == pytest.approx(sum(counts.values()) / 600)
    twice = [
        tone(u.conversation[-1].content, True) != tone(u.conversation[-1].content) for u in known if u.side == "chosen"
    ]
    assert metrics["aa_flip", "chosen", "lost", None].value == pytest.approx(np.mean(twice) / 2)
    assert metrics["pi_ame", "chosen", "lost", "break"].value > 0.3
    assert metrics["pi_ame", "chosen", "lost", "break"].n_clusters == 300
    assert metrics["cell_n", "chosen", "lost", "fix"].value == 0
