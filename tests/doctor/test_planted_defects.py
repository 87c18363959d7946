"""Defects of the wild, each found by the check that is there for it; the healthy twins have no failed check."""

from __future__ import annotations

import pytest

from harness.doctor import examine
from tests.doctor import wild

PLANTED = {
    "left padding assumed": ("padding", wild.decoder, wild.LeftPaddingAssumed, {}),
    "pad = end token skipped": ("end_token", wild.decoder, wild.PadIsEnd, {}),
    "dropped attention mask": ("padding", wild.decoder, wild.MaskDropped, {}),
    "doubled BOS": ("bos", wild.decoder, wild.DoubledBos, {}),
    "random head": ("random_head", wild.language_model, wild.Script, {}),
    "inverted direction": ("direction", wild.decoder, wild.Script, {"direction": "lower_is_better"}),
    "sigmoid left on": ("scale", wild.decoder, wild.SigmoidLeftOn, {}),
    "float16 overflow": ("finite", wild.large_numbers, wild.Half, {}),
    "truncated answers": ("reply_end", wild.decoder, wild.TruncatedAnswers, {}),
    "template without the answer": ("reply", wild.decoder, wild.PromptAlone, {}),
    "wrong pooling, before the first pad": ("pooling", wild.decoder, wild.FirstEnd, {}),
    "wrong pooling, off by one": ("end_token", wild.decoder, wild.OffByOne, {}),
    "non-finite output": ("finite", wild.decoder, wild.PerWord, {}),
}
FOLLOWS = {
    "template without the answer": ("reply_end",),
    "wrong pooling, before the first pad": ("end_token", "scale"),
}
"""What else is wrong of a model that never sees the reply: its end is not seen either, and texts tie."""

HEALTHY = {
    "script": (wild.decoder, wild.Script, {}),
    "our own adapter": (wild.decoder, "sequence-classification", {}),
    "large numbers in float32": (wild.large_numbers, wild.Script, {}),
    "our own adapter in bfloat16": (wild.decoder, "sequence-classification", {"dtype": "bfloat16"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found_by_its_check(checkpoint, name):
    check, build, adapter, spec = PLANTED[name]
    found = examine(wild.resolved(checkpoint(build), adapter, **spec), full=check == "random_head")
    assert check in found.failed, [(f.check, f.status, f.reason) for f in found.findings]
    assert set(found.failed) <= {check, *FOLLOWS.get(name, ())}
    assert found.finding(check).advice
    assert not found.passed


@pytest.mark.parametrize("name", HEALTHY)
def test_the_healthy_twin_passes(checkpoint, name):
    build, adapter, spec = HEALTHY[name]
    found = examine(wild.resolved(checkpoint(build), adapter, **spec))
    assert found.failed == ()
    assert found.finding("direction").status == "ok"
    assert found.finding("random_head").status == found.finding("attention").status == "ok"
    assert {f.check for f in found.findings if f.status == "warn"} == set()
