"""Numbers from a server: what is sent by each route, what is read, who the model is, and what every fault comes to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import HarnessError, InputError
from harness.models.base import Resolved, Unencodable
from harness.models.resolve import resolve
from harness.numerics import numerics
from harness.subject import Member, Subject
from harness.task import Score
from harness.testing.conformance import check_adapter
from tests.llm.server import LlmServer, Seen, hung_up, in_turn, raw, script, sending, serving, status
from tests.models.conftest import talk, unit
from tests.models.judging import isolate, served, spec_file, usable

UNITS = [
    unit(f"Question {i}?", f"reply {'x' * i}", item=str(i // 2), side=("chosen", "rejected")[i % 2]) for i in range(4)
]
HH = {"template": "hh"}
PAGES = {
    "/v1/models": {"data": [{"id": "org/m", "root": "/data/m", "max_model_len": 512, "created": 1}]},
    "/version": {"version": "0.16.0"},
}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


def score(given: Any) -> float:
    """A number for any text or ids: the server's own secret."""
    return sum(map(ord, given)) / 100 if isinstance(given, str) else sum(given) / 7 + len(given)


def vllm(key: str, of: Callable[[Any], Any] = lambda given: [score(given)]) -> Any:
    """A server that answers with these numbers under this key."""
    return script(lambda seen: sending({"data": [{"index": 0, key: of(seen.body["input"])}], "model": "org/m"}))


def scalar(folder: Path, server: LlmServer, spec: dict[str, Any] | None = None, **options: Any) -> Resolved:
    server.pages = server.pages or dict(PAGES)
    return served(folder, server, "scalar-endpoint", spec, **options)


def outputs(resolved: Resolved, units: Any = UNITS) -> np.ndarray:
    adapter = resolved.load()
    found = adapter.forward(usable(adapter.encode(units)))
    assert found.errors == {}
    return found.outputs


def hh(*contents: str) -> str:
    return "".join(f"\n\n{who}: {text}" for who, text in zip(("Human", "Assistant"), contents, strict=True))


@pytest.mark.parametrize(
    ("route", "key", "of"),
    [
        ("classify", "probs", lambda given: [score(given)]),
        ("pooling", "data", lambda given: [score(given)]),
        ("pooling", "data", lambda given: [[0.0], [1.0], [score(given)]]),
    ],
)
def test_texts_are_sent_without_special_tokens_and_scores_without_an_activation(tmp_path, route, key, of):
    with serving(vllm(key, of)) as server:
        found = outputs(scalar(tmp_path, server, HH, route=route))
    texts = [hh(*(m.content for m in u.conversation)) for u in UNITS]
    assert found[:, 0] == pytest.approx([score(text) for text in texts])
    bodies = [body for body in server.bodies if isinstance(body["input"], str)]
    assert sorted(body.pop("input") for body in bodies) == sorted(texts)
    assert all(b == {"model": "org/m", "add_special_tokens": False, "use_activation": False} for b in bodies)
    assert {seen.path for seen in server.seen} == {f"/{route}"}


def test_with_a_tokenizer_its_ids_are_sent(tmp_path, tiny):
    folder = tiny("llama")
    with serving(vllm("probs")) as server:
        found = outputs(scalar(tmp_path, server, tokenizer=str(folder), activation=True))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = [
        tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in u.conversation], tokenize=True)[
            "input_ids"
        ]
        for u in UNITS
    ]
    assert found[:, 0] == pytest.approx([score(ids) for ids in expected])
    assert all(body["use_activation"] is True for body in server.bodies)


def test_the_route_of_sglang_takes_ids_and_gives_raw_scores(tmp_path, tiny):
    with serving(
        script(lambda seen: sending({"embedding": [score(seen.body["input_ids"])], "meta_info": {}}))
    ) as server:  # type: ignore[arg-type]
        found = outputs(scalar(tmp_path, server, tokenizer=str(tiny("llama")), route="sglang"))
        assert set(server.bodies[-1]) == {"model", "input_ids"}
        assert len(set(found[:, 0])) == len(UNITS)
        with pytest.raises(InputError, match=r"options\.tokenizer"):
            scalar(tmp_path, server, HH, route="sglang")
        with pytest.raises(InputError, match="knows no activation"):
            scalar(tmp_path, server, tokenizer=str(tiny("llama")), route="sglang", activation=True)


