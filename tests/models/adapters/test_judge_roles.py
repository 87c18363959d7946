"""A judge to whom replies come under roles of their own: both forms of its answers, and its chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.models.adapters.judge_roles import JudgeRoles, Roles, last_object, sections
from harness.models.prompt import pair
from harness.testing.tiny import FAMILIES
from tests.llm.server import Seen, answer, serving
from tests.models.conftest import unit
from tests.models.judging import isolate, served, usable

A, B = unit("Which?", "good"), unit("Which?", "bad", side="rejected")

TEXT = """\
[The Begin of Analysis on Response 1]
It is \\boxed{fine}.
[The End of Analysis on Response 1]

[The Begin of Individual Scores]
\\boxed{4, 2.5}
[The End of Individual Scores]

[The Begin of Ranking Score]
\\boxed{2}
[The End of Ranking Score]
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def ranked(ranking: Any, **more: Any) -> str:
    return json.dumps({"score_1": 4, "score_2": 3, "ranking": ranking} | more)


def test_replies_come_under_their_roles_behind_the_dialogue(tmp_path):
    def say(seen: Seen) -> str:
        replies = [m["content"] for m in seen.body["messages"][-2:]]
        return ranked(2 if replies == ["good", "bad"] else 4)

    with serving(answer(say)) as server:
        adapter = served(tmp_path, server, "judge-roles", max_new_tokens=7).load()
        found = adapter.forward(usable(adapter.encode_pairs([(A, B), (B, A)])))
    assert found.outputs.tolist() == [pytest.approx([0.8, 1, 4, 3, 2]), pytest.approx([0.4, 1, 4, 3, 4])]
    asked = sorted((body["messages"] for body in server.bodies), key=lambda messages: messages[-1]["content"])
    assert asked[0] == [
        {"role": "user", "content": "Which?"},
        {"role": "response_1", "content": "good"},
        {"role": "response_2", "content": "bad"},
    ]
    assert {body["max_tokens"] for body in server.bodies} == {7}
    assert adapter.spec.heads.names == ("preferred", "parsed", "score_1", "score_2", "ranking")


def test_a_principle_has_a_role_of_its_own_and_is_part_of_the_model(tmp_path):
    with serving(answer(ranked(1))) as server:
        one = served(tmp_path, server, "judge-roles", principle="Be brief.")
        adapter = one.load()
        adapter.forward(usable(adapter.encode_pairs([(A, B)])))
        two = served(tmp_path, server, "judge-roles", principle="Be kind.")
    assert [(m["role"], m["content"]) for m in server.bodies[0]["messages"]] == [
        ("user", "Which?"), ("principle", "Be brief."), ("response_1", "good"), ("response_2", "bad"),
    ]  # fmt: skip
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ranked(1), (1.0, 1, 4, 3, 1)),
        (ranked(3), (0.6, 1, 4, 3, 3)),
        (ranked(4), (0.4, 1, 4, 3, 4)),
        (ranked(6.0), (0.0, 1, 4, 3, 6)),
        (ranked("5"), (0.2, 1, 4, 3, 5)),
        (f"<think>{ranked(1)}</think>\n```json\n{ranked(6)}\n```", (0.0, 1, 4, 3, 6)),
        (json.dumps({"rubric_evaluations": [{"ranking": 1}], "overall": json.loads(ranked(5))}), (0.2, 1, 4, 3, 5)),
        ('{"ranking": 2}', (0.8, 1, 0, 0, 2)),
        (ranked(2, score_1=9, score_2=None), (0.8, 1, 0, 0, 2)),
        (TEXT, (0.8, 1, 4, 2.5, 2)),
        (TEXT.replace("{2}", "{1}") + TEXT, (0.8, 1, 4, 2.5, 2)),
        (TEXT.split("[The Begin of Ranking")[0], None),
        (TEXT.replace("{2}", "{first}"), None),
        (TEXT.replace("{2}", "{2, 3}"), None),
        (ranked(0), None),
        (ranked(7), None),
        (ranked(True), None),
        (ranked([1]), None),
        ('{"score_1": 5, "score_2": 1}', None),
        ("The first. 1", None),
        ('{"ranking": 2', None),
        ('{"ranking": NaN}', None),
        ("", None),
    ],
)
def test_what_an_answer_says(text, expected):
    found = JudgeRoles.read(None, text)  # type: ignore[arg-type]
    assert found == (expected if expected is None else pytest.approx(expected))


@given(st.text(alphabet='{}[]":,ranking 0123456789\\boxed.eE+-', max_size=60) | st.text(max_size=60))
def test_no_answer_breaks_the_reader(text):
    for whole in (text, f'{{"ranking": {text}}}', TEXT.replace("2", text)):
        found = JudgeRoles.read(None, whole)  # type: ignore[arg-type]
        assert found is None or (len(found) == 5 and 0 <= found[0] <= 1)


def test_deep_nesting_is_no_object():
    assert last_object("{" * 100_000) == {}
    assert last_object('{"ranking":' * 50_000) == {}
    assert sections("[The Begin of Ranking Score]" * 1000) == {}


def test_the_models_own_template_must_know_the_roles():
    tokenizer = FAMILIES["llama"].tokenizer()
    bound = Roles(None).bind(tokenizer, chat=True)
    text = bound.render(pair(A, B)).segments[0]
    assert text == (
        "<s><|start|>user\nWhich?<|end|>\n<|start|>response_1\ngood<|end|>\n<|start|>response_2\nbad<|end|>\n"
        "<|start|>assistant\n"
    )
    for template in (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        "{{ raise_exception('roles must alternate') }}",
    ):
        tokenizer.chat_template = template
        with pytest.raises(InputError, match="roles response_1, response_2"):
            Roles(None).bind(tokenizer, chat=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role != 'principle' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    Roles(None).bind(tokenizer, chat=True)
    with pytest.raises(InputError, match="roles principle, response_1, response_2"):
        Roles("Be brief.").bind(tokenizer, chat=True)
