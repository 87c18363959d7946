from __future__ import annotations

import numpy as np
import pytest
from harness.tasks.neuron_ablation.conditions import MODES, Held, control_name, draw_of, set_name

MEAN = np.arange(24.0).reshape(3, 8)
SAMPLE = np.random.default_rng(0).normal(size=(50, 3, 8))
CHOSEN = np.array([1, 8, 23])


def test_names() -> None:
    assert set_name("only_helpful", 5.0, "mean") == "only_helpful@5/mean"
    assert set_name("shared", 2.5, "zero") == "shared@2.5/zero"
    assert control_name("only_helpful@5/mean", "rand_layer", 3) == "only_helpful@5/mean/rand_layer#003"
    assert control_name("only_helpful@5/mean", "damage", 12, 48) == "only_helpful@5/mean/damage#012:48"


@pytest.mark.parametrize(("draw", "n"), [(0, None), (7, 48), (198, 3), (1234, None)])
def test_the_draw_is_read_back_from_the_name(draw: int, n: int | None) -> None:
    assert draw_of(control_name("only_helpful@5/mean", "damage", draw, n)) == str(draw)


def test_neurons_are_held_at_their_mean_or_at_zero() -> None:
    held = Held("mlp", 0, MEAN, SAMPLE)
    (mean,), (zero,) = (held.condition("c", CHOSEN, mode, 8).ablations for mode in ("mean", "zero"))
    assert list(zip(mean.layers, mean.neurons, mean.values, strict=True)) == [(0, 1, 1.0), (1, 0, 8.0), (2, 7, 23.0)]
    assert zero.values.tolist() == [0, 0, 0]
    assert (mean.site, zero.site) == ("mlp", "mlp")


def test_resampled_neurons_say_what_they_said_together_at_one_token() -> None:
    held = Held("mlp", 0, MEAN, SAMPLE)
    tokens = set()
    for name in map(str, range(20)):
        (ablation,) = held.condition(name, CHOSEN, "resample", 8).ablations
        together = (SAMPLE[:, [0, 1, 2], [1, 0, 7]].astype(np.float32) == ablation.values).all(axis=1)
        assert together.sum() == 1
        tokens.add(int(together.argmax()))
        assert held.condition(name, CHOSEN, "resample", 8) == held.condition(name, CHOSEN, "resample", 8)
    assert len(tokens) > 5


def test_resampling_needs_tokens() -> None:
    with pytest.raises(ValueError, match="sampled tokens"):
        Held("mlp", 0, MEAN).condition("c", CHOSEN, "resample", 8)


def test_a_head_is_all_of_its_columns() -> None:
    (found,) = Held("attention", 4, MEAN).condition("c", np.array([2, 5]), "mean", 4).ablations
    assert found.layers.tolist() == [0, 0, 1, 1]
    assert found.neurons.tolist() == [4, 5, 2, 3]
    assert found.values.tolist() == [4, 5, 10, 11]


def test_every_mode_of_the_parameters_is_known() -> None:
    assert set(MODES) == {"mean", "zero", "resample"}
