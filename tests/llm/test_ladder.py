from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.llm.ask import MODES, Ask, Turn
from harness.llm.endpoint import Endpoint
from harness.llm.ladder import Ladder, blames_format, extract_json, rungs

AUTO, FIXED = Endpoint(model="m"), Endpoint(model="m", structured="json_object")
TURNS = (Turn("user", "q"),)
SHAPED, FREE = Ask("a", TURNS, schema={"type": "object"}), Ask("b", TURNS)


def test_rungs_start_at_what_is_remembered_and_accept_any_under_auto():
    assert rungs(AUTO, SHAPED, None) == MODES
    assert rungs(AUTO, SHAPED, "text") == ("text", "json_schema", "json_object")
    assert rungs(FIXED, SHAPED, "text") == ("json_object",)
    assert rungs(AUTO, FREE, "json_schema") == rungs(FIXED, FREE, None) == ("text",)


def test_a_new_endpoint_goes_down_on_any_complaint_and_remembers_where_it_landed():
    remembered = []
    ladder = Ladder(AUTO, None, remembered.append)
    assert not ladder.known
    assert ladder.start(SHAPED) == "json_schema"
    assert ladder.below(SHAPED, "json_schema", "no") == "json_object"
    assert ladder.below(SHAPED, "json_object", "no") == "text"
    assert ladder.below(SHAPED, "text", "response_format") is None
    assert remembered == []
    ladder.landed(SHAPED, "json_object")
    assert remembered == ["json_object"]
    assert ladder.known
    assert ladder.start(SHAPED) == "json_object"


def test_a_known_endpoint_goes_down_only_where_the_form_is_blamed_and_never_up():
    remembered = []
    ladder = Ladder(AUTO, "json_schema", remembered.append)
    assert ladder.below(SHAPED, "json_schema", "the prompt is too long") is None
    assert ladder.below(SHAPED, "json_schema", "failed to parse grammar") == "json_object"
    ladder.landed(SHAPED, "json_object")
    ladder.landed(SHAPED, "json_schema")
    assert remembered == ["json_object"]


def test_free_text_settles_nothing_about_json():
    remembered = []
    ladder = Ladder(AUTO, None, remembered.append)
    assert ladder.below(FREE, "text", "no") is None
    ladder.landed(FREE, "text")
    assert remembered == []
    assert ladder.start(SHAPED) == "json_schema"


def test_a_fixed_mode_is_kept_or_refused_aloud():
    remembered = []
    ladder = Ladder(FIXED, None, remembered.append)
    assert ladder.known
    assert ladder.below(SHAPED, "json_object", "the prompt is too long") is None
    with pytest.raises(HarnessError, match="structured: auto"):
        ladder.below(SHAPED, "json_object", "unknown response_format")
    ladder.landed(SHAPED, "json_object")
    assert remembered == []


@pytest.mark.parametrize(
    ("said", "blamed"),
    [
        ("'response_format.type' must be 'json_schema' or 'text'", True),
        ("This model does not support response format `json_schema`", True),
        ("Failed to initialize samplers: failed to parse grammar", True),
        ("HTTP 400: no (response_format)", True),
        ("This model's maximum context length is 4096 tokens", False),
        ("Unsupported value: 'temperature'", False),
    ],
)
def test_what_is_said_about_the_form(said, blamed):
    assert blames_format(said) is blamed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure!\n```json\n{"a": "}{"}\n```\nDone {really}.', {"a": "}{"}),
        ('Here {is} it: {"a": {"b": []}} {"c": 2}', {"a": {"b": []}}),
        ('{"a": "\\"}"}', {"a": '"}'}),
        ('<think>{maybe "yes"}</think>{"a": null}', {"a": None}),
        ('{"a": 1', None),
        ("[1, 2]", None),
        ("no braces", None),
        ("", None),
        ('{"a": ' + "1" * 5000 + '} {"b": 2}', {"b": 2}),
        ("{" * 3000, None),
        ('{"a":' * 3000, None),
    ],
)
def test_the_first_object_is_found(text, found):
    assert extract_json(text) == found


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), values), st.text(alphabet="abc }]\n`"), st.text())
def test_an_object_is_found_in_any_prose_around_it(value, before, after):
    assert extract_json(before + json.dumps(value) + after) == value
