"""A judge that grades one reply by a rubric, behind an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models.adapters.judge_pointwise import RUBRIC
from harness.numerics import numerics
from harness.subject import Member, Subject
from harness.task import Score
from tests.llm.server import Seen, answer, no_content, refusal, serving, status
from tests.models.conftest import unit
from tests.models.judging import isolate, served, usable

UNITS = (unit("Which?", "good"), unit("Which?", "bad", side="rejected"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def grade(seen: Seen) -> str:
    return "4" if "good" in seen.question else "2"


def test_a_reply_is_graded_by_the_rubric(tmp_path):
    with serving(answer(grade)) as server:
        adapter = served(tmp_path, server, "judge-pointwise", rubric="Is it short? <s>", scale=[0, 10]).load()
        found = adapter.forward(usable(adapter.encode(UNITS)))
    assert found.outputs.tolist() == [[4.0], [2.0]]
    assert found.errors == {}
    text = next(b["messages"][0]["content"] for b in server.bodies if "good" in b["messages"][0]["content"])
    for part in (
        "from 0, the worst, to 10, the best",
        "What is graded: Is it short? <s>\n",
        "user: Which?\n",
        "\ngood\n",
    ):
        assert part in text
    assert adapter.raw_score(adapter.spec, found.outputs).tolist() == [4.0, 2.0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("4", 4.0),
        (" 4.5\n", 4.5),
        ("Score: **3**.", 3.0),
        ("On a scale of 1 to 5 I say:\n5", 5.0),
        ("<score>2</score>", 2.0),
        ("4/5", None),
        ("4 out of 5", None),
        ("between 3 and 4", None),
        ("6", None),
        ("-1", None),
        ("0", None),
        ("four", None),
        ("4\nbecause it is fine", None),
    ],
)
def test_the_only_number_of_the_last_line_is_the_grade(tmp_path, said, expected):
    with serving(answer(said)) as server:
        adapter = served(tmp_path, server, "judge-pointwise").load()
        found = adapter.forward(usable(adapter.encode(UNITS[:1])))
    if expected is None:
        assert found.errors == {0: "no grade in the answer"}
    else:
        assert (found.outputs.tolist(), found.errors) == ([[expected]], {})


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (refusal("I would rather not"), "rather not"),
        (no_content(), "no content"),
        (status(400, "too long"), "too long"),
    ],
)
def test_no_answer_is_a_failed_row_that_says_why(tmp_path, act, says):
    with serving(act) as server:
        engine = Engine(served(tmp_path, server, "judge-pointwise"), ScoreStore(tmp_path / "s.sqlite"))
        subject = Subject("m", "model", (Member("model", 0, engine),))
        subject.ensure([Score(UNITS)])
        table = subject.answer(Score(UNITS))
    assert table["status"].tolist() == ["failed"] * 2
    assert says in table["error"].iloc[0]


def test_the_rubric_and_the_pattern_are_part_of_the_model(tmp_path):
    with serving(answer("Grade A, that is [[3]] of [[5]]\nBye")) as server:

        def found(**options: Any) -> Any:
            return served(tmp_path, server, "judge-pointwise", **options)

        plain = found()
        others = [found(rubric="Is it short?"), found(scale=[1, 10]), found(verdict=r"\[\[(\d)\]\] of \[\[5\]\]\s*Bye")]
        adapter = others[-1].load()
        assert adapter.forward(usable(adapter.encode(UNITS[:1]))).outputs.tolist() == [[3.0]]
    assert plain.spec.options["rubric"] == RUBRIC
    assert plain.spec.heads is None
    assert len({plain.fingerprint, *(o.fingerprint for o in others)}) == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": [5, 1]}, "expected the worst grade and then a better one"),
        ({"scale": [1]}, "options.scale"),
        ({"verdict": "("}, "no regular expression"),
        ({"expectation": True}, "options.expectation needs the probabilities of tokens"),
        ({"rubric": 3}, "options.rubric"),
    ],
)
def test_what_a_spec_may_not_say(tmp_path, options, says):
    with serving(answer("4")) as server, pytest.raises(InputError, match=says):
        served(tmp_path, server, "judge-pointwise", **options)


def test_the_noise_of_a_server_is_measured_and_not_remembered(tmp_path):
    said = iter(["4", "2", "5", "2"])
    with serving(answer(lambda seen: next(said))) as server:
        engine = Engine(
            served(tmp_path, server, "judge-pointwise", endpoint={"concurrency": 1}), ScoreStore(tmp_path / "s.sqlite")
        )
        subject = Subject("m", "model", (Member("model", 0, engine),))
        subject.ensure([Score(UNITS)])
        found = numerics(subject, {"t": (UNITS, subject.answer(Score(UNITS)))})["t"]
    assert found["batch_delta_max"] in (1.0, 3.0)
    assert [found[key] for key in ("n_compared", "order_flips", "unparsed")] == [None] * 3
