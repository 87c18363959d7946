"""Matrices of styles against a dictionary of scores: who wins each cell, and which cells a rewriting goes from and to."""

from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.rewrite_robustness.natural import Matrix, cell_rows

from harness.testing import planted

STYLES = ("concise", "plain", "markdown")
SEEDS = (("model", 0), ("model", 1))
AFTER = {"both": lambda a, b: (b, b), "chosen_only": lambda a, b: (b, a), "rejected_only": lambda a, b: (a, b)}
ORDERED = [("concise", "plain"), ("concise", "markdown"), ("plain", "markdown")]


def coarse(unit):
    """Few values, so that some comparisons tie."""
    return float(round(3 * planted.noise(unit)))


def sample(n=40, styles=STYLES, **more):
    return planted.items(np.random.default_rng(3), n, styles=styles, **more)


def by_hand(rows):
    """{(item, side, style): score}."""
    return {
        (r.item_id, r.side.split("/")[0], r.side.split("-", 1)[1]): r.score for r in rows.itertuples() if "-" in r.side
    }


def wins(scores, item, cell):
    chosen, rejected = scores[item, "chosen", cell[0]], scores[item, "rejected", cell[1]]
    return 0.5 + 0.5 * np.sign(chosen - rejected), chosen - rejected


@pytest.mark.parametrize("arm", list(AFTER))
@pytest.mark.parametrize(("first", "second"), ORDERED)
def test_a_rewriting_goes_from_equal_styles_to_the_cell_of_its_arm(first, second, arm):
    rows = planted.table(sample(), coarse)
    found = {(c.rewriting.name, c.rewriting.arm): c for c in Matrix.of(rows).compared()}
    assert len(found) == 9
    one, scores = found[f"{first}>{second}", arm], by_hand(rows)
    assert one.rewriting.kind == "natural"
    assert len(one.pairs) == one.scored == 40
    for i, item in enumerate(one.pairs["item_id"]):
        assert (one.before[0, i], one.margin_before[0, i]) == wins(scores, item, (first, first))
        assert (one.after[0, i], one.margin_after[0, i]) == wins(scores, item, AFTER[arm](first, second))
    assert set(one.before[0]) == {0.0, 0.5, 1.0}


def test_every_cell_occurs_after_or_before():
    met = set()
    for one in Matrix.of(planted.table(sample(4), coarse)).compared():
        first, second = one.rewriting.name.split(">")
        met |= {(first, first), AFTER[one.rewriting.arm](first, second)}
    assert met == {(a, b) for a in STYLES for b in STYLES}


@pytest.mark.parametrize(("arm", "sides"), [("both", 2), ("chosen_only", 1), ("rejected_only", 1)])
def test_texts_are_the_exchanged_replies_in_both_styles(arm, sides):
    rows = planted.table(sample(), coarse)
    scores = by_hand(rows)
    (one,) = [c for c in Matrix.of(rows).compared() if (c.rewriting.name, c.rewriting.arm) == ("concise>markdown", arm)]
    assert len(one.texts) == 40 * sides
    for k, text in enumerate(one.texts.itertuples()):
        assert one.old[0, k] == scores[text.item_id, text.side, "concise"]
        assert one.new[0, k] == scores[text.item_id, text.side, "markdown"]
        assert arm in ("both", f"{text.side}_only")
    assert one.texts["valid"].all()
    assert one.texts[["edit_ratio", "similarity"]].isna().all(axis=None)
    assert list(one.pairs.index) == list(one.pairs["item_id"])


def test_cells_are_accuracies_of_the_two_styles():
    rows = planted.table(sample(), coarse)
    scores, items = by_hand(rows), sorted({r.item_id for r in rows.itertuples()})
    found = {
        (m.dims["chosen_style"], m.dims["rejected_style"]): m for m in cell_rows(Matrix.of(rows), {"member": "model"})
    }
    assert list(found) == [(a, b) for a in STYLES for b in STYLES]
    for cell, metric in found.items():
        assert metric.value == pytest.approx(np.mean([wins(scores, item, cell)[0] for item in items]))
        assert metric.dims["member"] == "model"
        assert metric.ci is not None
        assert metric.n == 40


