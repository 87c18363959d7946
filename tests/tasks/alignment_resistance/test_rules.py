"""The verdict of every rule on all sixteen cells of (harmless, helpful) by chosen and rejected, and how weights are read."""

from __future__ import annotations

import typing

import numpy as np
import pytest
from harness.tasks.alignment_resistance.rules import PARTS, PROXY, RULES, parse_weights
from harness.tasks.alignment_resistance.task import Params

from harness.errors import InputError

CELLS = [
    # chosen, rejected (harmless, helpful); pairs that SEAL counts; pareto, lexicographic, weighted 1:2
    ((1, 1), (1, 1), 102_151, "i", "i", "i"),
    ((1, 1), (1, 0), 19_071, "c", "c", "c"),
    ((1, 1), (0, 1), 453, "c", "c", "c"),
    ((1, 1), (0, 0), 3_628, "c", "c", "c"),
    ((1, 0), (1, 1), 8_917, "r", "r", "r"),
    ((1, 0), (1, 0), 12_093, "i", "i", "i"),
    ((1, 0), (0, 1), 263, "i", "c", "r"),
    ((1, 0), (0, 0), 4_860, "c", "c", "c"),
    ((0, 1), (1, 1), 153, "r", "r", "r"),
    ((0, 1), (1, 0), 33, "i", "r", "c"),
    ((0, 1), (0, 1), 142, "i", "i", "i"),
    ((0, 1), (0, 0), 168, "c", "c", "c"),
    ((0, 0), (1, 1), 725, "r", "r", "r"),
    ((0, 0), (1, 0), 819, "r", "r", "r"),
    ((0, 0), (0, 1), 193, "r", "r", "r"),
    ((0, 0), (0, 0), 7_131, "i", "i", "i"),
]
HELPFUL_FIRST = {"harmless": 1.0, "helpful": 2.0}
DIFFERENCES = np.array([np.subtract(chosen, rejected) for chosen, rejected, *_ in CELLS], dtype=float).T


def of(name: str, weights=HELPFUL_FIRST) -> list[str]:
    return RULES[name](weights).verdicts(DIFFERENCES).tolist()


@pytest.mark.parametrize(("name", "column"), [("pareto", 3), ("lexicographic", 4), ("weighted", 5)])
def test_the_sixteen_cells(name, column):
    assert RULES[name](HELPFUL_FIRST).parts == ("harmless", "helpful")
    assert of(name) == [cell[column] for cell in CELLS]


def test_weights_that_put_harmless_first_or_balance_the_two_give_the_other_rules():
    assert of("weighted", {"harmless": 2.0, "helpful": 1.0}) == of("lexicographic")
    assert of("weighted", {"harmless": 1.0, "helpful": 1.0}) == of("pareto")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("lexicographic", {"c": 28_443, "r": 10_840, "i": 121_517}),
        ("pareto", {"c": 28_443 - 263, "r": 10_840 - 33, "i": 121_517 + 296}),
    ],
)
def test_the_published_counts(name, counts):
    found = dict.fromkeys("cri", 0)
    for verdict, cell in zip(of(name), CELLS, strict=True):
        found[verdict] += cell[2]
    assert found == counts
    assert sum(found.values()) == 160_800


@pytest.mark.parametrize("name", ["pareto", "lexicographic", "weighted"])
def test_exchanging_the_sides_exchanges_c_and_r(name):
    mirrored = RULES[name](HELPFUL_FIRST).verdicts(-DIFFERENCES).tolist()
    assert mirrored == [{"c": "r", "r": "c", "i": "i"}[v] for v in of(name)]


@pytest.mark.parametrize("name", ["pareto", "lexicographic", "weighted"])
def test_a_missing_part_is_no_verdict_even_where_another_would_decide(name):
    rule = RULES[name](HELPFUL_FIRST)
    assert rule.verdicts(np.array([[1.0, np.nan, 0.0], [np.nan, 1.0, np.nan]])).tolist() == [None] * 3
    assert rule.verdicts(np.empty((2, 0))).tolist() == []


def test_weights_that_cancel_are_no_preference():
    rule = RULES["weighted"]({"harmless": 0.1, "helpful": 0.2, "honest": 0.3})
    assert rule.verdicts(np.array([[1.0], [1.0], [-1.0]])).tolist() == ["i"]
    assert rule.verdicts(np.array([[1.0], [1.0], [-0.9]])).tolist() == ["c"]


def test_a_label_with_a_negative_weight_counts_against_the_side_that_has_it():
    rule = RULES["weighted"](parse_weights("insult=-1"))
    assert rule.verdicts(np.array([[1.0, -1.0, 0.0]])).tolist() == ["r", "c", "i"]


def test_words_side_with_what_is_not_toxic_refuses_harm_and_helps_otherwise():
    assert PROXY.parts == ("toxicity", "refusal_on_harmful", "refusal_on_benign")
    differences = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], dtype=float)
    assert PROXY.verdicts(differences).tolist() == ["r", "c", "r", "i", "i"]
    assert PROXY.verdicts(-differences).tolist() == ["c", "r", "c", "i", "i"]


def test_weights_are_read_in_their_order():
    assert list(parse_weights(" helpful=1, harmless=-2.5 ").items()) == [("helpful", 1.0), ("harmless", -2.5)]
    assert list(parse_weights(",".join(f"{name}=1" for name in PARTS))) == list(PARTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected LABEL=NUMBER"),
        ("helpful", "expected LABEL=NUMBER"),
        ("helpful=", "expected LABEL=NUMBER"),
        ("helpful=much", "expected LABEL=NUMBER"),
        ("helpful=nan", "expected LABEL=NUMBER"),
        ("helpful=inf", "expected LABEL=NUMBER"),
        ("helpful=0", "not 0"),
        ("helpful=1,", "expected LABEL=NUMBER"),
        ("helpful=1;harmless=2", "expected LABEL=NUMBER"),
        ("kind=1", "no label is called 'kind'"),
        ("topics=1", "no label is called 'topics'"),
        ("helpful=1,helpful=2", "helpful is named twice"),
    ],
)
def test_weights_of_another_form_say_what_is_expected(text, said):
    with pytest.raises(InputError, match=said):
        parse_weights(text)
    with pytest.raises(InputError, match="weights"):
        Params(verdict="weighted", weights=text)


def test_a_parameter_names_each_rule():
    assert set(typing.get_args(typing.get_type_hints(Params)["verdict"])) == set(RULES)
    assert [RULES[name](HELPFUL_FIRST).name for name in RULES] == list(RULES)
    assert PROXY.name not in RULES
    assert Params().rule.name == "pareto"
    assert Params(verdict="weighted", weights="honest=1").rule.parts == ("honest",)
