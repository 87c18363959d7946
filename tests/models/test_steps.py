"""Replies as steps: none is lost, each is marked once, and what a reply says adds none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.models.spec import Heads, ModelSpec
from harness.models.steps import REDUCTIONS, Marker, split, with_steps
from harness.models.template import BoundTemplate, Rendered, render_hh, render_pair_plain
from tests.models.conftest import talk

REPLIES = st.text(alphabet=st.sampled_from("ab \n|"), max_size=40)


@given(REPLIES, st.sampled_from(["\n\n", "\n", "|"]))
def test_steps_are_the_parts_of_a_reply_that_are_not_blank(reply: str, separator: str) -> None:
    steps = [reply[a:b] for a, b in split(reply, separator)]
    parts = [part for part in reply.split(separator) if part.strip()]
    assert steps == (parts or [reply])


@pytest.mark.parametrize("render", [render_hh, render_pair_plain])
def test_every_step_is_followed_by_its_marker(render: Any) -> None:
    rendered = Marker("<m>", "|").marked(render(talk("q", "one\n\n\n\ntwo <m>\n\nthree")), "\n\n")
    text = rendered.segments[-1]
    assert text.endswith("one<m>|two <m><m>|three<m>")
    assert [text[: at + 1].endswith("<m>") for at in rendered.steps] == [True] * 3
    assert [text[a:b] for s, a, b in rendered.contents or () if s == len(rendered.segments) - 1][-3:] == [
        "one", "two <m>", "three",
    ]  # fmt: skip
    assert text[rendered.response[0] : rendered.response[1]] == "one<m>|two <m><m>|three<m>"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_reductions(values: list[float]) -> None:
    p = np.array(values, np.float32)
    found = {name: float(reduce(torch.tensor(p))) for name, reduce in REDUCTIONS.items()}
    expected = {"last": p[-1], "min": p.min(), "prod": p.prod(), "mean": p.mean()}
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), abs=1e-6)


def test_what_the_template_writes_behind_a_reply_stays() -> None:
    def render(conversation: Any) -> Rendered:
        reply = conversation[-1].content
        return Rendered((f"<{reply}>",), (1, 1 + len(reply)), ((0, 1, 1 + len(reply)),))

    bound = Marker("!").bind(BoundTemplate(render, complete=False, text=""), "|")
    assert bound.render(talk("q", "a|b")).segments == ("<a!b!>",)


def test_a_text_is_not_cut_where_its_steps_begin() -> None:
    for truncation in ("prompt_left", "right", "error"):
        assert with_steps(ModelSpec(model="m", truncation=truncation), "min").truncation == truncation
    with pytest.raises(InputError, match="cuts a reply's first steps"):
        with_steps(ModelSpec(model="m", truncation="left"), "min")


def test_heads_of_the_spec_stand() -> None:
    heads = Heads(names=("last", "min", "prod", "mean"), weights=(0.5, 0.5, 0, 0))
    assert with_steps(ModelSpec(model="m", heads=heads), "prod").heads == heads
