"""Conditions: what they accept, and that their identity is what they do."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.condition import NONE, Ablation, Condition
from harness.errors import InputError

SOME = ([0, 1, 0], [3, 2, 1], [0.0, -1.5, 0.25])


def named(*parts: tuple[Any, ...], name: str = "ablate/some") -> Condition:
    return Condition(name, tuple(Ablation(*part) for part in parts))


def test_arrays_have_their_types_and_are_read_only() -> None:
    given = np.array(SOME[2])
    a = Ablation(SOME[0], SOME[1], given)  # type: ignore[arg-type]
    assert (a.layers.dtype, a.neurons.dtype, a.values.dtype) == (np.int32, np.int32, np.float32)
    assert len(a) == 3
    assert a.site == "mlp"
    with pytest.raises(ValueError, match="read-only"):
        a.values[0] = 1
    given[0] = 9
    assert a.values[0] == 0


@pytest.mark.parametrize(
    ("layers", "neurons", "values", "reason"),
    [
        ([0, 1], [1], [0.0], "one layer, neuron and value a neuron"),
        ([0], [1], [0.0, 1.0], "one layer, neuron and value a neuron"),
        ([[0]], [[1]], [[0.0]], "one layer, neuron and value a neuron"),
        (0, 1, 0.0, "one layer, neuron and value a neuron"),
        ([2, 0, 2], [5, 5, 5], [0.0, 0.0, 1.0], "neuron 5 of layer 2 is ablated twice"),
        ([0], [1], [np.nan], "finite"),
        ([0], [1], [np.inf], "finite"),
        ([0], [1], [1e300], "finite"),
        ([-1], [1], [0.0], "whole numbers from 0; found"),
        ([0], [-1], [0.0], "whole numbers from 0; found"),
        ([0], [1.5], [0.0], "whole numbers from 0; found"),
        ([0], [2**32 + 1], [0.0], "whole numbers from 0; found"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_refused(layers: Any, neurons: Any, values: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Ablation(layers, neurons, values)


def test_an_empty_ablation_is_allowed_and_says_nothing() -> None:
    empty = Ablation([], [], [])  # type: ignore[arg-type]
    assert len(empty) == 0
    assert Condition("a", (empty,)).digest == Condition("a").digest
    assert named(SOME, ([], [], [], "heads")).digest == named(SOME).digest


def order(indices: Sequence[int]) -> tuple[list[Any], ...]:
    return tuple([column[i] for i in indices] for column in SOME)


@pytest.mark.parametrize("indices", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_order_and_grouping_do_not_matter(indices: tuple[int, ...]) -> None:
    assert named(order(indices)) == named(SOME)
    assert named(*(order([i]) for i in indices)) == named(SOME)
    assert named(order(indices)).ablations[0].values.tolist() == [0.25, 0.0, -1.5]


@pytest.mark.parametrize(
    "other",
    [
        ([0, 1, 1], SOME[1], SOME[2]),
        (SOME[0], [3, 2, 0], SOME[2]),
        (SOME[0], SOME[1], [0.0, -1.5, 0.5]),
        (SOME[1], SOME[0], SOME[2]),
        (*SOME, "heads"),
        order([0, 1]),
        (SOME[0], SOME[1], [-1.5, 0.0, 0.25]),
    ],
)
def test_what_is_held_matters(other: tuple[Any, ...]) -> None:
    assert named(other).digest != named(SOME).digest
    assert named(other) != named(SOME)


def test_negative_zero_is_zero() -> None:
    assert named(([0], [0], [-0.0])) == named(([0], [0], [0.0]))


def test_sites_are_kept_apart() -> None:
    both = named(([0], [1], [2.0]), ([0], [1], [3.0], "heads"))
    assert both == named(([0], [1], [3.0], "heads"), ([0], [1], [2.0]))
    assert both.digest != named(([0], [1], [3.0]), ([0], [1], [2.0], "heads")).digest


def test_two_ablations_may_not_name_one_neuron() -> None:
    with pytest.raises(InputError, match="neuron 3 of layer 0 is ablated twice"):
        named(SOME, ([0], [3], [1.0]))


def test_the_digest_is_sha256_of_sorted_numbers() -> None:
    expected = b"mlp|3|" + struct.pack("<3i3i3f", 0, 0, 1, 1, 3, 2, 0.25, 0.0, -1.5)
    assert named(SOME).digest == hashlib.sha256(expected).hexdigest()
    assert named(SOME).key == f"ablate/some|{hashlib.sha256(expected).hexdigest()}"


def test_the_name_is_in_the_key_and_not_in_the_digest() -> None:
    a, b = named(SOME, name="a"), named(SOME, name="b")
    assert a.digest == b.digest
    assert a.key != b.key
    assert a != b
    assert {a: 1, b: 2}[named(SOME, name="a")] == 1


def test_none() -> None:
    assert NONE.key == "none"
    assert Condition("none") == NONE
    assert hash(Condition("none")) == hash(NONE)
    assert Condition("other") != NONE
    assert NONE != "none"


def test_bad_names() -> None:
    with pytest.raises(InputError, match="another name"):
        named(SOME, name="none")
    with pytest.raises(InputError, match="empty name"):
        Condition("")


def test_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(named(SOME)))  # noqa: S301
    assert again == named(SOME)
    assert again.digest == named(SOME).digest
