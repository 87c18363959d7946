"""What must hold of the whole task: what it asks, what it attaches, and what its rows may depend on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import harness.tasks.rewrite_robustness as package
import numpy as np
import pytest

from harness.gather import Gathering, gather
from harness.labels import LabelRow, Labels, text_id
from harness.llm.schema import LABELS, schema_sha256
from harness.preference import units
from harness.results.store import storable
from harness.rewrites import RewriteRow, Rewrites
from harness.task import TASKS, Score, TaskData
from harness.testing import planted
from harness.testing.conformance import check_metrics
from harness.testing.planted import PlantedSubject
from harness.text.transforms import CORE, FAMILIES, PLAIN_NOISE, STRESS

from .scene import MARK, smooth

UPPER = "rewrite/upper"
TASK = TASKS.get("rewrite_robustness")()
PARAMS = TASK.Params(transforms="planted_mark,planted_bait,upper", draws=40)
PAIRS = planted.items(np.random.default_rng(0), 60, per_cluster=2)
STYLED = planted.items(np.random.default_rng(1), 30, dataset="rm", styles=("concise", "plain", "markdown"))
SCORE = smooth("a", 1.0)


def requests(data, params=PARAMS):
    return next(TASK.steps(data, params))


def drive(data=PAIRS, score: Any = SCORE, params=PARAMS, **more):
    return planted.drive(TASK, data, score, params=params, **more)


def by_key(metrics):
    return {m.key: m for m in metrics}


def values(metrics):
    return {k: (m.value, m.p, m.p_holm, m.ci and (m.ci.low, m.ci.high)) for k, m in by_key(metrics).items()}


# --- requests -----------------------------------------------------------------------------------


def test_all_texts_are_scored_once_and_the_originals_again_as_a_second_replicate():
    data = TaskData((*PAIRS, *STYLED))
    first, again = (r for r in requests(data) if isinstance(r, Score))
    originals = data.units()
    assert (first.replicate, again.replicate) == (0, 1)
    assert again.units == originals
    assert first.units[: len(originals)] == originals
    made = first.units[len(originals) :]
    assert Counter(u.variant for u in made) == dict.fromkeys((MARK, "rewrite/planted_bait", UPPER), 120)
    prompts = {u.unit_id: u.conversation[:-1] for u in originals}
    assert all(u.conversation[:-1] == prompts[u.unit_id.split("@")[0]] for u in made)
    assert not {u.item_id for u in made} & {item.id for item in STYLED}


def test_a_dry_run_reckons_with_just_these_passes():
    data = TaskData((*PAIRS, *STYLED))
    asked = Counter(u.unit_id for r in requests(data) if isinstance(r, Score) for u in r.units)
    assert Counter({u.unit_id: n for u, n in TASK.passes(data, PARAMS, ("model", 0))}) == asked


def test_labels_of_originals_and_of_rewrites_are_attached():
    made = [u for r in requests(TaskData(PAIRS)) if isinstance(r, Score) for u in r.units]
    said = {text_id(u.conversation): "yes" if u.variant == UPPER else "no" for u in made}
    rows = {
        ("first", text): LabelRow(text=text, labeler="l", schema_sha256=schema_sha256(), labels=_label(answer))
        for text, answer in said.items()
    }
    table, _, _ = drive(labels=Labels(rows))
    assert set(table[table["variant"] == UPPER]["x_label_helpful"]) == {LABELS["helpful"].values["yes"]}
    assert set(table[table["variant"] == "original"]["x_label_helpful"]) == {LABELS["helpful"].values["no"]}


def _label(helpful):
    return {"helpful": helpful}


# --- margins to draw ----------------------------------------------------------------------------


def test_margins_before_and_after_are_kept_in_units_of_the_pairs():
    table, arrays, _ = drive((*PAIRS, *STYLED), members=(("model", 0), ("reference", 0)))
    assert set(arrays) == {
        f"scatter/model/{name}"
        for name in (
            "core/planted_mark", "stress/planted_bait", "noise/upper", "identity/identity",
            "natural/concise>plain", "natural/concise>markdown", "natural/plain>markdown",
        )
    }  # fmt: skip
    mine = table[table["member"] == "model"]
    scores = {(r.item_id, r.side, r.variant): r.score for r in mine[mine["replicate"] == 0].itertuples()}

    def margin(item, variant, end=""):
        return scores[item.id, f"chosen{end}", variant] - scores[item.id, f"rejected{end}", variant]

    s_w = np.sqrt(np.mean([margin(i, "original") ** 2 for i in PAIRS]) / 2)
    expected = {(margin(i, "original") / s_w, margin(i, MARK) / s_w) for i in PAIRS}
    found = arrays["scatter/model/core/planted_mark"]
    assert (found.dtype, found.shape) == (np.float32, (60, 2))
    assert np.sort(found, axis=0) == pytest.approx(np.sort(np.array(list(expected)), axis=0), rel=1e-4)
    styled = arrays["scatter/model/natural/concise>plain"]
    by_hand = [(margin(i, "original", "/1-concise") / s_w, margin(i, "original", "/2-plain") / s_w) for i in STYLED]
    assert np.sort(styled, axis=0) == pytest.approx(np.sort(np.array(by_hand), axis=0), rel=1e-4)


def test_without_a_unit_there_is_nothing_to_draw_and_the_rows_say_why():
    _, arrays, metrics = drive(score=planted.constant)
    assert arrays == {}
    shifts = [m for m in metrics if m.name == "shift" and m.dims["transform"] == "planted_mark"]
    assert shifts
    assert all("unit" in m.reason for m in shifts)
    assert by_key(metrics)["accuracy", (("member", "model"),)].value == 0.5


# --- rows ---------------------------------------------------------------------------------------


def test_rows_are_well_formed_and_hold_what_the_task_is_about():
    table, _, metrics = drive((*PAIRS, *STYLED), members=(("model", 0), ("model", 1), ("reference", 0)))
    check_metrics(metrics)
    assert {m.dims.get("member") for m in metrics} == {None, "model"}
    whole = {m.name: m for m in metrics if dict(m.dims) == {"member": "model"}}
    assert {*TASK.meta.main_metrics, "worst_acc", "accuracy", "s_w", "noise_floor", "n_transforms"} <= set(whole)
    assert all(whole[name].main for name in TASK.meta.main_metrics)
    assert whole["n"].value == 60
    assert whole["n_transforms"].value == 1
    drops = {(m.dims["set"], m.dims["transform"], m.dims["arm"]) for m in metrics if m.name == "drop_pp"}
    assert {("natural", "plain>markdown", arm) for arm in ("both", "chosen_only", "rejected_only")} <= drops
    assert {("core", "planted_mark", "both"), ("identity", "identity", "both")} <= drops
    assert sum(m.name == "acc_cell" for m in metrics) == 9
    assert {m.dims["set"] for m in metrics if m.name == "mean_drop_pp" and "set" in m.dims} == {
        "noise",
        "stress",
        "natural",
    }
    worst = {m.dims.get("set"): m.n for m in metrics if m.name == "worst_acc"}
    assert worst == {None: 60, "noise": 60, "stress": 60, "natural": 30}
    assert table["replicate"].nunique() == 2


def test_styles_beside_the_pairs_change_none_of_their_values():
    alone, beside = (by_key(drive(data)[2]) for data in (PAIRS, (*PAIRS, *STYLED)))
    assert set(alone) < set(beside)
    for key, m in alone.items():
        assert (m.value, m.se if m.name != "drop_rel" else None, m.p) == (
            beside[key].value,
            beside[key].se if m.name != "drop_rel" else None,  # drawn from the prompts of all rewritings
            beside[key].p,
        )


def test_styles_alone_are_measured_in_their_own_unit():
    table, _, metrics = drive(STYLED)
    found = by_key(metrics)
    scores = {(r.item_id, r.side): r.score for r in table[table["replicate"] == 0].itertuples()}
    styles = ("1-concise", "2-plain", "3-markdown")
    d = [scores[i.id, f"chosen/{s}"] - scores[i.id, f"rejected/{s}"] for i in STYLED for s in styles]
    assert found["s_w", (("member", "model"),)].value == pytest.approx(np.sqrt(np.mean(np.square(d)) / 2), rel=1e-6)
    assert found["accuracy", (("member", "model"),)].reason == "no rows"
    assert found["mean_drop_pp", (("member", "model"), ("set", "natural"))].value is not None


def test_another_scale_of_the_score_changes_only_what_is_in_reward_points():
    first, second = (
        drive(score=score)[2] for score in (SCORE, lambda u: 4 * SCORE(u) - 16 * planted.unit_noise(u.item_id))
    )
    later = by_key(second)
    for m in first:
        other = later[m.key].value
        if m.name == "spearman":  # between prompts, where an offset counts
            continue
        factor = 4 if m.unit == "reward" else 1
        assert other == (m.value if m.value is None else pytest.approx(factor * m.value, rel=1e-4, abs=1e-6))


def test_calling_one_side_the_other_reverses_verdicts_and_leaves_the_unit():
    found = {}
    for name, items in (
        ("as", PAIRS),
        ("reversed", [dataclasses.replace(i, chosen=i.rejected, rejected=i.chosen) for i in PAIRS]),
    ):
        texts = {u.conversation: SCORE(u) for u in units(PAIRS)}
        found[name] = {
            m.name: m.value
            for m in drive(
                items, lambda u, texts=texts: texts.get(u.conversation, float(len(u.conversation[-1].content)))
            )[2]
            if dict(m.dims) == {"member": "model"}
        }
    assert found["as"]["accuracy"] == pytest.approx(1 - found["reversed"]["accuracy"])
    assert found["as"]["mean_drop_pp"] == pytest.approx(-found["reversed"]["mean_drop_pp"])
    assert found["as"]["s_w"] == pytest.approx(found["reversed"]["s_w"])


def test_rewrites_of_a_file_are_a_set_apart():
    made = {}
    for u in units(PAIRS):
        text = text_id(u.conversation)
        problems = ("length",) if "7" in u.unit_id else ()
        made["paraphrase", 0, text] = RewriteRow(
            text=text, kind="paraphrase", rewriter="r", prompt="1", rewritten=u.conversation[-1].content + " so.", problems=problems
        )  # fmt: skip
    gathering = Gathering(TASK.steps(TaskData(PAIRS, rewrites=Rewrites(made)), PARAMS))
    gather([gathering], PlantedSubject(SCORE))  # type: ignore[arg-type]
    metrics = TASK.evaluate(storable(gathering.table()), gathering.arrays, PARAMS)
    check_metrics(metrics)
    found = by_key(metrics)
    dims = (("arm", "both"), ("member", "model"), ("set", "lm"), ("transform", "paraphrase"))
    assert found["drop_pp", dims].value == found["mean_drop_pp", (("member", "model"), ("set", "lm"))].value
    failed = {i.id for i in PAIRS if "7" in i.id}
    assert found["n_valid", dims].value == 60 - len(failed)
    assert len(gathering.arrays["scatter/model/lm/paraphrase"]) == 60 - len(failed)
    rejected = found[
        "rejected_rate", (("problem", "length"), ("set", "lm"), ("side", "chosen"), ("transform", "paraphrase"))
    ]
    assert rejected.value == pytest.approx(len(failed) / 60)
    assert (
        found["mean_drop_pp", (("member", "model"),)].value
        == by_key(drive()[2])["mean_drop_pp", (("member", "model"),)].value
    )


# --- the noise floor ----------------------------------------------------------------------------


class Noisy(PlantedSubject):
    """A model that gives another score when it is asked again."""

    def answer(self, request):
        found = super().answer(request)
        if isinstance(request, Score) and request.replicate:
            found["score"] += np.random.default_rng(7).normal(0, 0.2, len(found))
        return found


@pytest.mark.parametrize("noisy", [False, True])
def test_the_second_replicate_is_the_noise_floor(noisy):
    subject = Noisy(SCORE) if noisy else PlantedSubject(SCORE)
    table, arrays = planted.gather_planted(TASK, PAIRS, PARAMS, subject)
    found = by_key(TASK.evaluate(table, arrays, PARAMS))
    scores = table[table["variant"] == "original"].pivot(index="unit_id", columns="replicate", values="score")
    side = {k: {u.split("#")[0]: v for u, v in scores[k].items() if u.endswith("#chosen")} for k in (0, 1)}
    other = {k: {u.split("#")[0]: v for u, v in scores[k].items() if u.endswith("#rejected")} for k in (0, 1)}
    flips = np.mean([(side[0][i] > other[0][i]) != (side[1][i] > other[1][i]) for i in side[0]])
    assert found["noise_floor", (("member", "model"),)].value == pytest.approx(flips)
    largest = (scores[0] - scores[1]).abs().max()
    assert found["noise_score", (("member", "model"),)].value == pytest.approx(largest, rel=1e-6)
    assert (flips > 0) == (largest > 0) == noisy


# --- the card -----------------------------------------------------------------------------------


def test_the_card_lists_every_transform_that_is_built_in():
    card = Path(package.__file__).with_name("README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in card.splitlines() if line.startswith("| `")]
    listed = {(name.strip().split(",")[0].strip("`"), kind.strip()) for name, kind in rows}
    expected = {(n, "core") for n in CORE} | {(f"{f}_1", "noise") for f in FAMILIES}
    expected |= {(n, "noise") for n in PLAIN_NOISE} | {(n, "stress") for n in STRESS}
    assert expected <= listed
