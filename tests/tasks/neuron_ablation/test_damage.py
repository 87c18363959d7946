from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.damage import fidelity, gain
from numpy.linalg import norm


@pytest.fixture
def margins() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins (60,), under 4 conditions (60, 4), and three groups of unequal size and scale."""
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(["helpful", "refuse", "comply"], [30, 20, 10]))
    intact = rng.normal(0.5, 1, 60) * np.where(groups == "comply", 20, 1)
    return intact, intact[:, None] * rng.random(4) + rng.normal(size=(60, 4)), groups


def test_fidelity_is_the_mean_over_groups_of_the_cosine(margins) -> None:
    intact, ablated, groups = margins
    expected = [
        np.mean([intact[g] @ x[g] / norm(intact[g]) / norm(x[g]) for g in (groups == name for name in set(groups))])
        for x in ablated.T
    ]
    assert fidelity(intact, ablated, groups) == pytest.approx(expected)


def test_gain_is_the_ratio_of_root_mean_squares(margins) -> None:
    intact, ablated, _ = margins
    assert gain(intact, ablated) == pytest.approx([norm(x) / norm(intact) for x in ablated.T])
    assert gain(intact, -3 * intact[:, None]) == pytest.approx([3])


def test_fidelity_is_1_intact_minus_1_reversed_and_0_for_noise(margins) -> None:
    rng = np.random.default_rng(1)
    intact = rng.normal(1, 1, 20_000)
    found = fidelity(intact, np.column_stack([intact, -intact, rng.normal(size=20_000)]), np.arange(20_000) % 3)
    assert found == pytest.approx([1, -1, 0], abs=0.02)


def test_neither_unit_nor_order_nor_labels_matter(margins) -> None:
    intact, ablated, groups = margins
    rng = np.random.default_rng(2)
    order, sign = rng.permutation(60), rng.choice([-1, 1], 60)
    found, size = fidelity(intact, ablated, groups), gain(intact, ablated)
    assert fidelity(intact[order], ablated[order], groups[order]) == pytest.approx(found)
    assert fidelity(sign * intact, sign[:, None] * ablated, groups) == pytest.approx(found)
    assert fidelity(intact * 7, ablated * 0.2, groups) == pytest.approx(found)
    assert gain(intact[order], ablated[order]) == pytest.approx(size)
    assert gain(sign * intact, sign[:, None] * ablated) == pytest.approx(size)
    assert gain(intact, ablated * 0.2) == pytest.approx(0.2 * size)


def test_what_has_no_margin_is_undefined_and_not_zero(margins) -> None:
    intact, ablated, groups = margins
    dead = ablated.copy()
    dead[groups == "comply", 1] = 0
    assert np.isnan(fidelity(intact, dead, groups)).tolist() == [False, True, False, False]
    assert np.isnan(gain(np.zeros(60), ablated)).all()
    assert gain(intact, dead * 0).tolist() == [0] * 4
    assert np.isnan(fidelity([], np.empty((0, 2)), [])).all()
    assert fidelity(intact, ablated[:, :0], groups).shape == (0,)


def test_what_does_not_fit_is_refused(margins) -> None:
    intact, ablated, groups = margins
    for call in (lambda m, a: fidelity(m, a, groups), gain):
        with pytest.raises(ValueError, match=r"\(60, conditions\)"):
            call(intact, ablated[:, 0])
        with pytest.raises(ValueError, match=r"\(60, conditions\)"):
            call(intact, ablated[1:])
        with pytest.raises(ValueError, match="1 ablated margins are not finite"):
            call(intact, np.where(np.arange(240).reshape(60, 4) == 5, np.nan, ablated))
    with pytest.raises(ValueError, match="one cluster a row"):
        fidelity(intact, ablated, groups[1:])
