"""Sums over tokens against activations stored by hooks of our own and plain numpy; gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from harness.condition import Ablation, Condition
from harness.errors import HarnessError
from harness.models.accumulate import ACCUMULATORS, Accumulator, Attribution, Moments
from harness.models.neurons import ablated
from harness.models.sites import Site, Sites, locate
from harness.models.tally import CHUNK

Load = Callable[[str], Any]
Arrays = dict[str, np.ndarray]

SIX = ("llama", "gpt2", "bert", "gpt-neox", "opt", "qwen3")
KINDS = (Moments, Attribution)
MOMENTS = ("mean", "abs_mean", "mean_square", "positive")
TOTAL = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64)
"""What each text's score counts in the total."""
WEIGHTS = torch.tensor([[1, 1, 0, 2], [0, 1, 2, 1], [0, 0, 1, 0], [1, 2, 2, 1]], dtype=torch.float32)
"""As many texts as tokens, so that only the values show whether the two were mistaken for each other."""


@pytest.fixture(scope="module")
def load(tiny: Any) -> Load:
    """A tiny model in float64 (XLNet's code knows only float32), its parameters frozen."""
    made: dict[str, Any] = {}

    def get(family: str) -> Any:
        if family not in made:
            dtype = torch.float32 if family == "xlnet" else torch.float64
            model = AutoModelForSequenceClassification.from_pretrained(tiny(family), dtype=dtype)
            made[family] = model.eval().requires_grad_(False)
        return made[family]

    return get