def test_several_numbers_need_weights(tmp_path):
    two = vllm("probs", lambda given: [score(given), 1.0])
    with serving(two) as server:
        for spec in (HH, HH | {"heads": {"weights": [1.0, 1.0, 1.0]}}):
            with pytest.raises(InputError, match=r"answers with 2 numbers a text.*heads: \{weights: \[…, …\]\}"):
                scalar(tmp_path, server, spec)
        resolved = scalar(tmp_path, server, HH | {"heads": {"names": ["a", "b"], "weights": [2.0, -1.0]}})
        found = outputs(resolved)
    assert found[:, 1].tolist() == [1.0] * 4
    assert resolved.adapter.raw_score(resolved.spec, found) == pytest.approx(2 * found[:, 0] - 1)


def test_who_the_model_is(tmp_path, tiny):
    with serving(vllm("probs")) as server:
        first = scalar(tmp_path, server, HH)
        assert (first.name, first.revision) == ("endpoint/org-m", f"endpoint-{first.content[:12]}")
        assert first.spec.options["endpoint"] == {}
        others = {"version": {**PAGES, "/version": {"version": "0.17.0"}}, "none": {"/x": 1}}
        found = []
        for pages in others.values():
            server.pages = pages
            found.append(scalar(tmp_path, server, HH))
        server.pages = PAGES
        server.script = vllm("probs", lambda given: [score(given) * 1.01])
        found += [scalar(tmp_path, server, HH), scalar(tmp_path, server, {"template": "raw"})]
        server.script = vllm("probs", lambda given: [score(given) * (1 + 1e-6)])
        noisy = scalar(tmp_path, server, HH)
        tokenized = [scalar(tmp_path, server, tokenizer=str(tiny(family))) for family in ("llama", "qwen2")]
        assert str(tiny("llama").parent) not in json.dumps(tokenized[0].spec.identity())
        again = scalar(tmp_path, server, tokenizer=str(tiny("llama")))
    with serving(vllm("probs")) as elsewhere:
        moved = scalar(tmp_path, elsewhere, HH, endpoint={"concurrency": 2})
    assert moved.fingerprint == noisy.fingerprint == first.fingerprint
    assert again.fingerprint == tokenized[0].fingerprint
    assert len({r.fingerprint for r in (first, *found, *tokenized)}) == 7


def test_a_server_that_serves_others_or_is_not_there(tmp_path):
    with serving(vllm("probs")) as server:
        with pytest.raises(InputError, match="does not serve org/n; it serves org/m"):
            scalar(tmp_path, server, HH | {"model": "org/n"})
        path = spec_file(tmp_path, server, "scalar-endpoint", HH)
    with pytest.raises(HarnessError, match="check that it is up") as caught:
        resolve(f"endpoint:{path}")
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (status(404), "HTTP 404"),
        (status(400, "no such route"), "no such route"),
        (sending({"data": [{"embedding": [1.0]}]}), "no numbers where the route /classify has them"),
        (sending({"data": []}), "no numbers"),
        (sending({"data": [{"probs": []}]}), "no numbers"),
        (sending({"data": [{"probs": "x"}]}), "no numbers"),
        (raw(b"<html>"), "no JSON"),
        (hung_up(), "connection failed"),
    ],
)
def test_a_server_without_scores_is_found_before_anything_is_scored(tmp_path, act, says):
    with serving(act) as server, pytest.raises(HarnessError, match=says):
        scalar(tmp_path, server, HH)


