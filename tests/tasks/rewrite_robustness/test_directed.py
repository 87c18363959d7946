"""Directed edits: a rewriter with a style of its own biases the naive contrast and no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.directed import CONTRASTS, WAYS, directed_rows
from statsmodels.api import OLS

from harness.stats.multiplicity import holm
from harness.testing import planted
from harness.testing.planted import unit_noise

EFFECT, DOWN_TOO_FAR, OWN_STYLE, SW = 0.7, 0.4, 1.5, 2.0


def table(seed=0, n=60, members=(("model", 0),), attributes=("formal",), samples=1, effect=EFFECT, style=OWN_STYLE):
    """Scores: what the text says, `effect` for the attribute, `style` for whatever a rewriter has touched."""
    items = planted.items(np.random.default_rng(seed), n)
    rows = planted.table(items, lambda unit: unit_noise(unit.unit_id), members)
    by_text = rows["unit_id"].map(unit_noise) + 0.3 * rows["seed"]
    made = [rows.assign(score=by_text, x_valid=np.nan)]
    for attribute in attributes:
        for way in WAYS:
            for sample in range(samples):
                variant = f"lm/style:{attribute}:{way}/{sample}"
                ids = rows["unit_id"] + f"@{variant}"
                has = float(way.endswith("up")) - DOWN_TOO_FAR * (way == "down")
                score = by_text + effect * has + style + 0.1 * ids.map(unit_noise)
                made.append(rows.assign(unit_id=ids, variant=variant, score=score * (1 + rows["seed"]), x_valid=1.0))
    made[0] = made[0].assign(score=made[0]["score"] * (1 + rows["seed"]))
    return pd.concat(made, ignore_index=True)


def units(rows):
    return {int(seed): SW * (1 + seed) for seed in rows["seed"].unique()}


def rows_of(frame, given=None):
    return directed_rows(frame, units(frame) if given is None else given, {"member": "model"})


def by_name(frame, attribute="formal", given=None):
    return {m.name: m for m in rows_of(frame, given) if m.dims["attribute"] == attribute}


def test_the_rewriters_own_style_cancels_and_stays_in_the_naive_contrast():
    found = by_name(table())
    assert found["ate_sw"].value == pytest.approx(EFFECT / SW, abs=0.01)
    assert found["ate_up_sw"].value == pytest.approx(EFFECT / SW, abs=0.01)
    assert found["ate_down_sw"].value == pytest.approx((EFFECT + DOWN_TOO_FAR * EFFECT) / SW, abs=0.01)
    assert found["ate_naive_sw"].value == pytest.approx((EFFECT + OWN_STYLE) / SW, abs=0.05)
    assert found["ate_naive_sw"].ci.low > EFFECT / SW
    assert found["ate_sw"].ci.low < EFFECT / SW < found["ate_sw"].ci.high
    assert {m.unit for m in found.values()} == {"sw"}
    assert found["ate_sw"].dims == {"member": "model", "attribute": "formal"}


def test_a_rewriter_that_only_adds_its_style_has_no_effect():
    found = by_name(table(effect=0.0))
    assert abs(found["ate_sw"].value) < 0.01
    assert found["ate_sw"].p > 0.01
    assert found["ate_naive_sw"].p < 1e-6


@pytest.mark.parametrize("name", list(CONTRASTS))
def test_means_and_errors_are_those_of_the_paired_differences(name):
    frame = table(samples=2)
    frame["cluster_id"] = "p" + (frame["item_id"].map(unit_noise) * 15).astype(int).astype(str).str.zfill(2)
    frame = pd.concat([frame[frame["cluster_id"] != "p03"], *[
        frame[frame["item_id"] == i].assign(cluster_id=f"q{i}") for i in frame["item_id"].unique()[:20]
    ]]).drop_duplicates(["unit_id", "seed"], keep="last")  # fmt: skip
    more, less = CONTRASTS[name]
    score = dict(zip(frame["unit_id"], frame["score"], strict=True))
    prompt = dict(zip(frame["unit_id"], frame["cluster_id"], strict=True))
    originals = frame.loc[frame["variant"] == "original", "unit_id"]
    values, clusters = [], []
    for unit in originals:
        for sample in range(2):
            ids = [unit if way == "original" else f"{unit}@lm/style:formal:{way}/{sample}" for way in (more, less)]
            values.append((score[ids[0]] - score[ids[1]]) / SW)
            clusters.append(prompt[unit])
    codes = np.unique(clusters, return_inverse=True)[1]
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": codes})
    found = by_name(frame)[name]
    assert (found.value, found.se) == pytest.approx((fit.params[0], fit.bse[0]))
    assert (found.n, found.n_clusters) == (len(values), codes.max() + 1)


def test_only_texts_whose_four_rewrites_are_valid_and_scored_count():
    frame = table(n=30)
    whole = by_name(frame)["ate_sw"].n
    texts = frame.loc[frame["variant"] == "original", "unit_id"].tolist()
    ids = [f"{unit}@lm/style:formal:{way}/0" for unit, way in zip(texts, WAYS, strict=False)]
    bad = frame["unit_id"].isin([*ids[:2], texts[5]])
    lost = bad & ~frame["unit_id"].isin(ids[:1])
    spoilt = frame.assign(score=frame["score"].where(~bad, 1e6))
    spoilt = spoilt.assign(x_valid=frame["x_valid"].where(~frame["unit_id"].isin(ids[:1]), 0.0))
    spoilt = spoilt.assign(status=np.where(lost, "failed", "ok"))
    gone = spoilt[~spoilt["unit_id"].isin(ids[2:])]
    found = by_name(gone)
    assert {m.n for m in found.values()} == {whole - 5}
    assert found["ate_sw"].value == pytest.approx(EFFECT / SW, abs=0.01)


def test_order_of_rows_and_offsets_of_prompts_change_nothing_and_the_sign_turns():
    frame = table()
    expected = {name: m.value for name, m in by_name(frame).items()}
    shuffled = frame.sample(frac=1, random_state=1)
    offset = frame.assign(score=frame["score"] + 10 * frame["item_id"].map(unit_noise))
    for other, factor in ((shuffled, 1), (offset, 1), (frame.assign(score=-frame["score"]), -1)):
        found = {name: factor * m.value for name, m in by_name(other).items()}
        assert found == pytest.approx(expected)


def test_seeds_are_each_in_their_own_unit_and_their_spread_is_added():
    members = (("model", 0), ("model", 3))
    frame = table(members=members)
    found, alone = by_name(frame), by_name(table())
    assert found["ate_sw"].n == alone["ate_sw"].n
    assert found["ate_sw"].value == pytest.approx(EFFECT / SW, abs=0.01)
    wide = frame.assign(score=frame["score"] + 2.0 * (frame["seed"] == 3) * frame["variant"].str.contains("down:up"))
    assert by_name(wide)["ate_sw"].se > 2 * found["ate_sw"].se
    missing = frame[~((frame["seed"] == 3) & (frame["unit_id"] == frame["unit_id"].iloc[0]))]
    assert by_name(missing)["ate_sw"].n == found["ate_sw"].n - 1
    with pytest.raises(KeyError):
        rows_of(frame, {0: 1.0})


def test_holm_is_over_the_attributes_column_by_column():
    frame = table(attributes=("formal", "polite", "terse"))
    frame.loc[frame["variant"].str.contains("polite:down:up"), "score"] -= EFFECT - 0.01
    metrics = rows_of(frame)
    for name in CONTRASTS:
        mine = [m for m in metrics if m.name == name]
        assert [m.dims["attribute"] for m in mine] == ["formal", "polite", "terse"]
        assert [m.p_holm for m in mine] == holm([m.p for m in mine])
    assert metrics[1].p_holm > metrics[0].p_holm


def test_nothing_to_say_has_a_reason():
    few = table(n=19)
    assert {m.value for m in rows_of(few)} == {None}
    assert "19 prompts" in by_name(few)["ate_sw"].reason
    assert by_name(table(n=20))["ate_sw"].value is not None
    assert "no unit" in by_name(table(), given={0: 0.0})["ate_sw"].reason
    both = table(members=(("model", 0), ("model", 1)))
    assert "no unit" in by_name(both, given={0: 1.0, 1: 0.0})["ate_sw"].reason
    assert rows_of(table(attributes=())) == []
    once = table()
    once = once[~once["variant"].str.contains("up:down")]
    assert all(m.value is None and "0 prompts" in m.reason for m in by_name(once).values())
    tried = table(attributes=()).assign(**{"x_status/lm/style:formal:up/0": "refused", "x_status/lm/paraphrase/0": "x"})
    assert {m.dims["attribute"] for m in rows_of(tried)} == {"formal"}
    assert {m.reason for m in rows_of(tried)} == {by_name(once)["ate_sw"].reason}
