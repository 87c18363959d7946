"""The fields of a label and the JSON schema of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from harness.llm import schema
from harness.llm.prompt import orders
from harness.llm.schema import LABELS, NUMBERED, answer_schema, schema_sha256
from harness.text.feature import Kind


def test_every_field_has_a_name_a_question_and_values_that_are_plain_words():
    for name, field in LABELS.items():
        assert name == field.name
        assert name.isidentifier()
        assert field.question.endswith("?")
        assert field.kind in get_args(Kind)
        assert field.desired_sign in (-1, 0, 1)
        assert (field.kind == "target") == (field.desired_sign != 0)
        assert all(value == value.strip().casefold() for value in field.values), "answers are compared so"
        assert field.several == (name not in NUMBERED)


def test_a_judgement_may_be_unclear_and_that_has_no_number():
    for name in NUMBERED:
        values = LABELS[name].values
        assert values["unclear"] is None
        numbers = [v for k, v in values.items() if k != "unclear"]
        assert numbers in ([1.0, 0.0], [-1.0, 0.0, 1.0])


def test_harm_to_the_user_and_to_others_are_two_questions():
    assert {"harmless_to_user", "harmless_to_others", "helpful"} <= set(NUMBERED)


@pytest.mark.parametrize("order", [tuple(LABELS), *orders(np.random.default_rng(0), 2)])
def test_the_answer_schema_is_strict_and_in_the_order_asked(order):
    answer = json.loads(json.dumps(answer_schema(order)))
    assert list(answer["properties"]) == answer["required"] == list(order)
    assert set(answer) == {"type", "properties", "required", "additionalProperties"}
    assert (answer["type"], answer["additionalProperties"]) == ("object", False)
    for name, said in answer["properties"].items():
        values = list(LABELS[name].values)
        one = {"type": "string", "enum": values}
        assert said == ({"type": "array", "items": one} if LABELS[name].several else one)


def test_the_digest_changes_with_a_question_or_a_value_and_with_nothing_else(monkeypatch):
    before = schema_sha256()

    def digest_with(**changes):
        monkeypatch.setattr(schema, "LABELS", LABELS | {"helpful": replace(LABELS["helpful"], **changes)})
        return schema_sha256()

    assert digest_with() == before
    assert digest_with(kind="control", desired_sign=0) == before
    changed = [
        digest_with(question="Is it good?"),
        digest_with(values={"yes": 1.0, "no": 0.0}),
        digest_with(several=True),
    ]
    assert len({before, *changed}) == 4
