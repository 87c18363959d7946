"""The sets: fixed names, each registered, each of the kind its set says."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.text.transforms import SETS, TRANSFORMS, spelled

OWN = "harness.text.transforms."


def kinds(name: str) -> list[str]:
    return sorted({TRANSFORMS.get(one).kind for one in SETS[name]})


def test_sets_name_every_transform_of_this_package_once():
    listed = [name for kind in ("core", "noise", "stress") for name in SETS[kind]]
    ours = [name for name in TRANSFORMS.names() if TRANSFORMS.get(name).function.__module__.startswith(OWN)]
    assert sorted(listed) == ours
    assert len(listed) == len(set(listed))


def test_a_set_holds_transforms_of_its_kind():
    assert [kinds(name) for name in ("core", "noise", "noise_3", "stress")] == [
        ["core"],
        ["noise"],
        ["noise"],
        ["stress"],
    ]
    assert SETS["standard"] == SETS["core"] + SETS["noise_3"] + SETS["stress"]


def test_noise_has_three_rates_of_each_family_and_the_standard_set_the_middle_one():
    rates: dict[str, list[float]] = {}
    for name in SETS["noise"]:
        transform = TRANSFORMS.get(name)
        if transform.rate is not None:
            rates.setdefault(transform.family, []).append(transform.rate)
    assert len(rates) == 7
    assert all(found == [0.01, 0.03, 0.05] for found in rates.values())
    assert [TRANSFORMS.get(name).rate for name in SETS["noise_3"]] == [0.03] * 7 + [None] * 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("nfc", ("nfc",)),
        (" nfc , american,nfc,", ("nfc", "american")),
        ("core", SETS["core"]),
        ("quoted,core", ("quoted", *(name for name in SETS["core"] if name != "quoted"))),
        ("standard,noise_3", SETS["standard"]),
        ("", ()),
        ("acme/shout", ("acme/shout",)),
    ],
)
def test_sets_are_spelled_out_once_each_in_order(names, expected):
    assert spelled(names) == expected


def test_a_name_that_is_nearly_one_is_told():
    with pytest.raises(InputError, match="unknown transform 'american_'; did you mean american"):
        TRANSFORMS.get("american_")
