from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.scores import LAPE_BAR, SCORES, by_head, pooled

SHAPE = (3, 8)
NAMES = ("mean", "abs_mean", "mean_square", "positive")


def tokens(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations (n, layers, columns) and gradients of one part of a corpus."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1, (n, *SHAPE)), rng.normal(0.1, 1, (n, *SHAPE))


def sums(a: np.ndarray, g: np.ndarray | None = None) -> dict[str, np.ndarray]:
    found = dict(zip(NAMES, (a.mean(0), abs(a).mean(0), (a**2).mean(0), (a > 0).mean(0)), strict=True))
    found |= {"tokens": np.array(float(len(a))), "units": np.array(7.0), "heads": np.array([2, 2, 2])}
    if g is not None:
        found |= {"product": (a * g).sum(0), "gradient": g.sum(0), "attribution": np.full(SHAPE, np.nan)}
    return found


def test_sums_over_parts_are_sums_over_the_whole() -> None:
    (a, g), (b, h) = tokens(0, 40), tokens(1, 10)
    # Each part has gradients of its own mean margin, over 3 and 2 pairs: of the whole's they are 3/5 and 2/5.
    found = pooled([(sums(a, g), 3), (sums(b, h), 2)])
    whole = sums(np.concatenate([a, b]), np.concatenate([g * 3 / 5, h * 2 / 5]))
    for name in (*NAMES, "tokens", "product", "gradient"):
        np.testing.assert_allclose(found[name], whole[name], err_msg=name)
    both = np.concatenate([a, b])
    expected = ((both - both.mean(0)) * np.concatenate([g * 3 / 5, h * 2 / 5])).sum(0)
    np.testing.assert_allclose(found["attribution"], expected)


def test_pooling_one_part_changes_nothing_and_order_does_not_matter() -> None:
    parts = [(sums(*tokens(s, 10 + s)), 1 + s) for s in range(3)]
    alone = pooled(parts[:1])
    assert "heads" not in alone
    for name in NAMES:
        np.testing.assert_allclose(alone[name], parts[0][0][name])
        np.testing.assert_allclose(pooled(parts)[name], pooled(parts[::-1])[name])


def test_a_part_named_twice_counts_twice() -> None:
    a, b = (sums(*tokens(s, 10)) for s in (0, 1))
    np.testing.assert_allclose(pooled([(a, 1), (a, 1), (b, 1)])["mean"], (2 * a["mean"] + b["mean"]) / 3)


def test_by_head_against_a_loop() -> None:
    columns = tokens(2, 1)[0][0]
    found = by_head(columns, 4, np.sum)
    assert found.shape == (3, 4)
    for layer in range(3):
        for head in range(4):
            assert found[layer, head] == pytest.approx(columns[layer, 2 * head] + columns[layer, 2 * head + 1])
    assert by_head(columns, 0, np.sum) is columns


@pytest.mark.parametrize(
    ("score", "key"), [("abs_mean", "abs_mean"), ("signed_mean", "mean"), ("prob", "positive"), ("attr", "attribution")]
)
def test_scores_that_are_a_sum(score: str, key: str) -> None:
    own = pooled([(sums(*tokens(3, 20)), 1)])
    other = pooled([(sums(*tokens(4, 20)), 1)])
    np.testing.assert_array_equal(SCORES[score].of(own, other, 0), own[key])
    heads = SCORES[score].of(own, other, 4)
    total = own[key].reshape(3, 4, 2)
    np.testing.assert_allclose(heads, total.sum(2) if score == "attr" else total.mean(2))


def test_change_is_a_root_mean_square_and_of_heads_the_mean_norm() -> None:
    square, norm = np.array([[4.0, 9.0]]), np.array([[3.0]])
    np.testing.assert_array_equal(SCORES["rms_change"].of({"mean_square": square}, {}, 0), [[2, 3]])
    np.testing.assert_array_equal(SCORES["rms_change"].of({"norm": norm}, {}, 1), norm)
    assert SCORES["rms_change"].against == "base"


def test_lape_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    own, other = rng.random((3, 40)), rng.random((3, 40))
    own[0, 0] = other[0, 0] = 0
    found = SCORES["lape"].of({"positive": own}, {"positive": other}, 0)
    bar = np.quantile([own, other], LAPE_BAR)
    chosen = 0
    for p, q, value in zip(own.ravel(), other.ravel(), found.ravel(), strict=True):
        if p <= bar:
            assert value == -np.inf
            continue
        chosen += 1
        shares = np.array([p, q]) / (p + q)
        assert value == pytest.approx((shares * np.log(shares)).sum())
    assert chosen


def test_lape_prefers_the_neuron_of_one_objective() -> None:
    own, other = np.full((1, 100), 0.1), np.full((1, 100), 0.1)
    own[0, :2], other[0, :2] = 0.9, (0.8, 0.0)
    shared, specific = SCORES["lape"].of({"positive": own}, {"positive": other}, 0)[0, :2]
    assert specific == 0.0 > shared


def test_lape_leaves_out_neurons_that_are_not_there() -> None:
    own = np.array([[0.5, np.nan, 0.9]])
    assert np.isnan(SCORES["lape"].of({"positive": own}, {"positive": own}, 0)).tolist() == [[False, True, False]]
