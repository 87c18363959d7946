"""A judge of two replies behind an address: what is asked, what is read, and what every fault comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import HarnessError, InputError
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.numerics import numerics
from harness.preference import Message, Unit
from harness.subject import Member, Subject
from harness.task import Compare
from harness.testing.conformance import check_adapter
from tests.llm.server import (
    LlmServer,
    Seen,
    answer,
    completion,
    dropped,
    in_turn,
    no_content,
    refusal,
    script,
    sending,
    serving,
    status,
)
from tests.models.conftest import unit
from tests.models.judging import isolate, served, usable

A, B = unit("Which?", "the good one"), unit("Which?", "the bad one", side="rejected")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def verdict(seen: Seen) -> str:
    """Prefers the good reply, wherever it stands."""
    first = seen.question.index("good") < seen.question.index("bad")
    return f"I first thought [[{'B' if first else 'A'}]], but no.\n\n**[[{'A' if first else 'B'}]]**\n"


def ask(adapter: Any, *pairs: tuple[Unit, Unit]) -> Any:
    return adapter.forward(usable(adapter.encode_pairs(pairs)))


def texts(server: LlmServer) -> list[str]:
    """What was asked: each time one message of the user."""
    assert {tuple(m["role"] for m in body["messages"]) for body in server.bodies} == {("user",)}
    return [body["messages"][0]["content"] for body in server.bodies]


def test_both_replies_are_shown_and_the_last_verdict_is_read(tmp_path):
    with serving(answer(verdict)) as server:
        adapter = served(tmp_path, server, "judge-pairwise").load()
        found = ask(adapter, (A, B), (B, A))
    assert found.outputs.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert found.errors == {}
    first, second = sorted(texts(server), key=lambda text: text.index("good"))
    assert first.index("user: Which?") < first.index("the good one") < first.index("the bad one")
    assert second.index("the bad one") < second.index("the good one")
    assert {(body["temperature"], body["max_tokens"]) for body in server.bodies} == {(0.0, 2048)}


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (answer("They are alike. [[C]]"), (0.5, 1.0)),
        (answer("<answer>[[A]]</answer>"), (1.0, 1.0)),
        (answer("[[A]] is what I would say, had B not been better."), (0.5, 0.0)),
        (answer("Hard to say."), (0.5, 0.0)),
        (answer("[[D]]"), (0.5, 0.0)),
        (answer("[[A]]", finish="length"), (0.5, 0.0)),
        (refusal(), (0.5, 0.0)),
        (no_content(), (0.5, 0.0)),
        (sending(completion(None, finish="content_filter")), (0.5, 0.0)),
        (in_turn(status(429, headers={"Retry-After": "0"}), answer("[[A]]")), (1.0, 1.0)),
        (in_turn(status(503), answer("[[B]]")), (0.0, 1.0)),
        (in_turn(dropped(), answer("[[B]]")), (0.0, 1.0)),
    ],
)
def test_what_an_answer_comes_to(tmp_path, act, expected):
    with serving(act) as server:
        found = ask(served(tmp_path, server, "judge-pairwise").load(), (A, B))
    assert tuple(found.outputs[0]) == expected
    assert found.errors == {}


def test_an_answer_without_a_verdict_is_never_asked_for_again(tmp_path):
    with serving(answer("Hard to say.")) as server:
        adapter = served(tmp_path, server, "judge-pairwise").load()
        ask(adapter, (A, B)), ask(adapter, (A, B))
    assert len(server.bodies) == 1, "nor one that is known"


def test_a_replicate_is_asked_anew(tmp_path):
    with serving(answer("[[A]]")) as server:
        adapter = served(tmp_path, server, "judge-pairwise", endpoint={"seed": 3}).load()
        ask(adapter, (A, B))
        adapter.replicate = 1
        ask(adapter, (A, B))
    assert [body["seed"] for body in server.bodies] == [3, 4]


def test_a_question_that_the_server_refuses_is_a_failed_row(tmp_path):
    refused = status(400, "maximum context length is 8 tokens")
    with serving(script(lambda seen: refused if "endless" in seen.question else answer("[[A]]"))) as server:
        found = ask(served(tmp_path, server, "judge-pairwise").load(), (A, unit("Which?", "endless")), (A, B))
    assert list(found.errors) == [0]
    assert "maximum context length" in found.errors[0]
    assert tuple(found.outputs[1]) == (1.0, 1.0)


def test_a_server_that_cannot_be_reached_ends_the_run_and_what_was_answered_is_kept(tmp_path):
    lost = script(lambda seen: status(503) if "worse" in seen.question else answer("[[A]]"))
    with serving(lost) as server:
        adapter = served(tmp_path, server, "judge-pairwise").load()
        with pytest.raises(HarnessError, match=r"1 of 2 questions \(HTTP 503, tries: 2\)") as caught:
            ask(adapter, (A, B), (A, unit("Which?", "worse")))
        assert not isinstance(caught.value, InputError)
        server.script = script(lambda seen: answer("[[B]]"))
        assert ask(adapter, (A, B), (A, unit("Which?", "worse"))).outputs[:, 0].tolist() == [1.0, 0.0]
    assert sum("worse" not in text for text in texts(server)) == 1


def test_a_wrong_key_ends_the_run_and_is_told_to_nobody(tmp_path, monkeypatch):
    secret = "sk-0123456789"
    monkeypatch.setenv("MY_KEY", secret)
    told = status(401, f"Incorrect API key provided: {secret}", code="invalid_api_key")
    with serving(told) as server:
        resolved = served(tmp_path, server, "judge-pairwise", endpoint={"api_key_env": "MY_KEY"})
        store = ScoreStore(tmp_path / "scores.sqlite")
        engine = Engine(resolved, store)
        with pytest.raises(HarnessError, match="MY_KEY") as caught:
            engine.ensure(_jobs())
        server.script = script(lambda seen: status(400, f"bad request of {secret}"))
        engine.ensure(_jobs())
    assert server.headers[0]["authorization"] == f"Bearer {secret}"
    told = [str(caught.value), json.dumps(resolved.spec.model_dump(mode="json"))]
    files = [file.read_bytes() for file in tmp_path.rglob("*.sqlite*")]
    assert len(files) >= 2
    assert not any(secret in text for text in told)
    assert not any(secret.encode() in text for text in files)


def _jobs() -> list[Any]:
    from harness.engine.engine import compare_jobs

    return list(compare_jobs(Compare("item", A, B)))


def test_the_table_holds_both_orders_and_flips_and_missing_verdicts_are_counted(tmp_path):
    others = [unit("Which?", f"reply {i} bad", item=f"i{i}", side="rejected") for i in range(3)]

    def choose(seen: Seen) -> Any:
        if "reply 1" in seen.question:
            return answer("[[A]]")
        return answer("I do not know") if "reply 2" in seen.question else answer(verdict)

    with serving(script(choose)) as server:
        engine = Engine(served(tmp_path, server, "judge-pairwise"), ScoreStore(tmp_path / "scores.sqlite"))
        subject = Subject("endpoint/org-m", "model", (Member("model", 0, engine),))
        rows = [Compare(o.item_id, unit("Which?", "good", item=o.item_id), o) for o in others]
        subject.ensure(rows)
        table = [subject.answer(row) for row in rows]
    assert [t["score"].item() for t in table] == [1.0, 0.5, 0.5]
    assert [t["head_outputs"].item() for t in table] == [[1, 1, 0, 1], [1, 1, 1, 1], [0.5, 0, 0.5, 0]]
    import pandas as pd

    counted = numerics(subject, {"task": ([], pd.concat(table))})["task"]
    assert (counted["n_compared"], counted["order_flips"], counted["unparsed"]) == (3, 1, 2)
    assert len(server.bodies) == 6


def test_the_question_and_the_verdicts_are_the_specs(tmp_path):
    options: dict[str, Any] = {
        "prompt": "{{ prompt }}|{{ response_a }}|{{ response_b }}",
        "verdict": r"\[\[([AB]>{1,2}[AB]|=)\]\]",
        "labels": {"A>>B": 1, "A>B": 0.75, "=": 0.5, "B>A": 0.25, "B>>A": 0},
        "max_new_tokens": 9,
    }
    with serving(answer("so: [[A>B]]")) as server:
        found = ask(served(tmp_path, server, "judge-pairwise", **options).load(), (A, B))
    assert found.outputs.tolist() == [[0.75, 1.0]]
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Which?|the good one|the bad one"}]
    assert server.bodies[0]["max_tokens"] == 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"verdict": "A"}, "options.verdict: Value error, has 0 groups, expected one"),
        ({"verdict": "(A"}, "options.verdict: Value error, is no regular expression"),
        ({"verdict": "(A)|(B)"}, "has 2 groups"),
        ({"labels": {"A": 2, "B": 0}}, "options.labels.A"),
        ({"labels": {"A": 1}}, "options.labels"),
        ({"prompt": "{{ x"}, "does not compile"),
        ({"max_new_tokens": 0}, "options.max_new_tokens"),
        ({"temperature": 0}, "options.temperature: Extra inputs are not permitted; its options are endpoint"),
        ({"endpoint": {"api_key": "sk-1"}}, "options.endpoint: api_key: Extra inputs"),
        ({"endpoint": {"max_tokens": 9}}, "write 'max_new_tokens' beside the endpoint"),
        ({"endpoint": {"model": "x"}}, "the spec's own key 'model'"),
        ({"endpoint": {"concurrency": 0}}, "concurrency"),
    ],
)
def test_what_a_spec_may_not_say(tmp_path, options, says):
    with serving(answer("[[A]]")) as server, pytest.raises(InputError) as caught:
        served(tmp_path, server, "judge-pairwise", **options).load().encode_pairs([(A, B)])
    assert says in str(caught.value)
    assert "sk-1" not in str(caught.value)


def test_what_decides_an_answer_names_the_judge_and_how_hard_the_server_is_pressed_does_not(tmp_path):
    with serving(answer("[[A]]")) as server:

        def fingerprint(**options: Any) -> str:
            return served(tmp_path, server, "judge-pairwise", **options).fingerprint

        first = fingerprint()
        same = fingerprint(endpoint={"concurrency": 3, "api_key_env": "OTHER", "price_in": 1.0, "max_retries": 0})
        others = [
            fingerprint(endpoint={"temperature": 0.5}),
            fingerprint(endpoint={"seed": 1}),
            fingerprint(endpoint={"base_url": "http://localhost:1/v1"}),
            fingerprint(prompt="{{ response_a }}{{ response_b }}"),
            fingerprint(max_new_tokens=9),
            served(tmp_path, server, "judge-pairwise", {"model": "org/n"}).fingerprint,
        ]
        resolved = served(tmp_path, server, "judge-pairwise")
    assert same == first
    assert len({first, *others}) == 1 + len(others)
    assert resolved.name == "endpoint/org-m"
    assert resolved.revision == f"endpoint-{resolved.content[:12]}"
    assert resolved.spec.options["endpoint"] == {"base_url": server.url, "seed": 0, "temperature": 0.0}
    assert resolved.adapter.capabilities == {"compares", "generates"}
    assert resolved.load().remote


def test_a_file_that_says_no_model_behind_an_address(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        resolve(f"endpoint:{tmp_path / 'none.yaml'}")
    path = tmp_path / "m.yaml"
    for text, says in (
        ("model: [sk-1", "it is no YAML"),
        ("- sk-1", "expected a mapping"),
        ("{model: m, key: sk-1}", "key: Extra inputs"),
        ("{model: m, adapter: judge-pairwise}", "no endpoint"),
        ("{model: m, options: {endpoint: {}}}", "no adapter"),
        (
            "{model: m, adapter: sequence-classification, options: {endpoint: {}}}",
            "the adapter sequence-classification",
        ),
        ("{model: m, adapter: judge-pairwise, options: {endpoint: sk-1}}", "options.endpoint"),
        ("{model: m, adapter: judge-pairwize}", "judge-pairwise"),
    ):
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            resolve(f"endpoint:{path}")
        assert says in str(caught.value), text
        assert "sk-1" not in str(caught.value)


def test_a_model_in_a_folder_has_no_endpoint_too(tmp_path, tiny):
    spec = ModelSpec(model=str(tiny("llama")), adapter="judge-pairwise", options={"endpoint": {}})
    with pytest.raises(InputError, match="endpoint:FILE"):
        resolve(spec)


def test_it_is_an_adapter(tmp_path):
    units = [
        unit("Which?", f"{word} one", item=str(i // 2), side=("chosen", "rejected")[i % 2])
        for i, word in enumerate(["good", "bad"] * 3)
    ]
    units = [
        Unit(**{**u.__dict__, "conversation": (Message("user", f"Q{u.item_id}"), u.conversation[-1])}) for u in units
    ]
    with serving(answer(verdict)) as server:
        check_adapter(served(tmp_path, server, "judge-pairwise").load(), units)
