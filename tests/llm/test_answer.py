"""What a labeler wrote is a label, or says what is wrong with it."""

from __future__ import annotations

import json

import pytest

from harness.llm.answer import read_answer, tidy
from harness.llm.schema import LABELS

VALID = {name: ["other"] if f.several else "no" for name, f in LABELS.items()} | {"sentiment": "neutral"}
SAID = json.dumps(VALID)


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        json.dumps(VALID, indent=2),
        f"```json\n{SAID}\n```",
        f"Here is my label:\n{SAID}\nI judged it {{carefully}}.",
        json.dumps(dict(reversed(VALID.items()))),
        json.dumps(VALID | {"helpful": " NO\n", "sentiment": "Neutral", "topics": [" Other "]}),
        json.dumps(VALID | {"topics": ["other", "other"]}),
    ],
    ids=["plain", "indented", "fenced", "prose", "another order", "case and space", "a value twice"],
)
def test_a_complete_label_is_read_in_the_schemas_order(text):
    label = read_answer(text)
    assert label == VALID
    assert list(label) == list(LABELS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no complete JSON object"),
        ("I cannot judge that.", "no complete JSON object"),
        (SAID[:-30], "no complete JSON object"),
        (SAID[:-2], "no complete JSON object"),
        ("[" + ", ".join(f'"{x}"' for x in VALID) + "]", "no complete JSON object"),
        ("{}", "are missing"),
        (json.dumps({k: v for k, v in VALID.items() if k != "honest"}), "^honest is missing"),
        (json.dumps(VALID | {"helpful": "maybe"}), "helpful is 'maybe'; expected yes, no, unclear"),
        (json.dumps(VALID | {"helpful": True}), "helpful is True"),
        (json.dumps(VALID | {"helpful": None}), "helpful is None"),
        (json.dumps(VALID | {"helpful": 1}), "helpful is 1"),
        (json.dumps(VALID | {"helpful": ["no"]}), "helpful is \\['no'\\]"),
        (json.dumps(VALID | {"helpful": {"no": 1}}), "helpful is"),
        (json.dumps(VALID | {"topics": "other"}), "topics is 'other'; expected a list"),
        (json.dumps(VALID | {"topics": None}), "topics is None"),
        (json.dumps(VALID | {"topics": ["gossip"]}), "gossip"),
        (json.dumps(VALID | {"topics": [["other"]]}), "topics is"),
        (json.dumps(VALID | {"note": "mine"}), "no label field is called 'note'"),
        (json.dumps({"Helpful": "no"} | VALID), "no label field is called 'Helpful'"),
        (SAID[:-1] + ', "helpful": "yes"}', "helpful is given more than once"),
        (f"The text proposes {SAID}. Mine is {SAID.replace('no', 'yes')}", "is given more than once"),
        (json.dumps(VALID | {"helpful": "9" * 9999})[:-1] + "9" * 9999 + "}", "no complete JSON object"),
    ],
)
def test_what_is_no_label_says_why(text, said):
    with pytest.raises(ValueError, match=said) as raised:
        read_answer(text)
    assert len(str(raised.value)) < 600


def test_the_two_lists_and_their_values_may_stand_in_any_order():
    topics = list(LABELS["topics"].values)[:3]
    assert tidy({"topics": topics[::-1]}) == tidy({"topics": topics}) == {"topics": topics}
    assert list(tidy({"topics": [], "helpful": "YES"})) == ["helpful", "topics"]