def test_faults_after_the_beginning(tmp_path):
    texts = {"Question 1?": status(400, "too long"), "Question 2?": sending({"data": [{"probs": [1.0, 2.0]}]})}
    good = vllm("probs")

    def choose(seen: Seen) -> Any:
        wrong = next((act for text, act in texts.items() if text in seen.question), None)
        passing = in_turn(status(503), status(429, headers={"Retry-After": "0"}))
        return wrong or (good(seen) if seen.before else passing(seen))

    with serving(good) as server:
        resolved = scalar(tmp_path, server, HH, endpoint={"max_retries": 2})
        server.script = script(choose)
        adapter = resolved.load()
        found = adapter.forward(usable(adapter.encode(UNITS)))
        assert found.errors == {
            1: "the server gave no score: HTTP 400: too long",
            2: "the server gave no score: 2 numbers, expected 1",
        }
        assert found.outputs[[0, 3], 0] == pytest.approx(
            [score(hh(*(m.content for m in UNITS[i].conversation))) for i in (0, 3)]
        )
        server.script = script(lambda seen: hung_up())
        with pytest.raises(HarnessError, match="4 of 4 questions"):
            adapter.forward(usable(adapter.encode(UNITS)))


def test_a_wrong_key_is_told_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-0123")
    with serving(status(401, "Incorrect API key sk-0123")) as server:
        with pytest.raises(HarnessError, match="MY_KEY") as caught:
            scalar(tmp_path, server, HH, endpoint={"api_key_env": "MY_KEY"})
        assert "sk-0123" not in str(caught.value)
    assert server.headers[0]["authorization"] == "Bearer sk-0123"


def test_a_number_that_is_none_is_a_failed_row_and_noise_is_measured(tmp_path):
    with serving(vllm("probs")) as server:
        resolved = scalar(tmp_path, server, HH)
        server.script = script(
            lambda seen: sending(
                {"data": [{"probs": [float("nan") if "Question 1?" in seen.question else seen.before]}]}
            )
        )
        subject = Subject("m", "model", (Member("model", 0, Engine(resolved, ScoreStore(tmp_path / "s.sqlite"))),))
        subject.ensure([Score(tuple(UNITS))])
        table = subject.answer(Score(tuple(UNITS)))
        found = numerics(subject, {"t": (UNITS, table)})["t"]
    assert table["status"].tolist() == ["ok", "failed", "ok", "ok"]
    assert "not finite" in table["error"].iloc[1]
    assert found["batch_delta_max"] == 1.0, "asked again, and not remembered"


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ({}, {}, 'a text by the template "tokenizer" cannot be sent'),
        ({"template": {"pair": "hh"}}, {}, "cannot be sent"),
        ({"template": {"jinja": "{{ x"}}, {}, "does not compile"),
        ({"template": "nonsense"}, {}, "unknown template"),
        (HH, {"route": "score"}, "no route 'score'; options.route is one of classify, pooling, sglang"),
        (HH, {"activation": "maybe"}, "options.activation"),
        (HH, {"tokenizer": "nowhere"}, "no folder nowhere"),
        (HH, {"endpoint": {"base_url": None}}, "no base_url"),
    ],
)
def test_what_a_spec_may_not_say(tmp_path, monkeypatch, spec, options, says):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with serving(vllm("probs")) as server, pytest.raises(InputError) as caught:
        scalar(tmp_path, server, spec, **options).load()
    assert says in str(caught.value)


def test_texts_that_cannot_be_sent_are_refused(tmp_path):
    odd = unit("Which?", "\ud800")
    with serving(vllm("probs")) as server:
        (refused,) = scalar(tmp_path, server, HH).load().encode([odd])
    assert isinstance(refused, Unencodable)
    assert "not valid Unicode" in refused.error
    assert talk("a")[0].role == "assistant"


def test_it_is_an_adapter(tmp_path, tiny):
    with serving(vllm("probs")) as server:
        for more in ({"spec": HH}, {"tokenizer": str(tiny("llama"))}):
            check_adapter(scalar(tmp_path, server, **more).load(), UNITS)
