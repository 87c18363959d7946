"""Flips of labels and of verdicts: a planted effect behind a noisy labeler, tables by hand, and what may not be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from harness.tasks.rewrite_robustness.flips import flip_rows
from harness.tasks.rewrite_robustness.relabelled import Relabelled
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

from harness.stats.multiplicity import holm
from tests.tasks.rewrite_robustness.flipping import compared, relabelled, scene

DIMS = {"member": "model"}
LOST = {"side": "chosen", "change": "lost"}


def found(every, labels, **dims):
    """Metrics by name: those of one cell."""
    mine = {**LOST, "event": "break", **dims}
    return {m.name: m for m in flip_rows(every, labels, DIMS) if all(m.dims.get(k, v) == v for k, v in mine.items())}


def table(cells: dict[tuple[float, float], tuple[int, int]], event: str = "break", seed: int = 0, seeds: int = 1):
    """Pairs by (change of chosen, change of rejected): (pairs, events among them). Two pairs a prompt."""
    rng = np.random.default_rng(seed)
    rows = [(c, r, i < k) for (c, r), (n, k) in cells.items() for i in range(n)]
    chosen, rejected, happened = (np.array(x, dtype=float) for x in zip(*rows, strict=True))
    before = np.full((seeds, len(rows)), float(event == "break"))
    after = np.where(happened, 1 - before, before)
    clusters = np.array([f"p{i:05d}" for i in rng.permutation(len(rows)) // 2])
    labels = relabelled({"chosen": chosen, "rejected": rejected}, {"chosen": 0 * chosen}, clusters, rng)
    return compared(before, after, clusters), labels


def plain(labels: Relabelled) -> Relabelled:
    """Without controls: they are the same for all."""
    return replace(labels, changes=labels.changes.assign(edit_ratio=0.1, dlog_words=0.0))


def test_a_planted_effect_is_covered_by_pi_and_halved_in_the_raw_difference():
    rng = np.random.default_rng(0)
    runs = [found([c], labels) for c, labels in (scene(rng) for _ in range(200))]
    runs = [r for r in runs if r["pi"].value is not None]
    assert len(runs) > 190
    pi, raw = (
        np.array([[r[name].value, r[name].ci.low, r[name].ci.high] for r in runs]).T for name in ("pi", "pi_ame")
    )
    covered = [np.mean((low <= 0.3) & (high >= 0.3)) for _, low, high in (pi, raw)]
    assert covered[0] >= 0.93
    assert covered[1] < 0.75
    assert np.mean(pi[0]) == pytest.approx(0.3, abs=0.05)  # A/A is taken from true flips as well: a little too high
    assert np.mean(raw[0]) < 0.22
    assert np.mean([r["pi"].se for r in runs]) == pytest.approx(np.std(pi[0]), rel=0.2)
    # true positives .6 x .12 x .95^2 = .065; flips between equal truths .88 x .95 x .05
    assert np.mean([r["flip"].value for r in runs]) == pytest.approx(0.065 + 0.88 * 0.0475, abs=0.004)
    assert np.mean([r["aa_flip"].value for r in runs]) == pytest.approx(0.0475, abs=0.003)
    ppv = np.array([(r["ppv"].value, r["ppv"].se) for r in runs])
    assert np.std(ppv[:, 0]) == pytest.approx(np.mean(ppv[:, 1]), rel=0.2)


def test_without_an_effect_false_alarms_are_rare():
    rng = np.random.default_rng(1)
    runs = [found([c], labels) for c, labels in (scene(rng, effect=0.0) for _ in range(100))]
    for name in ("pi_logodds", "pi_ame"):
        assert np.mean([r[name].p < 0.05 for r in runs]) <= 0.13


def test_cells_of_seal_without_controls_are_a_table_with_half_an_event():
    # Of SEAL's 1,423 pairs with no flip of the chosen reply's sentiment and the 79 with a loss, all taken as right before.
    c, labels = table({(0, 0): (1423, 142), (-1, 0): (79, 17)})
    cell = found([c], plain(labels))
    assert cell["pi_logodds"].value == pytest.approx(np.log(17.5 / 62.5 / (142.5 / 1281.5)), abs=1e-6)
    assert np.exp([cell["pi_logodds"].ci.low, cell["pi_logodds"].ci.high]) == pytest.approx([1.41, 4.35], rel=0.06)
    assert cell["pi_ame"].value == pytest.approx(17.5 / 80 - 142.5 / 1424, abs=1e-6)
    assert cell["pi_ame"].value == pytest.approx(0.1154, abs=0.004)
    assert (cell["cell_n"].value, cell["cell_n"].n) == (79, 1502)
    assert cell["flip"].value == pytest.approx(79 / 1502)


def test_gained_and_lost_are_each_compared_with_neither():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (200, 100), (1, 0): (200, 190)})
    neither = 60.5 / 301
    assert found([c], plain(labels))["pi_ame"].value == pytest.approx(100.5 / 201 - neither, abs=1e-6)
    assert found([c], plain(labels), change="gained")["pi_ame"].value == pytest.approx(190.5 / 201 - neither, abs=1e-6)


@pytest.mark.parametrize("event", ["break", "fix"])
def test_large_cells_against_a_plain_logit(event):
    cells = {
        (0, 0): (900, 200),
        (-1, 0): (200, 80),
        (1, 0): (150, 30),
        (0, -1): (600, 500),
        (0, 1): (160, 60),
        (-1, 1): (90, 50),
    }
    c, labels = table(cells, event)
    sides = {side: labels.changes.xs(side, level="side") for side in ("chosen", "rejected")}
    columns = [np.ones(len(c.pairs))]
    columns += [(np.sign(sides[s]["helpful"]) == sign).to_numpy() for s in sides for sign in (1, -1)]
    columns += [sides[s][name].to_numpy() for name in ("edit_ratio", "dlog_words") for s in sides]
    X = np.column_stack(columns).astype(float)
    y = (c.after != c.before)[0].astype(float)
    codes = np.unique(c.pairs["cluster_id"], return_inverse=True)[1]
    fit = Logit(y, X).fit(disp=0, cov_type="cluster", cov_kwds={"groups": codes})
    for j, (side, change) in enumerate([(s, w) for s in sides for w in ("gained", "lost")], start=1):
        cell = found([c], labels, side=side, change=change, event=event)
        assert cell["pi_logodds"].value == pytest.approx(fit.params[j], abs=0.02)
        assert cell["pi_logodds"].se == pytest.approx(fit.bse[j], rel=0.01)
        one, none = X.copy(), X.copy()
        pair = [j, j + 1] if change == "gained" else [j - 1, j]
        one[:, pair] = none[:, pair] = 0
        one[:, j] = 1
        effect = (expit(one @ fit.params) - expit(none @ fit.params)).mean()
        assert cell["pi_ame"].value == pytest.approx(effect, abs=0.004)
        assert cell["cell_n"].value == X[:, j].sum()
    other = "fix" if event == "break" else "break"
    assert found([c], labels, event=other)["cell_n"].value == 0
    assert "0 pairs" in found([c], labels, event=other)["pi_logodds"].reason


def test_the_population_is_the_pairs_that_can_have_the_event():
    c, labels = table({(0, 0): (200, 40), (-1, 0): (60, 30)})
    before, after = np.tile(c.before, (1, 1)), c.after.copy()
    expected = {m.name: m.value for m in found([c], labels).values()}
    rng = np.random.default_rng(3)
    more = 150
    wrong = np.zeros((1, more))
    tied = np.full((1, 7), 0.5)
    clusters = np.concatenate([c.pairs["cluster_id"], [f"q{i}" for i in range(more + 7)]])
    big = compared(np.hstack([before, wrong, tied]), np.hstack([after, rng.random((1, more)) < 0.5, tied]), clusters)
    deltas = {s: labels.changes.xs(s, level="side")["helpful"].to_numpy() for s in ("chosen", "rejected")}
    filled = {s: np.concatenate([x, rng.choice([-1.0, 0, 1], more + 7)]) for s, x in deltas.items()}
    wider = relabelled(filled, {"chosen": np.zeros(len(clusters))}, clusters, rng)
    of = wider.changes.index.get_level_values("pair").isin(c.pairs.index)
    for name in ("edit_ratio", "dlog_words"):
        wider.changes.loc[of, name] = labels.changes[name].reindex(wider.changes.index[of])
    got = found([big], wider)
    for name in ("pi_logodds", "pi_ame", "cell_n"):
        assert got[name].value == pytest.approx(expected[name])
    assert got["pi_ame"].n == 260


def test_small_cells_are_suppressed_and_their_pairs_are_not_the_reference():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (40, 20), (1, 0): (19, 19)})
    cell, small = found([c], plain(labels)), found([c], plain(labels), change="gained")
    assert small["cell_n"].value == 19
    assert [small[name].value for name in ("pi_logodds", "pi_ame", "pi")] == [None] * 3
    assert "19 pairs" in small["pi_ame"].reason
    assert cell["pi_ame"].value == pytest.approx(20.5 / 41 - 60.5 / 301, abs=1e-6)
    c, labels = table({(0, 0): (300, 60), (-1, 0): (40, 20), (1, 0): (20, 9)})
    assert found([c], labels, change="gained")["pi_ame"].value is not None


def test_a_cell_that_a_smaller_one_empties_is_suppressed_too():
    c, labels = table({(0, 0): (300, 60), (-1, 1): (10, 5), (-1, 0): (12, 3), (0, -1): (30, 9)})
    assert found([c], labels)["cell_n"].value == 22
    assert "22 pairs" in found([c], labels)["pi_ame"].reason
    assert found([c], labels, side="rejected")["pi_ame"].value is not None


def test_separation_keeps_the_value_and_says_that_there_is_no_interval():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (40, 0), (0, -1): (50, 20)})
    cell = found([c], plain(labels))
    assert cell["pi_ame"].value == pytest.approx(0.5 / 41 - 60.5 / 301, abs=0.03)
    for name in ("pi_logodds", "pi_ame", "pi"):
        assert cell[name].value < 0
        assert (cell[name].ci, cell[name].p, cell[name].p_holm) == (None, None, None)
        assert "separation" in cell[name].reason
    assert found([c], plain(labels), side="rejected")["pi_ame"].ci is not None
    nothing, labels = table({(0, 0): (300, 0), (-1, 0): (40, 0)})
    assert "all or none of the 340 pairs break" in found([nothing], labels)["pi_logodds"].reason


def test_pi_needs_a_labeler_asked_twice_and_more_flips_than_it_makes_by_itself():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (100, 40)})
    assert found([c], labels)["pi"].value == pytest.approx(found([c], labels)["pi_ame"].value)
    once = found([c], replace(labels, again=labels.again.iloc[:19]))
    for name in ("aa_flip", "ppv", "pi"):
        assert once[name].value is None
        assert "19 replies labelled twice" in once[name].reason
        assert "--retest 1" in once[name].reason
    assert once["pi_ame"].value is not None
    rng = np.random.default_rng(4)
    for share, known in ((0.3, True), (0.36, False)):
        noisy = labels.again.assign(helpful=np.where(np.arange(400) < 400 * share, rng.choice([-1.0, 1.0], 400), 0))
        got = found([c], replace(labels, again=noisy))
        assert got["aa_flip"].value == pytest.approx(share / 2)
        assert got["ppv"].value == pytest.approx(1 - share / 2 / 0.25)
        assert (got["pi"].value is not None) == known
        if known:
            assert got["pi"].value == pytest.approx(got["pi_ame"].value / got["ppv"].value)
            relative = [got[name].se / got[name].value for name in ("pi_ame", "ppv")]
            assert got["pi"].se == pytest.approx(got["pi"].value * np.hypot(*relative))
        else:
            assert "28%" in got["pi"].reason


def test_each_side_is_held_to_its_own_labels_made_twice():
    c, labels = table({(0, 0): (300, 60), (-1, -1): (100, 40)})
    n = len(labels.again)
    rejected = labels.again.assign(side="rejected", helpful=(np.arange(n) < n // 10).astype(float))
    both = replace(labels, again=pd.concat([labels.again, rejected]))
    for side, share in (("chosen", 0.0), ("rejected", 0.05)):
        got = found([c], both, side=side)
        assert got["aa_flip"].value == pytest.approx(share)
        assert got["ppv"].value == pytest.approx(1 - share / 0.25)


def test_what_may_leave_the_unit_interval_is_no_proportion():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (20, 10)})
    got = found([c], replace(labels, again=labels.again.assign(helpful=1.0)))
    assert got["ppv"].value == pytest.approx(1 - 0.5 / (20 / 320))
    assert {got[name].unit for name in ("ppv", "pi")} == {"ratio"}
    assert {got[name].unit for name in ("flip", "aa_flip", "pi_ame")} == {"proportion"}


def test_unknown_labels_and_invalid_rewrites_are_left_out():
    c, labels = table({(0, 0): (200, 40), (-1, 0): (60, 30)})
    gone = labels.changes.copy()
    gone.loc[("paraphrase", "i230/0", "chosen"), "helpful"] = np.nan
    gone.loc[("paraphrase", "i0/0", "rejected"), "helpful"] = np.nan
    cell = found([c], replace(labels, changes=gone))
    assert (cell["cell_n"].value, cell["pi_ame"].n, cell["flip"].n) == (59, 258, 259)
    valid = c.pairs["valid"].to_numpy(copy=True)
    valid[205:210] = False
    assert found([replace(c, pairs=c.pairs.assign(valid=valid))], labels)["cell_n"].value == 55
    dropped = labels.changes.drop(("paraphrase", "i3/0", "rejected"))
    assert found([c], replace(labels, changes=dropped))["pi_ame"].n == 259
    similar = labels.changes.assign(similarity=np.random.default_rng(1).random(len(labels.changes)))
    part = similar.copy()
    part.loc[("paraphrase", "i3/0", "chosen"), "similarity"] = np.nan
    neither = part.copy()
    neither.loc[("paraphrase", "i9/0", "rejected"), "similarity"] = np.nan
    values = [found([c], replace(labels, changes=x))["pi_ame"].value for x in (labels.changes, neither, part, similar)]
    assert values[0] == values[1]
    assert len(set(values)) == 3


def test_order_and_scores_do_not_matter_and_the_sides_exchange():
    c, labels = scene(np.random.default_rng(5), 400)
    order = np.random.default_rng(6).permutation(400)
    shuffled = replace(c, pairs=c.pairs.iloc[order], before=c.before[:, order], after=c.after[:, order],
                       margin_before=c.margin_before[:, order], margin_after=c.margin_after[:, order])  # fmt: skip
    mixed = replace(labels, changes=labels.changes.sample(frac=1, random_state=1), again=labels.again[::-1])
    one, other = (
        {m.key: m.value for m in flip_rows([x], y, DIMS) if m.value is not None}
        for x, y in ((c, labels), (shuffled, mixed))
    )
    assert other == pytest.approx(one, rel=1e-5)
    names = {"chosen": "rejected", "rejected": "chosen"}
    turned = replace(labels, changes=labels.changes.rename(index=names, level="side"))
    assert found([c], turned, side="rejected")["pi_ame"].value == pytest.approx(found([c], labels)["pi_ame"].value)
    negative = replace(labels, changes=labels.changes.assign(helpful=-labels.changes["helpful"]))
    assert found([c], negative, change="gained")["pi_ame"].value == pytest.approx(found([c], labels)["pi_ame"].value)


def test_seeds_are_fitted_together_and_their_spread_is_added():
    c, labels = table({(0, 0): (300, 60), (-1, 0): (60, 30), (0, 1): (50, 10)})
    twin = replace(c, **{name: np.tile(getattr(c, name), (2, 1)) for name in ("before", "after", "margin_before", "margin_after")},
                   old=np.zeros((2, 0)), new=np.zeros((2, 0)))  # fmt: skip
    one, two = found([c], labels), found([twin], labels)
    assert two["pi_ame"].value == pytest.approx(one["pi_ame"].value, abs=0.005)
    assert two["pi_ame"].se == pytest.approx(one["pi_ame"].se, rel=0.05)
    assert (two["pi_ame"].n, two["cell_n"].value) == (one["pi_ame"].n, 60)
    few, labels_of_few = table({(0, 0): (300, 60), (-1, 0): (15, 8)}, seeds=2)
    assert "15 pairs" in found([few], labels_of_few)["pi_ame"].reason
    after = twin.after.copy()
    lost = labels.changes.xs("chosen", level="side")["helpful"].to_numpy() < 0
    after[1, lost] = 1.0
    after[1, np.flatnonzero(lost)[:3]] = 0.0
    apart = found([replace(twin, after=after)], labels)
    assert "seeds" in apart["pi_ame"].ci.method
    assert apart["pi_ame"].se > 3 * two["pi_ame"].se
    before = twin.before.copy()
    before[1, lost] = 0.0
    absent = found([replace(twin, before=before)], labels)
    assert absent["cell_n"].value == 30
    assert absent["pi_ame"].value is not None
    assert "of one seed alone have no fit" in absent["pi_ame"].reason


def test_rows_are_of_rewrites_of_both_sides_by_a_language_model_and_holm_is_over_all_of_them():
    rng = np.random.default_rng(7)
    c, labels = scene(rng, 400)
    changes = labels.changes.assign(sentiment=rng.choice([-2.0, -1, 0, 1], len(labels.changes), p=[0.1, 0.2, 0.4, 0.3]))
    both = Relabelled(("helpful", "sentiment"), changes, labels.again.assign(sentiment=0.0))
    others = [replace(c, rewriting=replace(c.rewriting, **x)) for x in ({"arm": "chosen_only"}, {"kind": "core"})]
    style = replace(c, rewriting=replace(c.rewriting, kind="style"))
    metrics = flip_rows([c, *others, style], both, DIMS)
    assert len(metrics) == 2 * 2 * (4 * 3 + 8 * 4)
    assert len({m.key for m in metrics}) == len(metrics)
    assert {m.dims["set"] for m in metrics} == {"lm", "style"}
    assert {tuple(m.dims) for m in metrics if m.name == "pi"} == {
        ("member", "set", "transform", "label", "side", "change", "event")
    }
    for name in ("pi_logodds", "pi_ame", "pi"):
        mine = [m for m in metrics if m.name == name]
        assert sum(m.p is not None for m in mine) >= 8
        assert [m.p_holm for m in mine] == holm([m.p for m in mine])
    assert all(m.p is None and m.p_holm is None for m in metrics if m.name in ("flip", "aa_flip", "ppv", "cell_n"))
    sentiment = changes.xs("chosen", level="side")["sentiment"]
    got = [m for m in metrics if m.name == "flip" and m.dims["label"] == "sentiment" and m.dims["side"] == "chosen"]
    assert [m.value for m in got[:2]] == pytest.approx([(sentiment > 0).mean(), (sentiment < 0).mean()])
    assert flip_rows([c], replace(labels, fields=()), DIMS) == []


def test_every_null_has_a_reason():
    c, labels = table({(0, 0): (30, 5), (-1, 0): (5, 1)})
    empty = replace(labels, changes=labels.changes.assign(helpful=np.nan))
    gone = replace(labels, changes=labels.changes[:0], again=labels.again[:0])
    for known in (labels, empty, gone):
        metrics = flip_rows([c], known, DIMS)
        assert metrics
        assert all(m.reason for m in metrics if m.value is None)
        assert pd.isna([m.value for m in metrics if m.name == "pi"]).all()
