"""The difference of two passes, token by token in numpy, on modules whose inputs are given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.models.change import Difference, beside
from harness.models.resolve import resolve
from harness.models.sites import Site
from harness.models.tally import CHUNK
from tests.models.conftest import Tiny

WEIGHTS = torch.tensor([[1, 1, 0, 2], [0, 1, 2, 0], [3, 0, 1, 0]], dtype=torch.float32)


def layers(*widths: int, heads: int = 0, tokens_first: bool = False) -> tuple[Site, ...]:
    return tuple(Site(f"layers.{i}", torch.nn.Linear(w, 1), w, tokens_first, heads) for i, w in enumerate(widths))


def made(seed: int, width: int, rows: int = 3, tokens: int = 4) -> torch.Tensor:
    return torch.randn(rows, tokens, width, generator=torch.Generator().manual_seed(seed))


def run(sites: tuple[Site, ...], inputs: list[torch.Tensor]) -> None:
    for site, x in zip(sites, inputs, strict=True):
        site.module(x)


def add(into: Difference, sites: tuple[Site, ...], base: Any, model: Any, weights: torch.Tensor = WEIGHTS) -> None:
    theirs = copy.deepcopy(sites)
    with into.watching(sites, weights):
        with into.before(theirs):
            run(theirs, base)
        run(sites, model)
    assert not any(site.module._forward_pre_hooks for site in (*sites, *theirs))


def weighted(values: np.ndarray, weights: torch.Tensor) -> np.ndarray:
    """Mean over tokens, one after the other: `values` (rows, tokens, ...)."""
    total = 0
    for row, counts in zip(values, weights.numpy(), strict=True):
        for value, count in zip(row, counts, strict=True):
            total = total + count * value
    return total / weights.sum().item()


def squares(base: torch.Tensor, model: torch.Tensor) -> np.ndarray:
    return (model.double() - base.double()).numpy() ** 2


@torch.inference_mode()
def test_neurons_of_layers_of_two_widths() -> None:
    base, model = [made(0, 3), made(1, 2)], [made(2, 3), made(3, 2)]
    into = Difference()
    add(into, layers(3, 2), base, model)
    found = into.result()
    assert set(found) == {"tokens", "mean_square", "abs_mean", "base_abs_mean"}
    assert found["tokens"] == WEIGHTS.sum()
    assert np.isnan(found["mean_square"][1, 2])
    for layer, width in enumerate((3, 2)):
        expected = weighted(squares(base[layer], model[layer]), WEIGHTS)
        np.testing.assert_allclose(found["mean_square"][layer, :width], expected, rtol=1e-12)
        for name, of in (("abs_mean", model), ("base_abs_mean", base)):
            expected = weighted(np.abs(of[layer].double().numpy()), WEIGHTS)
            np.testing.assert_allclose(found[name][layer, :width], expected, rtol=1e-12)


@torch.inference_mode()
def test_heads_have_the_length_of_their_difference() -> None:
    base, model = made(0, 6), made(1, 6)
    into = Difference()
    add(into, layers(6, heads=3), [base], [model])
    found = into.result()
    lengths = [np.sqrt(squares(base, model)[..., 2 * h : 2 * h + 2].sum(-1)) for h in range(3)]
    assert set(found) == {"tokens", "norm", "abs_mean", "base_abs_mean"}
    for name, of in (("abs_mean", model), ("base_abs_mean", base)):
        expected = weighted(np.abs(of.double().numpy()), WEIGHTS).reshape(3, 2).mean(axis=1)
        np.testing.assert_allclose(found[name][0], expected, rtol=1e-12)
    np.testing.assert_allclose(found["norm"][0], [weighted(x, WEIGHTS) for x in lengths], rtol=1e-12)


@torch.inference_mode()
def test_tokens_may_come_first() -> None:
    base, model = made(0, 3), made(1, 3)
    one, other = Difference(), Difference()
    add(one, layers(3), [base], [model])
    add(other, layers(3, tokens_first=True), [base.transpose(0, 1)], [model.transpose(0, 1)])
    np.testing.assert_allclose(one.result()["mean_square"], other.result()["mean_square"], rtol=1e-12)


@pytest.mark.parametrize("heads", [0, 2])
def test_exchanging_the_models_changes_nothing_and_scale_is_a_factor(heads: int) -> None:
    found = []
    for scale, pair in ((1, (0, 1)), (1, (1, 0)), (3, (0, 1))):
        into = Difference()
        add(into, layers(4, heads=heads), *([scale * made(seed, 4)] for seed in pair))
        found.append(into.result()["norm" if heads else "mean_square"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], (3 if heads else 9) * found[0], rtol=1e-5)


def test_batches_add_up_whatever_their_size() -> None:
    base, model = made(0, 4, rows=2, tokens=CHUNK), made(1, 4, rows=2, tokens=CHUNK)
    weights = torch.randint(0, 3, (2, CHUNK), generator=torch.Generator().manual_seed(2)).float()
    whole, parts = Difference(), Difference()
    add(whole, layers(4), [base], [model], weights)
    for start, stop in ((0, 1), (1, 2)):
        add(parts, layers(4), [base[start:stop]], [model[start:stop]], weights[start:stop])
    assert whole.result()["tokens"] == parts.result()["tokens"] == weights.sum()
    np.testing.assert_allclose(whole.result()["mean_square"], parts.result()["mean_square"], rtol=1e-12)
    np.testing.assert_allclose(
        whole.result()["mean_square"][0],
        (squares(base, model) * weights.numpy()[..., None]).sum((0, 1)) / weights.sum().item(),
        rtol=1e-9,
    )


def test_what_does_not_count_may_be_anything() -> None:
    base, model = made(0, 3), made(1, 3)
    expected = Difference()
    add(expected, layers(3), [base], [model])
    base[WEIGHTS == 0], model[WEIGHTS == 0] = torch.nan, torch.inf
    into = Difference()
    add(into, layers(3), [base], [model])
    np.testing.assert_array_equal(into.result()["mean_square"], expected.result()["mean_square"])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_sums_that_are_not_finite(bad: float) -> None:
    into = Difference()
    add(into, layers(3), [torch.full((3, 4, 3), bad)], [made(1, 3)])
    with pytest.raises(HarnessError, match="layer 0 are not finite"):
        into.result()


def test_a_batch_the_base_has_not_seen() -> None:
    sites, into = layers(3), Difference()

    def alone() -> None:
        with into.watching(sites, WEIGHTS):
            run(sites, [made(0, 3)])

    with pytest.raises(HarnessError, match="the base has not seen this batch"):
        alone()
    add(into, sites, [made(0, 3)], [made(1, 3)])
    with pytest.raises(HarnessError, match="the base has not seen this batch"):
        alone()  # what the batch before left must not be taken for it
    with pytest.raises(HarnessError, match="no token was counted"):
        Difference().result()


@pytest.mark.parametrize("fails", ["base", "model"])
def test_a_pass_that_fails_leaves_no_trace(fails: str) -> None:
    sites, into = layers(3, 3), Difference()
    base, model = [made(0, 3), made(1, 3)], [made(2, 3), made(3, 3)]
    add(into, sites, base, model)
    short: dict[str, Callable[[], None]] = {
        "base": lambda: add(into, sites, base[:1], model),
        "model": lambda: add(into, sites, base, model[:1]),
    }
    with pytest.raises((HarnessError, ValueError)):
        short[fails]()
    assert not any(site.module._forward_pre_hooks for site in sites)
    assert not into._before
    add(into, sites, base, model)
    assert into.result()["tokens"] == 2 * WEIGHTS.sum()
    expected = weighted(squares(base[0], model[0]), WEIGHTS)
    np.testing.assert_allclose(into.result()["mean_square"][0], expected, rtol=1e-12)


def test_the_base_gets_the_tensors_of_the_model_and_both_are_left_as_they_were(tiny: Tiny) -> None:
    base = resolve(tiny("llama", seed=1), adapter="backbone").load()
    model = resolve(tiny("llama")).load()
    given: list[dict[str, Any]] = []
    handles = [
        m.model.register_forward_pre_hook(lambda _, args, kw: given.append(kw), with_kwargs=True) for m in (base, model)
    ]
    ids, weights = torch.randint(10, 90, (2, 6), generator=torch.Generator().manual_seed(0)), torch.ones(2, 6)
    into = Difference()
    with torch.inference_mode(), beside(base, model, "mlp", into), into.watching(model.sites["mlp"], weights):
        model.model(input_ids=ids, position_ids=torch.arange(6)[None].expand(2, 6))
    assert len(given) == 2
    assert all(given[0][name] is given[1][name] for name in ("input_ids", "position_ids"))
    assert (into.result()["mean_square"] > 0).all()
    for handle in handles:
        handle.remove()
    assert not base.model._forward_pre_hooks
    assert not model.model._forward_pre_hooks