def test_a_reward_for_markdown_alone_wins_where_the_chosen_reply_has_more_of_it():
    def markdown(unit):
        return float(STYLES.index(unit.side.split("-", 1)[1]))

    found = {
        (m.dims["chosen_style"], m.dims["rejected_style"]): m.value
        for m in cell_rows(Matrix.of(planted.table(sample(), markdown)), {})
    }
    assert found == {(a, b): 0.5 * (1 + np.sign(i - j)) for i, a in enumerate(STYLES) for j, b in enumerate(STYLES)}


def test_the_unit_is_that_of_the_pairs_of_equal_style():
    rows = planted.table(sample(), planted.noise)
    scores = by_hand(rows)
    d = [wins(scores, item, (s, s))[1] for item in {k[0] for k in scores} for s in STYLES]
    assert Matrix.of(rows).units == {0: pytest.approx(np.sqrt(np.mean(np.square(d)) / 2))}


def test_what_is_rewritten_from_has_the_first_style_on_both_sides_and_the_unit_of_all():
    rows = planted.table(sample(), coarse)
    matrix, scores = Matrix.of(rows), by_hand(rows)
    pairs = matrix.pairs
    won = [wins(scores, item, ("concise", "concise")) for item in pairs.items.index]
    assert list(zip(pairs.credits[0], pairs.margins[0], strict=True)) == won
    assert len(won) == 40
    assert pairs.units == matrix.units


def test_seeds_stand_apart_and_a_failed_reply_takes_only_the_cells_it_is_in():
    items = sample(10)
    bad = f"{items[0].id}#chosen/3-markdown"

    def score(unit):
        return None if unit.unit_id == bad else planted.noise(unit)

    rows = planted.table(items, score, SEEDS)
    rows.loc[rows["seed"] == 1, "score"] *= -1
    found = {(c.rewriting.name, c.rewriting.arm): c for c in Matrix.of(rows).compared()}
    whole, holed = found["concise>plain", "both"], found["concise>markdown", "both"]
    assert whole.before.shape == (2, 10)
    assert np.array_equal(whole.margin_after[1], -whole.margin_after[0])
    assert items[0].id not in set(holed.pairs["item_id"])
    assert (len(holed.pairs), holed.failed) == (9, 1)
    assert len(found["concise>markdown", "rejected_only"].pairs) == 10


def test_order_of_styles_is_that_of_their_numbers_and_any_number_will_do():
    found = Matrix.of(planted.table(sample(6, ("zebra", "ant")), planted.noise))
    assert found.styles == ("zebra", "ant")
    assert {c.rewriting.name for c in found.compared()} == {"zebra>ant"}
    differ = (*sample(3, ("x", "y")), *sample(3, ("y", "z", "x"), subset="other"))
    assert Matrix.of(planted.table(differ, planted.noise)).styles == ("x", "y", "z")
    mixed = (*sample(3, ("x", "y")), *sample(3, ("p", "q"), subset="other"))
    both = Matrix.of(planted.table(mixed, planted.noise))
    assert {c.rewriting.name for c in both.compared()} == {"x>y", "p>q"}
    reasons = {
        m.reason for m in cell_rows(both, {}) if m.dims["chosen_style"] == "x" and m.dims["rejected_style"] == "p"
    }
    assert reasons == {"no rows"}


def test_the_order_of_rows_changes_nothing_and_pairs_without_styles_are_no_matrix():
    rows = planted.table((*sample(12), *planted.items(np.random.default_rng(0), 9, shape=(1, 2))), planted.noise)
    shuffled = rows.sample(frac=1, random_state=1)
    for a, b in zip(Matrix.of(rows).compared(), Matrix.of(shuffled).compared(), strict=True):
        assert np.array_equal(a.margin_after, b.margin_after)
        assert a.pairs.equals(b.pairs)
    empty = Matrix.of(planted.table(planted.items(np.random.default_rng(0), 4), planted.noise))
    assert empty.compared() == []
    assert cell_rows(empty, {}) == []
    assert empty.units == {}
