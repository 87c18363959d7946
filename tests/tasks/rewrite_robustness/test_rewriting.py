"""Names of variants and the ways of rewriting behind them."""

from __future__ import annotations

import pytest
from harness.tasks.rewrite_robustness.rewriting import Rewriting, rewriting_of

from harness.errors import InputError
from harness.text.transform import TRANSFORMS


@pytest.mark.parametrize(
    ("variant", "expected", "sample", "twice"),
    [
        ("rewrite/quoted", Rewriting("core", "quoted", ""), "", False),
        ("rewrite/swap_3", Rewriting("noise", "swap_3", "", "swap", "3%"), "", False),
        ("rewrite/polite", Rewriting("stress", "polite", ""), "", False),
        ("lm/paraphrase/1", Rewriting("lm", "paraphrase", ""), "1", False),
        ("lm/style:formal:up/0", Rewriting("style", "style:formal:up", ""), "0", False),
        ("lm/style:formal:up:down/0", Rewriting("style", "style:formal:up:down", ""), "0", True),
    ],
)
def test_a_variant_names_its_way_of_rewriting(variant, expected, sample, twice):
    assert rewriting_of(variant) == (expected, sample)
    assert expected.twice == twice


def test_every_registered_transform_is_found_by_its_variant():
    for name in TRANSFORMS.names():
        one = TRANSFORMS.get(name)
        found, sample = rewriting_of(one.variant)
        assert (found.kind, found.name, found.arm, sample) == (one.kind, one.name, "", "")
        assert bool(found.family) == bool(found.rate) == (one.rate is not None)


@pytest.mark.parametrize(
    ("variant", "match"),
    [("rewrite/quoted@7", "--plugin"), ("rewrite/nobody", "--plugin"), ("other/x", "rewrite/NAME or lm/KIND/SAMPLE")],
)
def test_what_nothing_registered_made_is_refused(variant, match):
    with pytest.raises(InputError, match=match):
        rewriting_of(variant)


def test_dimensions_leave_out_what_a_rewriting_does_not_have():
    whole = Rewriting("noise", "swap_3", "both", "swap", "3%")
    assert whole.dims == {"set": "noise", "transform": "swap_3", "arm": "both", "family": "swap", "rate": "3%"}
    assert Rewriting("core", "quoted", "").dims == {"set": "core", "transform": "quoted"}
