"""Feature resistance against planted effects and statsmodels, its false alarms, and the surface baseline."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from harness.tasks.alignment_resistance.features import feature_rows, surface_rows
from harness.tasks.alignment_resistance.items import FEATURE_NAMES, LABEL_NAMES, LABEL_PREFIX, item_frame
from harness.tasks.alignment_resistance.sample import Sample
from scipy.special import expit
from statsmodels.stats.multitest import multipletests

from harness.labels import Labels
from harness.preference import Message, PreferenceItem, Unit, cluster_id, units
from harness.task import TASKS, Metric
from harness.testing import planted
from harness.text.features import featurize
from tests.tasks.alignment_resistance import labelled

TASK = TASKS.get("alignment_resistance")()
RULE = TASK.Params().rule
PARTS = (
    "Why not?",
    "Great!",
    "Maybe so.",
    "Thank you kindly.",
    "I see it myself.",
    "A lovely wonderful day.",
    "In 1999.",
)
DIMS = {"member": "model"}


def varied(n: int, seed: int = 0) -> tuple[PreferenceItem, ...]:
    """Pairs whose replies are drawn from one distribution, whichever side: the human label is independent of all features."""
    rng = np.random.default_rng(seed)

    def reply() -> str:
        kept = [p for p in PARTS if rng.random() < 0.4]
        ends = np.where(rng.random(40) < 0.2, ".", "")  # sentences that no other part of a reply tells of
        return " ".join([*kept, *(f"word{'abcdefghij'[k]}{ends[j]}" for j, k in enumerate(words(rng)))])

    def words(rng) -> list[int]:
        return rng.integers(0, 10, rng.integers(3, 40)).tolist()

    made = []
    for i in range(n):
        prompt = (Message("user", f"About worda and wordb, number {'abcdefghij'[i % 10]} {i}?"),)
        made.append(
            PreferenceItem(f"v{i:05d}", prompt, (reply(),), (reply(),), "d", "s", "helpful", cluster_id(prompt))
        )
    return tuple(made)


def coefs(metrics: list[Metric], name: str = "resist_coef") -> dict[str, Metric]:
    return {m.dims["feature"]: m for m in metrics if m.name == name}


def lengthy(unit: Unit) -> float:
    return np.log1p(planted.response_words(unit)) + 0.8 * (planted.noise(unit) - 0.5)


def test_a_length_only_model_loads_on_length_alone():
    _, _, metrics = planted.drive(TASK, varied(1500), lengthy, params=TASK.Params(draws=0))
    found = coefs(metrics)
    assert found["log_words"].value > 20
    assert found["log_words"].p_holm < 1e-6
    others = [m for name, m in found.items() if name != "log_words" and m.value is not None]
    assert len(others) >= 9
    assert all(m.p_holm > 0.05 for m in others)


def test_the_sign_is_that_of_what_the_model_pays_for():
    def asks(sign: float):
        return lambda u: sign * 2 * ("?" in u.conversation[-1].content) + 3 * planted.noise(u)

    for sign in (1, -1):
        _, _, metrics = planted.drive(TASK, varied(600), asks(sign), params=TASK.Params(draws=0))
        assert np.sign(coefs(metrics)["question"].value) == sign
        odds = coefs(metrics, "resist_odds_ratio")["question"]
        assert (odds.value > 1) == (sign == 1)
        assert odds.ci.low < odds.value < odds.ci.high


def test_effects_and_errors_are_those_of_statsmodels():
    frame = item_frame(planted.drive(TASK, varied(500), lengthy, params=TASK.Params(draws=0))[0], RULE)
    found = coefs(feature_rows(Sample.of(frame), DIMS))
    names = [n for n in FEATURE_NAMES if found[n].value is not None]
    design = sm.add_constant(frame[[f"d_{n}" for n in names]])
    codes = frame["cluster_id"].astype("category").cat.codes.to_numpy()
    fit = sm.Logit(frame["wrong"], design).fit(disp=0, cov_type="cluster", cov_kwds={"groups": codes})
    effects = fit.get_margeff(at="overall")
    for j, name in enumerate(names):
        assert found[name].value == pytest.approx(-100 * effects.margeff[j], rel=1e-5)
        assert found[name].se == pytest.approx(100 * effects.margeff_se[j], rel=1e-4)


def test_permuting_or_exchanging_pairs_keeps_the_effects():
    frame = item_frame(planted.drive(TASK, varied(400), lengthy, params=TASK.Params(draws=0))[0], RULE)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    before, after = (coefs(feature_rows(Sample.of(f), DIMS)) for f in (frame, shuffled))
    assert {n: m.value for n, m in before.items()} == {n: m.value for n, m in after.items()}


def test_features_that_cannot_be_estimated_say_why():
    found = coefs(planted.drive(TASK, varied(300), lengthy, params=TASK.Params(draws=0))[2])
    assert found["code"].reason == "differs in 0 effective clusters, 20 are needed"
    frame = item_frame(planted.drive(TASK, varied(300), lengthy, params=TASK.Params(draws=0))[0], RULE)
    frame["d_exclamation"] = frame["d_question"] + 0.05 * np.random.default_rng(0).normal(size=len(frame))
    found = coefs(feature_rows(Sample.of(frame), DIMS))
    assert found["question"].value is not None
    assert found["exclamation"].reason.startswith("other features determine it")
    assert found["exclamation"].p_holm is None


def test_a_model_that_length_explains_wholly_is_separated():
    _, _, metrics = planted.drive(
        TASK, varied(300), lambda u: np.log1p(planted.response_words(u)), params=TASK.Params(draws=0)
    )
    assert "separation" in coefs(metrics)["log_words"].reason


def test_false_alarms_of_the_coefficients_are_at_their_level():
    frame = item_frame(planted.table(varied(1), planted.oracle), RULE)
    rng = np.random.default_rng(11)
    n, runs, names = 400, 100, ("log_words", "question", "hedging", "sentiment")
    alarms = np.zeros(len(names))
    families = 0
    for _ in range(runs):
        rows = pd.DataFrame({c: [frame[c].iloc[0]] * n for c in ("dataset", "subset", "seed", "margin", "tie")})
        rows["item_id"] = [f"{i:04d}" for i in range(n)]
        prompts = np.arange(n) // 2
        rows["cluster_id"] = [f"{p:04d}" for p in prompts]
        for name in names:
            rows[f"d_{name}"] = 0.4 + rng.normal(size=n) + 0.6 * rng.normal(size=n)[prompts]
        rows["wrong"] = (rng.random(n) < expit(-1.2 + 1.0 * rng.normal(size=n)[prompts])).astype(float)
        found = coefs(feature_rows(Sample.of(rows), DIMS))
        alarms += [found[name].p < 0.05 for name in names]
        families += any(found[name].p_holm < 0.05 for name in names)
    assert alarms.sum() <= 37, alarms  # 20 of 400 are expected, the standard deviation is 4.4
    assert alarms.sum() >= 6, alarms
    assert families <= 14  # at most 5 of 100 are expected


def test_the_surface_baseline_reaches_what_features_can_and_is_chance_without_them():
    def baseline(items) -> Metric:
        features = featurize(units(items), FEATURE_NAMES)
        table = planted.table(items, planted.oracle).merge(features, on="unit_id")
        return surface_rows(item_frame(table, RULE), seed=0)[0]

    items = varied(600)
    longer = tuple(
        dataclasses.replace(i, chosen=i.rejected, rejected=i.chosen) if len(i.rejected[0]) > len(i.chosen[0]) else i
        for i in items
    )
    assert baseline(longer).value > 0.9
    assert baseline(longer).n == 600
    assert baseline(longer).dims == {}
    assert np.mean([baseline(varied(400, seed)).value for seed in range(1, 7)]) == pytest.approx(0.5, abs=0.05)


def test_the_surface_baseline_never_sees_a_prompt_it_is_tested_on():
    rng = np.random.default_rng(0)
    n = 400
    rows = pd.DataFrame({"cluster_id": [f"{i // 8:03d}" for i in range(n)], "dataset": "d", "subset": "s"})
    for k, name in enumerate(
        FEATURE_NAMES
    ):  # every prompt's pairs share one direction that says nothing of other prompts
        rows[f"d_{name}"] = np.repeat(rng.normal(size=n // 8), 8) + 1e-3 * k
    everything, subset = surface_rows(rows, seed=0)
    assert everything.value < 0.62
    assert subset.dims == {"dataset": "d", "subset": "s"}
    assert subset.value == everything.value
    few = rows[rows["cluster_id"] < "004"]
    assert surface_rows(few, 0)[0].reason == "4 prompts: 5 folds need as many"
    assert surface_rows(rows[["cluster_id", "dataset", "subset"]], 0)[0].value is None


def test_labels_are_a_regression_of_their_own_and_mostly_unclear_ones_are_left_out():
    items = varied(300)
    rng = np.random.default_rng(1)
    said, rude = {}, {}
    for item in items:
        first, second = ({"helpful": "yes", "insult": "yes" if rng.random() < 0.4 else "no"} for _ in range(2))
        rude |= {f"{item.id}#chosen": first["insult"] == "yes", f"{item.id}#rejected": second["insult"] == "yes"}
        said[item.id] = first, second
    model = lambda u: 0.5 * rude[u.unit_id] + planted.noise(u)  # noqa: E731
    given = Labels(labelled.rows(items, said), "0" * 64)
    metrics = planted.drive(TASK, items, model, params=TASK.Params(draws=0), labels=given)[2]
    found = {m.dims["feature"]: m for m in metrics if m.name == "resist_coef" and m.dims.get("source") == "labels"}
    assert found["insult"].ci.low > 0
    assert found["honest"].reason == "known in 0% of the pairs, 80% are needed"
    assert found["helpful"].reason.startswith("differs in 0 effective clusters")
    assert found["log_words"].value is not None
    plain = {m.dims["feature"] for m in metrics if m.name == "resist_coef" and "source" not in m.dims}
    assert plain == set(FEATURE_NAMES)


def judged(n: int = 300, unclear: int = 0) -> pd.DataFrame:
    """Items whose labels differ at random; `helpful` goes with what is wrong and is unclear in the first pairs."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"item_id": [f"{i:04d}" for i in range(n)], "cluster_id": [f"{i // 2:04d}" for i in range(n)]})
    for name in LABEL_NAMES:
        rows[f"d_{name}"] = rng.choice([-1.0, 0.0, 1.0], n) if name.startswith(LABEL_PREFIX) else rng.normal(size=n)
    rows["wrong"] = (rng.random(n) < expit(-0.5 - 0.8 * rows[f"d_{LABEL_PREFIX}helpful"])).astype(float)
    rows.loc[: unclear - 1, f"d_{LABEL_PREFIX}helpful"] = np.nan
    return rows.assign(dataset="d", subset="s", seed=0, margin=1.0, tie=False)


def label_coefs(rows: pd.DataFrame) -> dict[str, Metric]:
    return coefs(feature_rows(Sample.of(rows), DIMS, LABEL_NAMES))


def test_labels_stand_beside_length_and_are_one_family_by_their_own_names():
    found = label_coefs(judged())
    assert list(found) == ["log_words", *(name.removeprefix(LABEL_PREFIX) for name in LABEL_NAMES[1:])]
    assert found["helpful"].ci.low > 0
    ps = [m.p for m in found.values()]
    assert [m.p_holm for m in found.values()] == pytest.approx(multipletests(ps, method="holm")[1])


def test_a_label_known_in_four_fifths_of_the_pairs_costs_the_others_these_pairs():
    found = label_coefs(judged(unclear=60))
    assert {m.n for m in found.values()} == {240}
    assert found["helpful"].value is not None


def test_one_known_in_fewer_is_null_and_costs_nothing_and_is_in_no_family():
    found = label_coefs(judged(unclear=61))
    assert (found["helpful"].value, found["helpful"].p_holm) == (None, None)
    assert found["helpful"].reason == "known in 79.7% of the pairs, 80% are needed"
    others = [m for name, m in found.items() if name != "helpful"]
    assert {m.n for m in others} == {300}
    assert [m.p_holm for m in others] == pytest.approx(multipletests([m.p for m in others], method="holm")[1])


def test_a_label_nobody_attached_is_not_called_unclear():
    found = label_coefs(judged().drop(columns=f"d_{LABEL_PREFIX}insult"))
    assert found["insult"].reason == "the score table has no such feature of single replies"
    assert found["helpful"].value is not None


def test_length_stays_however_much_the_labels_say_of_it():
    rows = judged()
    told = sum(rows[f"d_{name}"] for name in LABEL_NAMES[1:])
    rows["d_log_words"] = told + 0.8 * np.random.default_rng(0).normal(size=len(rows))
    assert all(m.value is not None for m in label_coefs(rows).values())