def ids(rows: int = 4, tokens: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(10, 90, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@contextmanager
def shifted(model: Any, shifts: list[torch.Tensor], seen: list[np.ndarray]) -> Iterator[None]:
    """Add one tensor (rows, tokens, width) to each layer's input, and keep what the input was, in that layout."""

    def hook(shift: torch.Tensor, tokens_first: bool) -> Callable[..., Any]:
        def add(module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            rows_first = args[0].transpose(0, 1) if tokens_first else args[0]
            seen.append(rows_first.detach().reshape(shift.shape).double().numpy())
            moved = args[0] + (shift.transpose(0, 1) if tokens_first else shift).reshape(args[0].shape)
            return (moved.to(args[0].dtype),)

        return add

    first = model.config.model_type == "xlnet"
    handles = [
        s.module.register_forward_pre_hook(hook(shift, first)) for s, shift in zip(locate(model), shifts, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def zeros(model: Any, texts: torch.Tensor) -> list[torch.Tensor]:
    return [torch.zeros((*texts.shape, s.width), dtype=torch.float64) for s in locate(model)]


def total(model: Any, texts: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
    return (TOTAL[: len(texts)] * model(texts, **inputs).logits[:, 0]).sum()


def reference(model: Any, texts: torch.Tensor, weights: torch.Tensor) -> Arrays:
    """Everything an accumulator says, token by token from stored activations and the gradient of a shift of each."""
    shifts, seen = [s.requires_grad_() for s in zeros(model, texts)], list[np.ndarray]()
    with torch.enable_grad(), shifted(model, shifts, seen):
        total(model, texts).backward()
    sums = {name: np.zeros((len(seen), seen[0].shape[-1])) for name in (*MOMENTS, "product", "gradient", "attribution")}
    n = float(weights.sum())
    places = [(r, t, float(w)) for r, row in enumerate(weights) for t, w in enumerate(row) if w > 0]
    for layer, a in enumerate(seen):
        g = shifts[layer].grad.numpy()
        mean = sum(w * a[r, t] for r, t, w in places) / n
        for r, t, w in places:
            sums["mean"][layer] += w * a[r, t] / n
            sums["abs_mean"][layer] += w * np.abs(a[r, t]) / n
            sums["mean_square"][layer] += w * a[r, t] ** 2 / n
            sums["positive"][layer] += w * (a[r, t] > 0) / n
            sums["product"][layer] += a[r, t] * g[r, t]
            sums["gradient"][layer] += g[r, t]
            sums["attribution"][layer] += (a[r, t] - mean) * g[r, t]
    return {"tokens": np.array(n), **sums}


def watch(model: Any, texts: torch.Tensor, weights: torch.Tensor, into: Accumulator, **inputs: torch.Tensor) -> None:
    with into.watching(locate(model), weights):
        outcome = total(model, texts, **inputs)
    if into.needs_grad:
        into.backward(outcome)


def measured(kind: type[Accumulator], *args: Any, **inputs: torch.Tensor) -> Arrays:
    into = kind()
    watch(*args, into, **inputs)
    return into.result()


def assert_same(found: Arrays, expected: Arrays, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    for name, values in found.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, expected[name], rtol=rtol, atol=atol, err_msg=name)


def tolerance(family: str) -> dict[str, float]:
    return {"rtol": 1e-4, "atol": 1e-5} if family == "xlnet" else {}


# --- on models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [*SIX, "xlnet", "t5"])
def test_moments_are_those_of_stored_activations(load: Load, family: str) -> None:
    model, texts = load(family), ids()
    texts[:, -1] = model.config.eos_token_id or 5  # T5 reads its score there
    with torch.inference_mode():
        found = measured(Moments, model, texts, WEIGHTS)
    assert set(found) == {"tokens", *MOMENTS}
    assert_same(found, reference(model, texts, WEIGHTS), **tolerance(family))


@pytest.mark.parametrize("family", [*SIX, "xlnet", "t5"])
def test_attribution_is_a_loop_over_tokens(load: Load, family: str) -> None:
    model, texts = load(family), ids()
    texts[:, -1] = model.config.eos_token_id or 5
    found = measured(Attribution, model, texts, WEIGHTS)
    expected = reference(model, texts, WEIGHTS)
    assert set(found) == set(expected)
    assert_same(found, expected, **tolerance(family))
    assert (np.abs(found["gradient"]).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize("family", ["gpt2", "bert"])  # Llama's norm computes in float32 whatever the model's dtype
def test_gradients_are_finite_differences(load: Load, family: str) -> None:
    model, texts, step = load(family), ids(), 1e-5
    found = measured(Attribution, model, texts, WEIGHTS)
    counted = (WEIGHTS > 0).double()[..., None]
    stored: list[np.ndarray] = []
    with shifted(model, zeros(model, texts), stored):
        model(texts)
    for layer, neuron in ((0, 0), (0, 31), (1, 7), (1, 47)):
        ways = {"gradient": torch.ones(()), "product": torch.from_numpy(stored[layer][..., neuron])}
        for name, direction in ways.items():
            ends = []
            for sign in (1, -1):
                shifts = zeros(model, texts)
                shifts[layer][..., neuron] = sign * step * direction
                with torch.inference_mode(), shifted(model, [s * counted for s in shifts], []):
                    ends.append(float(total(model, texts)))
            difference = (ends[0] - ends[1]) / (2 * step)
            assert found[name][layer, neuron] == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_add_up(load: Load, kind: type[Accumulator]) -> None:
    model, texts = load("qwen3"), ids()
    parts = kind()
    for row in range(len(texts)):
        with parts.watching(locate(model), WEIGHTS[row : row + 1]):
            outcome = (TOTAL[row] * model(texts[row : row + 1]).logits).sum()
        if kind.needs_grad:
            parts.backward(outcome)
    assert_same(parts.result(), measured(kind, model, texts, WEIGHTS))


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(load: Load, kind: type[Accumulator], family: str) -> None:
    model, texts = load(family), ids(tokens=6)
    weights = torch.nn.functional.pad(WEIGHTS, (0, 2))
    mask = torch.tensor([1, 1, 1, 1, 0, 0]).expand(4, 6)
    texts[:, 4:] = model.config.pad_token_id
    found = measured(kind, model, texts, weights, attention_mask=mask)
    alone = measured(kind, model, texts[:, :4], WEIGHTS)
    assert_same(found, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_summed_in_float64(tiny: Any, kind: type[Accumulator]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny("llama"), dtype=torch.bfloat16).eval()
    stored: list[np.ndarray] = []
    with shifted(model, zeros(model, ids()), stored):
        model(ids())
    found = measured(kind, model, ids(), torch.ones(4, 4))
    assert_same({"mean": found["mean"]}, {"mean": np.stack([a.mean((0, 1)) for a in stored])}, rtol=1e-12)


def test_parameters_that_want_gradients_change_nothing_and_get_none(tiny: Any, load: Load) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny("gpt2"), dtype=torch.float64).eval()
    assert all(p.requires_grad for p in model.parameters())
    assert_same(measured(Attribution, model, ids(), WEIGHTS), measured(Attribution, load("gpt2"), ids(), WEIGHTS))
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_sees_what_is_held(load: Load, kind: type[Accumulator]) -> None:
    model = load("opt")
    held = Condition("held", (Ablation([0, 1], [3, 4], [0.5, -2]),))  # type: ignore[arg-type]
    with ablated(Sites(model), held):
        found = measured(kind, model, ids(), WEIGHTS)
    assert found["mean"][0, 3] == pytest.approx(0.5)
    assert found["mean"][1, 4] == pytest.approx(-2)


def test_backward_may_come_inside(load: Load) -> None:
    model, into = load("bert"), Attribution()
    with into.watching(locate(model), WEIGHTS):
        into.backward(total(model, ids()))
    assert_same(into.result(), measured(Attribution, model, ids(), WEIGHTS))


# --- on made-up layers ----------------------------------------------------------------------------


def layers(*widths: int) -> tuple[Site, ...]:
    return tuple(Site(f"layers.{i}", nn.Linear(w, 2), w) for i, w in enumerate(widths))


def passed(kind: type[Accumulator], weights: Any, *inputs: torch.Tensor) -> Arrays:
    """One watched pass of these inputs through a layer each; the total is the sum of all outputs."""
    into, sites = kind(), layers(*(x.shape[-1] for x in inputs))
    with into.watching(sites, torch.tensor(weights, dtype=torch.float32)):
        outcome = torch.stack([site.module(x).nansum() for site, x in zip(sites, inputs, strict=True)]).sum()
    if kind.needs_grad:
        into.backward(outcome)
    return into.result()


def test_by_hand() -> None:
    found = passed(Moments, [[1, 2, 0]], torch.tensor([[[2.0, -1], [-4, 0], [100, 100]]]))
    assert found["tokens"] == 3
    assert found["mean"].tolist() == [[(2 - 8) / 3, -1 / 3]]
    assert found["abs_mean"].tolist() == [[10 / 3, 1 / 3]]
    assert found["mean_square"].tolist() == [[36 / 3, 1 / 3]]
    assert found["positive"].tolist() == [[1 / 3, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_count_may_be_anything(kind: type[Accumulator]) -> None:
    x = torch.tensor([[[1.0, 2], [torch.nan, torch.inf]]])
    assert passed(kind, [[1, 0]], x)["mean"].tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_different_width(kind: type[Accumulator]) -> None:
    found = passed(kind, [[1, 1]], torch.full((1, 2, 3), 2.0), torch.full((1, 2, 1), 5.0))
    assert found["tokens"].shape == ()
    for name in set(found) - {"tokens"}:
        assert found[name].shape == (2, 3)
        assert np.isnan(found[name]).tolist() == [[False] * 3, [False, True, True]]
    assert found["mean"][1, 0] == 5


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_tokens_may_be_one_dimension(kind: type[Accumulator]) -> None:
    x, weights = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), [[1, 0, 2], [0, 1, 1]]
    shaped, flat = passed(kind, weights, x), passed(kind, weights, x.reshape(6, 4))
    assert all(np.array_equal(shaped[k], flat[k]) for k in MOMENTS)


@pytest.mark.parametrize("kind", KINDS)
def test_more_tokens_than_are_summed_at_a_time(kind: type[Accumulator]) -> None:
    x = torch.randn(3, CHUNK, 2, generator=torch.Generator().manual_seed(0))
    weights = np.random.default_rng(0).integers(0, 3, (3, CHUNK))
    expected = (x.double().numpy() * weights[..., None]).sum((0, 1)) / weights.sum()
    np.testing.assert_allclose(passed(kind, weights, x)["mean"][0], expected, rtol=1e-12, atol=1e-14)


def test_the_input_is_left_as_it_was() -> None:
    x = torch.ones(1, 2, 3)
    passed(Attribution, [[1, 1]], x)
    assert not x.requires_grad


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_counted(kind: type[Accumulator]) -> None:
    with pytest.raises(HarnessError, match="no token was counted"):
        kind().result()
    with pytest.raises(HarnessError, match="no token was counted"):
        passed(kind, [[0, 0]], torch.ones(1, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_sums_that_are_not_finite(kind: type[Accumulator], bad: float) -> None:
    with pytest.raises(HarnessError, match=r"layer 1 are not finite.*float32"):
        passed(kind, [[1, 1]], torch.ones(1, 2, 3), torch.tensor([[[1, 1], [1, bad]]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 4), (1, 6, 4)])
def test_an_input_that_is_not_these_tokens(kind: type[Accumulator], shape: tuple[int, ...]) -> None:
    with pytest.raises(HarnessError, match=r"layers.0 sees an input of shape .*, not \(3, 2\) tokens of width 4"):
        passed(kind, [[1, 1], [1, 1], [1, 1]], torch.ones(shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("times", [0, 2])
def test_a_layer_that_does_not_run_once(kind: type[Accumulator], times: int) -> None:
    sites = layers(3, 3)

    def run() -> None:
        with kind().watching(sites, torch.ones(1, 2)):
            for site in (sites[0], *[sites[1]] * times):
                site.module(torch.ones(1, 2, 3))

    with pytest.raises(HarnessError, match=f"layers.1 ran {times} times in one watched forward pass"):
        run()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_that_fails_leaves_no_trace(kind: type[Accumulator]) -> None:
    sites, into = layers(3, 3), kind()

    def run(value: float, fail: bool) -> None:
        with into.watching(sites, torch.ones(1, 2)):
            outcome = sites[0].module(torch.full((1, 2, 3), value)).sum()
            if fail:
                raise MemoryError
            outcome = outcome + sites[1].module(torch.full((1, 2, 3), value)).sum()
        if into.needs_grad:
            into.backward(outcome)

    run(1.0, fail=False)
    with pytest.raises(MemoryError):
        run(100.0, fail=True)
    assert not any(site.module._forward_pre_hooks for site in sites)
    run(3.0, fail=False)
    found = into.result()
    assert found["tokens"] == 4
    assert found["mean"].tolist() == [[2.0] * 3] * 2


def test_a_batch_whose_gradients_nobody_took_does_not_count() -> None:
    sites, into = layers(3), Attribution()
    for value in (100.0, 1.0):
        with into.watching(sites, torch.ones(1, 2)):
            outcome = sites[0].module(torch.full((1, 2, 3), value)).sum()
    into.backward(outcome)
    assert into.result()["tokens"] == 2
    assert into.result()["mean"].tolist() == [[1.0] * 3]


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_attribution_without_gradients(mode: Callable[[], Any]) -> None:
    with mode(), pytest.raises(HarnessError, match=r"torch.enable_grad\(\)"):
        passed(Attribution, [[1, 1]], torch.ones(1, 2, 3))


def test_backward_out_of_turn() -> None:
    into, sites = Attribution(), layers(3)
    with pytest.raises(HarnessError, match="no forward pass was watched"):
        into.backward(torch.ones((), requires_grad=True))
    with into.watching(sites, torch.ones(1, 2)):
        outcome = sites[0].module(torch.ones(1, 2, 3)).sum()
    with pytest.raises(HarnessError, match="the total has no gradient"):
        into.backward(outcome.detach())
    with into.watching(sites, torch.ones(1, 2)):
        into.backward(sites[0].module(torch.ones(1, 2, 3)).sum())
    with pytest.raises(HarnessError, match="no forward pass was watched"):
        into.backward(torch.ones((), requires_grad=True))


def test_a_layer_that_the_total_does_not_depend_on_has_no_effect() -> None:
    into, sites = Attribution(), layers(3, 3)
    with into.watching(sites, torch.ones(1, 2)):
        outcome = sites[0].module(torch.ones(1, 2, 3)).sum()
        sites[1].module(torch.ones(1, 2, 3))
    into.backward(outcome)
    assert (into.result()["gradient"] == 0).tolist() == [[False] * 3, [True] * 3]


def test_only_an_attribution_takes_gradients() -> None:
    with pytest.raises(NotImplementedError, match="moments needs no gradients"):
        Moments().backward(torch.ones(()))
    assert set(ACCUMULATORS) == {"moments", "attribution", "change", "sample"}
    assert [name for name, kind in ACCUMULATORS.items() if kind.needs_grad] == ["attribution"]
