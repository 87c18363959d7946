"""What must hold of the whole task on rewards whose prices are planted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from harness.errors import InputError
from harness.labels import LabelRow, Labels, text_id
from harness.llm.schema import LABELS, NUMBERED, schema_sha256
from harness.metrics import evaluate
from harness.preference import units
from harness.task import TASKS, Metric
from harness.testing import planted
from harness.testing.planted import constant, noise
from tests.tasks.feature_imprint.scene import cached, items, pays

TASK = TASKS.get("feature_imprint")()
QUICK = TASK.Params(draws=0, edited_texts=0)
ITEMS = items(np.random.default_rng(0), 400, subsets=("one", "two"))
UNITS = tuple(units(ITEMS))
REFUSALS = ("refusal_on_harmful", "refusal_on_benign")


def drive(score: Any, params: Any = QUICK, data: Any = ITEMS, **more: Any) -> list[Metric]:
    return planted.drive(TASK, data, score, params=params, **more)[2]


def rows(metrics: list[Metric], name: str, **dims: str) -> dict[str, Metric]:
    dims = {"member": "model", **dims}
    keep = {k: v for k, v in dims.items() if v}
    found = [m for m in metrics if m.name == name]
    return {
        m.dims["feature"]: m
        for m in found
        if {k: v for k, v in m.dims.items() if k not in ("feature", "kind")} == keep and "feature" in m.dims
    }


def scalar(metrics: list[Metric], name: str, **dims: str) -> Metric:
    (found,) = [m for m in metrics if m.name == name and dict(m.dims) == {"member": "model", **dims}]
    return found


def significant(metrics: list[Metric]) -> set[str]:
    return {name for name, m in rows(metrics, "beta").items() if m.p_holm is not None and m.p_holm < 0.05}


def comparable(metrics: list[Metric]) -> dict[Any, Any]:
    assert len({m.key for m in metrics}) == len(metrics)
    return {
        m.key: [None if v is None else pytest.approx(v, rel=1e-6, abs=1e-9) for v in (m.value, m.se, m.p, m.p_holm)]
        for m in metrics
    }


@pytest.mark.parametrize(
    ("prices", "loaded"),
    [
        ({"log_words": 1.0}, {"log_words"}),
        ({"refusal": 1.0}, set(REFUSALS)),
        ({"toxicity": -1.0}, {"toxicity"}),
        ({"exclamation": 1.0}, {"exclamation"}),
    ],
)
def test_a_reward_of_one_feature_loads_only_that_feature(prices, loaded):
    metrics = drive(cached(pays(prices, noise=0.3)))
    assert significant(metrics) == loaded
    sign = np.sign(next(iter(prices.values())))
    assert all(np.sign(rows(metrics, "beta")[name].value) == sign for name in loaded)


def test_without_noise_every_other_price_is_zero_to_rounding():
    metrics = drive(cached(pays({"log_words": 1.0})))
    betas = rows(metrics, "beta")
    assert betas["log_words"].value > 0.5
    others = [abs(m.value) for name, m in betas.items() if name != "log_words" and m.value is not None]
    assert max(others) < 1e-6
    assert scalar(metrics, "length_imprint").value == pytest.approx(betas["log_words"].value)
    shares = {player: scalar(metrics, f"share_{player}").value for player in ("target", "spoiler", "length", "control")}
    assert max(shares, key=shares.__getitem__) == "length"
    assert scalar(metrics, "r2_heldout").value == pytest.approx(1.0, abs=1e-6)


def test_prices_come_back_in_units_of_the_margins():
    prices = {"log_words": 0.5, "toxicity": -0.8, "bold": 0.4, "question": -0.3}
    metrics = drive(cached(pays(prices, noise=0.2, offset=50.0)))
    raw, beta, unit = rows(metrics, "beta_raw"), rows(metrics, "beta"), scalar(metrics, "s_w").value
    for name in ("toxicity", "bold", "question"):
        assert raw[name].ci.low < prices[name] < raw[name].ci.high
        assert beta[name].value == pytest.approx(raw[name].value / unit)
    assert scalar(metrics, "target_imprint").value == pytest.approx(
        np.mean([beta["refusal_on_harmful"].value, -beta["toxicity"].value])
    )


def test_prompt_offsets_scale_and_the_order_of_rows_change_nothing_of_pairs():
    plain = cached(pays({"toxicity": -1.0, "log_words": 0.5}, noise=0.5))
    moved = cached(pays({"toxicity": -1.0, "log_words": 0.5}, noise=0.5, offset=20.0))
    table, arrays, metrics = planted.drive(TASK, ITEMS, plain, params=QUICK)
    shuffled = table.sample(frac=1.0, random_state=3)
    assert comparable(TASK.evaluate(shuffled, arrays, QUICK)) == comparable(metrics)
    pair_level = {k: v for k, v in comparable(metrics).items() if k[0] not in ("beta_raw", "beta_pooled", "s_w")}
    scaled = comparable(drive(lambda u: 4.0 * plain(u)))
    assert {k: scaled[k] for k in pair_level} == pair_level
    offset = {m.key: m.value for m in drive(moved)}
    for key, (value, *_) in pair_level.items():
        assert offset[key] == (None if value is None else pytest.approx(value.expected, rel=1e-2, abs=1e-4))


def test_a_model_without_a_margin_has_no_imprint_and_says_why():
    metrics = drive(constant)
    for name, m in rows(metrics, "beta").items():
        assert m.value is None, name
        assert m.reason
    assert "every pair ties" in scalar(metrics, "spoiler_imprint").reason
    assert scalar(metrics, "accuracy").value == 0.5
    assert rows(metrics, "logodds_human", member="")["log_words"].value is not None


def test_failed_scores_are_counted_and_leave_the_pairs():
    broken = {u.item_id for u in UNITS[:20]}
    plain = cached(pays({"toxicity": -1.0}, noise=0.5))
    metrics = drive(lambda u: None if u.item_id in broken else plain(u))
    assert scalar(metrics, "n_failed").value == len(broken)
    assert scalar(metrics, "n").value == len(ITEMS) - len(broken)


def test_a_reference_shows_what_grew():
    before = cached(pays({"bold": 0.5, "toxicity": -0.5}, noise=0.5))
    after = cached(pays({"bold": 0.5, "toxicity": -2.0}, noise=0.5))
    members = (("model", 0), ("reference", 0))
    metrics = drive({"model": after, "reference": before}, members=members)
    change = rows(metrics, "beta_change")
    assert change["toxicity"].ci.high < 0
    assert change["log_words"].ci.low < 0 < change["log_words"].ci.high
    own = rows(metrics, "beta")["toxicity"].value - rows(metrics, "beta_ref")["toxicity"].value
    assert change["toxicity"].value == pytest.approx(own)
    assert not [m for m in metrics if m.dims.get("member") == "reference"]


def test_seeds_widen_the_interval_and_count_by_their_mean():
    def seeded(k: int) -> Any:
        return cached(pays({"toxicity": -1.0 + k}, noise=0.5))

    alone = [rows(drive(seeded(k)), "beta")["toxicity"] for k in (0, 1)]
    many = {0: seeded(0), 1: seeded(1)}
    table, arrays, _ = planted.drive(TASK, ITEMS, constant, params=QUICK, members=(("model", 0), ("model", 1)))
    score = {(u.unit_id, k): many[k](u) for u in UNITS for k in many}
    table["score"] = [score[key] for key in zip(table["unit_id"], table["seed"], strict=True)]
    both = rows(TASK.evaluate(table, arrays, QUICK), "beta")["toxicity"]
    assert both.value == pytest.approx(np.mean([m.value for m in alone]), rel=0.02)
    assert both.se > max(m.se for m in alone)


def test_one_subset_has_its_own_prices_in_the_same_unit():
    one = {i.id for i in ITEMS if i.subset == "one"}
    liking, loathing = cached(pays({"bold": 1.0}, noise=0.3)), cached(pays({"bold": -1.0}, noise=0.3))
    metrics = drive(lambda u: liking(u) if u.item_id in one else loathing(u))
    first, second = (rows(metrics, "beta", dataset="scene", subset=s)["bold"] for s in ("one", "two"))
    assert first.ci.low > 0 > second.ci.high
    assert abs(rows(metrics, "beta")["bold"].value) < 0.3


def label_row(unit: Any, says: dict[str, str], labeled_by: str = "first") -> LabelRow:
    base = {name: "no" if "no" in f.values else "neutral" for name, f in LABELS.items() if name in NUMBERED}
    return LabelRow(
        text=text_id(unit.conversation), labeled_by=labeled_by, labeler="planted", schema_sha256=schema_sha256(),
        labels=base | says,
    )  # fmt: skip


def labelled(retest_noise: float, seed: int = 0) -> tuple[Labels, dict[str, bool]]:
    """Every reply labelled helpful or not and insulting or not by coin; labelled again with some answers turned round."""
    rng = np.random.default_rng(seed)
    made, helpful = {}, {}
    for unit in UNITS:
        text = text_id(unit.conversation)
        good, rude = rng.random() < 0.5, rng.random() < 0.3
        helpful[unit.unit_id] = good
        turned = rng.random() < retest_noise
        for labeled_by, said in (("first", good), ("retest", good != turned)):
            says = {"helpful": "yes" if said else "no", "insult": "yes" if rude else "no"}
            made[labeled_by, text] = label_row(unit, says, labeled_by)
    return Labels(made, "0" * 64), helpful


def test_labels_are_a_second_regression_with_their_own_reliability():
    labels, helpful = labelled(0.0)
    metrics = drive(lambda u: helpful[u.unit_id] + 0.5 * noise(u), labels=labels)
    betas = rows(metrics, "beta", source="labels")
    assert betas["helpful"].ci.low > 0
    assert betas["insult"].p_holm > 0.05
    assert betas["honest"].reason
    assert rows(metrics, "label_kappa", member="", source="labels")["helpful"].value == pytest.approx(1.0)
    assert scalar(metrics, "target_imprint", source="labels").value > 0
    assert significant(metrics) == set()


def test_a_label_that_its_labeler_contradicts_enters_no_headline():
    labels, helpful = labelled(0.5)
    metrics = drive(lambda u: helpful[u.unit_id] + 0.5 * noise(u), labels=labels)
    assert rows(metrics, "beta", source="labels")["helpful"].ci.low > 0
    assert abs(rows(metrics, "label_kappa", member="", source="labels")["helpful"].value) < 0.2
    assert abs(scalar(metrics, "target_imprint", source="labels").value) < 0.2


def test_baselines_and_parameters_go_through_the_registered_path():
    table, arrays, _ = planted.drive(TASK, ITEMS[:120], cached(pays({"bold": 1.0}, noise=0.5)), params=QUICK)
    records = evaluate(TASK, table, arrays, dataclasses.replace(QUICK, draws=50))
    found = next(r for r in records if r.name == "length_imprint")
    assert found.baselines["longest"] > 0.5 > -0.5 > found.baselines["shortest"]
    assert abs(found.baselines["random"]) < 0.5
    assert TASK.Params(features="bold, standard").names[0] == "bold"


def test_a_label_that_is_mostly_unclear_leaves_the_others_their_pairs():
    labels, helpful = labelled(0.0)
    unclear = {
        key: row.model_copy(update={"labels": row.labels | {"honest": "unclear"}}) for key, row in labels.rows.items()
    }
    metrics = drive(lambda u: helpful[u.unit_id] + 0.5 * noise(u), labels=Labels(unclear, "1" * 64))
    betas = rows(metrics, "beta", source="labels")
    assert betas["honest"].reason == "known in 0% of the pairs, 80% are needed"
    assert betas["helpful"].n == len(ITEMS)


def test_values_of_another_version_of_a_feature_are_not_taken_for_this_one():
    table, arrays, _ = planted.drive(TASK, ITEMS[:60], constant, params=QUICK)
    with pytest.raises(InputError, match="no column x_bold"):
        TASK.evaluate(table.rename(columns={"x_bold": "x_bold@2"}), arrays, QUICK)


def test_only_the_edits_that_are_named_are_tried():
    params = dataclasses.replace(QUICK, edited_texts=5, edits="pad, ask")
    table = planted.drive(TASK, ITEMS[:60], constant, params=params)[0]
    assert set(table["variant"]) == {"original", "edit/pad", "edit/ask"}
    assert set(TASK.Params().edit_names) > {"pad", "ask", "thank"}


def test_edited_and_designed_texts_are_in_no_regression_and_designed_ones_are_not_edited():
    designed = tuple(
        dataclasses.replace(i, id=f"designed/{i.id}", dataset="evalbiasbench", subset="length bias")
        for i in items(np.random.default_rng(9), 60)
    )
    score = cached(pays({"toxicity": -1.0, "log_words": 0.5}, noise=0.5))
    params = dataclasses.replace(QUICK, edited_texts=40)

    def wild(unit: Any) -> float:
        return score(unit) if unit.dataset == "scene" and unit.variant == "original" else 100 * noise(unit)

    table, _, metrics = planted.drive(TASK, (*ITEMS, *designed), wild, params=params)
    companion = {"causal_agreement", "designed_agreement", "designed_margin", "designed_predicted"}
    companion |= {"effect", "effect_predicted", "effect_declared"}
    assert {m.name for m in metrics} >= companion
    found = {m.key: m.value for m in metrics if m.name not in companion}
    assert found == {m.key: m.value for m in drive(score) if m.name not in companion}
    edited = table[table["variant"] != "original"]
    assert len(edited) > 40
    assert set(edited["dataset"]) == {"scene"}


def test_a_sample_too_small_for_any_feature_is_null_and_no_error():
    metrics = drive(noise, data=ITEMS[:15], params=dataclasses.replace(QUICK, edited_texts=5))
    for name in ("target_imprint", "spoiler_imprint", "length_imprint", "imprint_gap", "r2"):
        assert scalar(metrics, name).reason == "no feature can be estimated"
    assert scalar(metrics, "n").value == 15
    assert all(m.value is None and m.reason for m in rows(metrics, "beta").values())


def test_people_labels_add_corrected_coefficients_and_unlabelled_pairs_are_counted():
    labels, helpful = labelled(0.0)
    gone = {text_id(u.conversation) for u in UNITS[:30]}
    kept = {key: row for key, row in labels.rows.items() if key[1] not in gone}
    people = {
        ("gold", text): row.model_copy(update={"labeled_by": "gold"})
        for (by, text), row in kept.items()
        if by == "first"
    }
    metrics = drive(lambda u: helpful[u.unit_id] + 0.5 * noise(u), labels=Labels(kept | people, "2" * 64))
    gold, beta = (rows(metrics, name, source="labels") for name in ("beta_gold", "beta"))
    assert gold["helpful"].value == pytest.approx(beta["helpful"].value)
    (incomplete,) = [m for m in metrics if m.name == "n_incomplete" and m.dims == {"source": "labels"}]
    (of_texts,) = [m for m in metrics if m.name == "n_incomplete" and not m.dims]
    assert (incomplete.value, of_texts.value) == (len({u.item_id for u in UNITS[:30]}), 0)


def test_what_is_better_and_what_heads_a_board():
    found = {m.name: m for m in drive(cached(pays({"bold": 1.0}, noise=0.5))) if m.dims == {"member": "model"}}
    better = {name: m.higher_is_better for name, m in found.items() if m.higher_is_better is not None}
    assert better == {
        "target_imprint": True, "spoiler_imprint": False, "imprint_gap": False, "accuracy": True, "selectivity": True,
        "causal_agreement": True,
    }  # fmt: skip
    assert {name for name, m in found.items() if m.main} == set(TASK.meta.main_metrics)
    assert TASK.Params(features="bold,standard,bold").names.count("bold") == 1
