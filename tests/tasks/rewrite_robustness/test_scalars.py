"""Scalars against loops over rewritings, prompts and pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.params import Params
from harness.tasks.rewrite_robustness.scalars import scalar_rows, subset_rows
from scipy import stats

from harness.stats.linear import linear

from .planted_parts import pairs, part

HOW = Params(draws=400)
NAMES = {"n_transforms", "mean_drop_pp", "worst_drop_pp", "worst_drop_low_pp", "break_rate", "worst_acc"}

STILL = ("mean_drop_pp", "break_rate", "worst_drop_pp")


def found(parts, of, how=HOW, **dims):
    rows = scalar_rows(parts, {"core": of}, how, {"member": "model"})
    return {m.name: m for m in rows if dict(m.dims) == {"member": "model", **dims}}


def core(of, k=3):
    return [part(of, f"t{i}", seed=i + 1, p=0.75 - 0.05 * i, touched=0.9 - 0.2 * i) for i in range(k)]


def counted(parts):
    """(drops by pair, clusters) of each part, by a loop: (pairs,) means over seeds of valid pairs."""
    out = []
    for one in parts:
        keep = one.pairs["valid"].to_numpy()
        out.append(((one.before - one.after)[:, keep], one.pairs["cluster_id"].to_numpy()[keep]))
    return out


# --- means --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_mean_drop_counts_every_rewriting_the_same(seeds):
    of = pairs(seeds=seeds)
    parts = core(of)
    metric = found(parts, of)["mean_drop_pp"]
    assert metric.value == pytest.approx(100 * np.mean([d.mean() for d, _ in counted(parts)]))
    items = {i for one in parts for i, valid in zip(one.pairs["item_id"], one.pairs["valid"], strict=True) if valid}
    assert metric.n == len(items)
    assert found(parts, of)["n_transforms"].value == 3
    assert (metric.unit, metric.higher_is_better, metric.main) == ("pp", False, True)


def mean_drop_se(parts):
    """CR1 by prompt, the influence of a prompt summed over rewritings."""
    total = {}
    for drops, clusters in counted(parts):
        d = drops.mean(axis=0)
        groups = len(set(clusters))
        for value, cluster in zip(d, clusters, strict=True):
            share = (value - d.mean()) / len(d) / len(parts) * np.sqrt(groups / (groups - 1))
            total[cluster] = total.get(cluster, 0.0) + share
    return float(np.sqrt(sum(v**2 for v in total.values())))


def test_the_interval_of_the_mean_drop_knows_that_rewritings_share_their_prompts():
    of = pairs()
    same = [replace(one, rewriting=part(of, f"t{i}").rewriting) for i, one in enumerate([core(of)[0]] * 4)]
    for parts in (core(of), same):
        assert found(parts, of)["mean_drop_pp"].se == pytest.approx(100 * mean_drop_se(parts))
    alone, four = found(same[:1], of)["mean_drop_pp"], found(same, of)["mean_drop_pp"]
    assert four.se == pytest.approx(alone.se)
    assert four.p == pytest.approx(alone.p, abs=0.02)


def test_several_seeds_add_their_own_spread():
    of = pairs(seeds=3)
    parts = core(of)
    by_seed = np.mean([d.mean(axis=1) for d, _ in counted(parts)], axis=0)
    expected = np.hypot(mean_drop_se(parts), by_seed.std(ddof=1) / np.sqrt(3))
    assert found(parts, of)["mean_drop_pp"].se == pytest.approx(100 * expected)
    kept = [one.valid for one in parts]
    rates = [
        [1 - after[before == 1].mean() for before, after in zip(one.before, one.after, strict=True)] for one in kept
    ]
    rates = np.mean(rates, axis=0)
    metric = found(parts, of)["break_rate"]
    assert metric.value == pytest.approx(rates.mean())
    assert metric.se > rates.std(ddof=1) / np.sqrt(3)


def test_p_flips_the_sign_of_a_prompt_in_all_rewritings_at_once():
    of = pairs(200)
    parts = [part(of, f"t{i}", seed=i, p=(0.75, 0.7)[i], touched=(1.0, 0.15)[i]) for i in range(2)]
    sums = {}
    for drops, clusters in counted(parts):
        for value, cluster in zip(drops[0] / drops.shape[1], clusters, strict=True):
            sums[cluster] = sums.get(cluster, 0.0) + value
    total = np.array(list(sums.values()))
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (20_000, len(total)))
    expected = np.mean(np.abs(signs @ total) >= abs(total.sum()) - 1e-12)
    assert found(parts, of)["mean_drop_pp"].p == pytest.approx(expected, abs=0.015)
    assert 0.001 < expected < 0.9


def test_the_break_rate_is_the_mean_of_the_shares_of_what_was_right():
    of = pairs()
    parts = core(of)
    rates = []
    for one in parts:
        right, broken = 0.0, 0.0
        for before, after, valid in zip(one.before[0], one.after[0], one.pairs["valid"], strict=True):
            right += (before == 1) * valid
            broken += (before == 1) * (1 - after) * valid
        rates.append(broken / right)
    metric = found(parts, of)["break_rate"]
    assert metric.value == pytest.approx(np.mean(rates))
    assert 0 <= metric.ci.low < metric.value < metric.ci.high <= 1
    assert metric.p is None


def test_the_interval_of_the_break_rate_is_that_of_leaving_out_prompts():
    of = pairs(240)
    parts = core(of)
    prompts = np.unique(of.clusters)

    def rate(left_out):
        kept = [one.where((one.pairs["cluster_id"] != left_out).to_numpy()) for one in parts]
        return found(kept, of, Params(draws=0))["break_rate"].value

    values = np.array([rate(prompt) for prompt in prompts])
    jackknife = np.sqrt((len(prompts) - 1) / len(prompts) * ((values - values.mean()) ** 2).sum())
    assert found(parts, of)["break_rate"].se == pytest.approx(jackknife, rel=0.03)


def test_the_interval_of_a_rare_break_is_wilsons():
    """One of 60 independent pairs, whose CR1 standard error is that of 59 draws."""
    of = pairs(60, per_prompt=1)
    one = part(of, "t", touched=1.0, invalid=0.0)
    before = np.ones_like(one.before)
    after = before - (np.arange(before.shape[1]) == 7)
    metric = found([replace(one, before=before, after=after)], of)["break_rate"]
    p, n, t = 1 / 60, 59, stats.t.ppf(0.975, 59)
    arm = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
    assert metric.value == pytest.approx(p)
    limits = [(p + t**2 / (2 * n) + sign * arm) / (1 + t**2 / n) for sign in (-1, 1)]
    assert (metric.ci.low, metric.ci.high) == pytest.approx(limits)


# --- the worst ----------------------------------------------------------------------------------


def test_the_worst_drop_pays_for_having_been_chosen():
    of = pairs(200)
    parts = [part(of, f"t{i}", seed=i, p=0.75) for i in range(8)]
    rows = found(parts, of, Params(draws=2000))
    drops = [(d[0], c) for d, c in counted(parts)]
    x = np.array([d.mean() for d, _ in drops])
    se = np.array([linear(d, c).se for d, c in drops])
    rng, names, most = np.random.default_rng(9), np.unique(of.clusters), []
    for _ in range(1500):
        times = dict(zip(*np.unique(rng.choice(names, len(names)), return_counts=True), strict=True))
        w = [np.array([times.get(c, 0) for c in clusters]) for _, clusters in drops]
        again = np.array([(d * wi).sum() / wi.sum() for (d, _), wi in zip(drops, w, strict=True)])
        most.append(((again - x) / se).max())
    q = np.quantile(most, 0.975)
    metric = rows["worst_drop_pp"]
    assert metric.value == pytest.approx(100 * x.max())
    assert metric.ci.high == pytest.approx(100 * (x + 1.959964 * se).max())
    assert metric.ci.low == pytest.approx(100 * (x - q * se).max(), abs=0.35)
    assert q > 2.2
    assert rows["worst_drop_low_pp"].value == metric.ci.low


def test_the_worst_drop_of_seeds_that_differ_is_less_sure():
    of = pairs(200, seeds=2)
    one = part(of, "t", p=0.6, touched=1.0, invalid=0.0)
    alike = replace(one, before=one.before[[0, 0]], after=one.after[[0, 0]])
    width = {}
    for name, parts in (("alike", [alike]), ("apart", [replace(one, after=np.stack([one.after[0], one.before[1]]))])):
        ci = found(parts, of)["worst_drop_pp"].ci
        width[name] = ci.high - ci.low
    assert width["apart"] > 3 * width["alike"]


def test_the_worst_of_one_rewriting_is_as_sure_as_its_seeds():
    seeds = 6
    of = pairs(4000, seeds=seeds, per_prompt=1)
    one = part(of, "t", touched=1.0, invalid=0.0)
    rng = np.random.default_rng(3)
    right = np.stack([(rng.random(len(of.items)) < p).astype(float) for p in np.linspace(0.4, 0.8, seeds)])
    one = replace(one, before=np.ones_like(right), after=right)
    found_ = found([one], of, Params(draws=20_000))["worst_drop_pp"]
    by_seed = 100 * (1 - right.mean(axis=1))
    arm = stats.t.ppf(0.975, seeds - 1) * by_seed.std(ddof=1) / np.sqrt(seeds)
    assert found_.value - found_.ci.low == pytest.approx(arm, rel=0.06)


def test_without_draws_there_is_no_interval_and_nothing_to_rank():
    of = pairs()
    rows = found(core(of), of, Params(draws=0))
    assert rows["worst_drop_pp"].value is not None
    assert rows["worst_drop_pp"].ci is None
    assert (rows["worst_drop_low_pp"].value, rows["worst_drop_low_pp"].reason) == (None, "no bootstrap draws")


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_pair_is_as_good_as_its_worst_valid_rewriting(seeds):
    of = pairs(seeds=seeds)
    parts = [*core(of), part(of, "rare", touched=0.05, p=0.0, invalid=0.3)]
    credit = []
    for s in range(seeds):
        for i, item in enumerate(of.items.index):
            least = of.credits[s, i]
            for one in parts:
                if item in one.pairs.index and one.pairs.loc[item, "valid"]:
                    least = min(least, one.after[s, one.pairs.index.get_loc(item)])
            credit.append(least)
    metric = found(parts, of)["worst_acc"]
    assert metric.value == pytest.approx(np.mean(credit))
    assert metric.n == len(of.items)
    assert metric.ci.low < metric.value < metric.ci.high
    assert metric.higher_is_better


@pytest.mark.parametrize("wrong", [0, 1])
def test_two_samples_of_a_language_model_are_one_pair_to_the_worst(wrong):
    of = pairs()
    one = part(of, "paraphrase", "lm", p=1.0, touched=1.0, invalid=0.0)
    frame = pd.concat([one.pairs.set_axis([f"{i}/{sample}" for i in one.pairs.index]) for sample in "01"])
    after = [np.full_like(one.after, float(sample != wrong)) for sample in (0, 1)]
    twice = ("before", "margin_before", "margin_after")
    arrays = {name: np.concatenate([getattr(one, name)] * 2, axis=1) for name in twice}
    double = replace(one, pairs=frame, after=np.concatenate(after, axis=1), **arrays)
    assert found([double], of, set="lm")["worst_acc"].value == 0


# --- sets ---------------------------------------------------------------------------------------


def test_other_sets_stand_apart_and_change_nothing_of_the_core():
    of = pairs()
    parts = core(of)
    others = [part(of, f"other/{kind}", kind, seed=9, p=0.2) for kind in ("noise", "stress", "lm", "style", "natural")]
    ignored = [
        part(of, "identity", "identity", p=0.1),
        part(of, "t0", arm="chosen_only", p=0.1),
        part(of, "t0", arm="rejected_only", p=0.1),
    ]
    rows = scalar_rows([*parts, *others, *ignored], {"core": of}, HOW, {"member": "model"})
    assert found([*parts, *others, *ignored], of) == found(parts, of)
    assert {m.dims.get("set") for m in rows} == {None, "noise", "stress", "lm", "style", "natural"}
    for kind in ("noise", "natural"):
        apart = {m.name: m for m in rows if m.dims.get("set") == kind}
        assert set(apart) == NAMES
        assert apart["mean_drop_pp"].value == pytest.approx(
            100 * counted([o for o in others if o.rewriting.kind == kind])[0][0].mean()
        )
        assert not any(m.main for m in apart.values())


def test_a_set_can_have_pairs_of_its_own():
    of, own = pairs(), pairs(60, seed=4, p=1.0)
    right = replace(own, credits=np.ones_like(own.credits))
    one = part(right, "a>b", "natural", p=1.0, touched=1.0)
    one = replace(one, after=np.ones_like(one.after))
    rows = scalar_rows([one], {"core": of, "natural": right}, HOW, {})
    (metric,) = [m for m in rows if m.name == "worst_acc" and m.dims == {"set": "natural"}]
    assert (metric.value, metric.n) == (1.0, 60)


def test_invalid_rewrites_count_for_nothing():
    of = pairs()
    clean = part(of, "t", invalid=0.3)
    spoiled = replace(clean, after=np.where(clean.pairs["valid"].to_numpy(), clean.after, 0.0))
    assert found([clean], of) == found([spoiled], of)
    assert clean.after.tolist() != spoiled.after.tolist()


def test_a_rewriting_of_few_prompts_is_not_in_the_mean():
    of = pairs(200)
    rare = part(of, "rare", touched=0.08, p=0.0, invalid=0.0)
    prompts = rare.pairs["cluster_id"].nunique()
    assert 5 < prompts < 20
    parts = core(of)
    with_rare, without = found([*parts, rare], of), found(parts, of)
    assert with_rare["n_transforms"].value == 3
    for name in ("mean_drop_pp", "worst_drop_pp", "break_rate"):
        assert with_rare[name] == without[name]
    assert with_rare["worst_acc"].value < without["worst_acc"].value


@pytest.mark.parametrize(("prompts", "counted_"), [(19, 0), (20, 1)])
def test_twenty_prompts_are_enough(prompts, counted_):
    of = pairs(prompts, per_prompt=1)
    rows = found([part(of, "t", touched=1.0, invalid=0.0)], of)
    assert rows["n_transforms"].value == counted_
    assert (rows["mean_drop_pp"].value is not None) == counted_


@pytest.mark.parametrize(("right", "known"), [(19, False), (20, True)])
def test_every_seed_needs_twenty_prompts_that_were_right(right, known):
    of = pairs(60, seeds=2, per_prompt=1)
    one = part(of, "t", touched=1.0, invalid=0.0)
    before = np.stack([np.ones(60), (np.arange(60) < right).astype(float)])
    assert (found([replace(one, before=before)], of)["break_rate"].value is not None) == known


def test_without_a_rewriting_there_is_a_reason():
    of = pairs()
    rows = found([], of)
    assert {name for name, m in rows.items() if m.value is None} == NAMES - {"n_transforms", "worst_acc"}
    assert "no rewriting of the set core" in rows["mean_drop_pp"].reason
    assert rows["worst_acc"].value == rows["accuracy"].value == pytest.approx(of.credits.mean())
    wrong = replace(of, credits=np.zeros_like(of.credits))
    never_right = [replace(one, before=np.zeros_like(one.before)) for one in core(wrong)]
    assert "right before" in found(never_right, wrong)["break_rate"].reason


# --- parts of the data --------------------------------------------------------------------------


def test_subsets_have_their_own_accuracy_and_mean():
    of = pairs(240)
    parts = core(of)
    rows = subset_rows(parts, of, HOW, {"member": "m"})
    assert [(m.name, m.dims["subset"]) for m in rows] == [
        (name, subset) for subset in ("one", "two") for name in ("accuracy", "mean_drop_pp")
    ]
    for m in rows:
        assert m.dims == {"member": "m", "dataset": "d", "subset": m.dims["subset"]}
        mask = (of.items["subset"] == m.dims["subset"]).to_numpy()
        inside = [one.where((one.pairs["subset"] == m.dims["subset"]).to_numpy()) for one in parts]
        whole = found(inside, of.where(mask))[m.name]
        assert (m.value, m.p, m.n, m.main) == (whole.value, whole.p, whole.n, False)


def test_a_subset_without_enough_prompts_has_no_drop_and_says_so():
    of = pairs(36)
    rows = subset_rows(core(of), of, HOW, {})
    assert [m.value for m in rows if m.name == "mean_drop_pp"] == [None, None]
    assert all(m.value is not None for m in rows if m.name == "accuracy")


def test_rows_in_another_order_give_the_same():
    of = pairs(seeds=2)
    parts = core(of)
    rng = np.random.default_rng(0)
    moved = []
    for one in parts:
        order = rng.permutation(len(one.pairs))
        arrays = {k: getattr(one, k)[:, order] for k in ("before", "after", "margin_before", "margin_after")}
        moved.append(replace(one, pairs=one.pairs.iloc[order], **arrays))
    first, second = found(parts, of), found(moved, of)
    for name, metric in first.items():
        assert metric.value == pytest.approx(second[name].value)
        assert metric.p == pytest.approx(second[name].p) if metric.p is not None else second[name].p is None


def test_nothing_that_turned_is_bounded_by_what_may():
    """Every interval of a 0 is as wide as Wilson's limit for 0 of n, though no standard error says so."""
    of = pairs(400, per_prompt=1)
    every = [replace(one, after=one.before) for one in (part(of, "a"), part(of, "b", seed=3))]
    still = found(every, of)
    sizes = [len(one.valid.pairs) for one in every]
    t = [stats.t.ppf(0.975, n - 1) for n in sizes]
    limits = [q**2 / (n + q**2) for n, q in zip(sizes, t, strict=True)]
    assert {still[name].value for name in STILL} == {0}
    mean, broken, worst = (still[name].ci for name in STILL)
    assert (mean.low, mean.high) == pytest.approx((-100 * np.mean(limits), 100 * np.mean(limits)))
    assert broken.low == 0 < broken.high < 0.02
    assert worst.high == pytest.approx(100 * max(limits))
    assert -100 * max(limits) < worst.low <= 0
