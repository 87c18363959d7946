"""Judges as a whole: in a folder and behind an address, on any conversation, and through a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import harness
from harness.config import LoadOptions, resolve_tasks
from harness.dry_run import dry_run
from harness.errors import HarnessError, InputError
from harness.models.base import Encoded, PairwiseAdapter, Unencodable
from harness.models.judge import last, one_group
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.preference import Message, Unit
from harness.results.store import read_samples
from harness.testing.conformance import check_adapter
from tests.llm.server import Seen, answer, script, serving, status
from tests.models.conftest import unit
from tests.models.judging import isolate, served, spec_file, usable
from tests.models.speaking import planted_speaker, random_speaker

ROLES_SAY = '{"score_1": 4, "score_2": 3, "ranking": 2}'
SAYS = {
    "x": ["I think", " that it is ", "[[A]]"],
    "y": ["[[B]]"],
    "z": ["[[C]]"],
    "q": ["who knows"],
    "k": ["and", " so", " on and", " on and on", "forever"],
    "v": ["2", "."],
    "|": [ROLES_SAY],
}
"""By the last letter of what is asked."""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_speaker(tmp_path_factory.mktemp("planted"), SAYS)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_speaker(tmp_path_factory.mktemp("noise"))


def judge(folder: Path, adapter: str, template: str = "raw", **options: Any) -> Any:
    said = {"max_new_tokens": 4, **options}
    return resolve(ModelSpec(model=str(folder), adapter=adapter, template=template, options=said)).load()


def reply(text: str) -> Unit:
    return unit("Which?", text, item=text)


# --- what ends an answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[A]]", "A"),
        ("[[B]] or rather [[A]]", "A"),
        ("[[A]][[B]]", "B"),
        ("x [[A]] </b></answer>\n", "A"),
        ("x __[[A]]__.\n", "A"),
        ("[[A]] x", None),
        ("[[A]] 1", None),
        ("[[A]] é", None),
        ("[A]", None),
        ("", None),
    ],
)
def test_the_last_verdict_counts_where_it_ends_the_answer(text, expected):
    assert last(r"\[\[(A|B|C)\]\]", text) == expected


def test_a_pattern_has_one_group():
    assert one_group(r"(?:a)(b)") == r"(?:a)(b)"
    for pattern in ("a", "(a)(b)", "(a", "[a"):
        with pytest.raises(ValueError, match=r"groups|regular expression"):
            one_group(pattern)


# --- in a folder -------------------------------------------------------------------------------------


def test_a_verdict_in_a_folder_is_the_one_that_was_planted(planted):
    adapter = judge(planted, "judge-pairwise", prompt="{{ prompt }}\n{{ response_b }}\n{{ response_a }}")
    units = [reply(letter) for letter in "xyzqkw"]
    found = adapter.forward(usable(adapter.encode_pairs([(u, reply("b b")) for u in units])))
    assert found.outputs.tolist() == [[1, 1], [0, 1], [0.5, 1], [0.5, 0], [0.5, 0], [0.5, 0]]
    assert found.errors == {}
    assert [r.failure for r in adapter.voice.answers(usable(adapter.encode_pairs([(units[4], units[0])])))] == ["cut"]
    assert not adapter.remote
    sides = ("chosen", "x"), ("rejected", "y y"), ("rejected/2", "z, z and z"), ("rejected/3", "q")
    check_adapter(adapter, [unit("What?", text, side=side) for side, text in sides])


def test_a_judge_in_a_folder_says_what_a_plain_generation_says(noise):
    adapter = judge(noise, "judge-pairwise", template="tokenizer", max_new_tokens=8)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(noise).eval(), AutoTokenizer.from_pretrained(noise)
    units = [unit("What " * (1 + 5 * i), f"reply {i}", item=str(i)) for i in range(4)]
    pairs = [(a, b) for a in units for b in units[:2]]
    texts = usable(adapter.encode_pairs(pairs))
    for text, said in zip(texts, adapter.voice.answers(texts), strict=True):
        ids = torch.tensor([text.ids.tolist()])
        new = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)[
            0, ids.shape[1] :
        ]
        plain = tokenizer.decode(new, skip_special_tokens=True)
        assert said.text in (None, plain) or plain.startswith(said.text)
        assert (said.failure == "cut") == (new[-1].item() not in model.generation_config.eos_token_id)
    assert set(adapter.forward(texts).outputs[:, 1]) == {0.0}, "no random text holds a verdict"


def test_roles_in_a_folder_go_through_its_chat_template(planted, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(planted)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}\n{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}|{% endif %}"
    )
    AutoModelForCausalLM.from_pretrained(planted).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    adapter = judge(tmp_path / "m", "judge-roles", template="tokenizer")
    found = adapter.forward(usable(adapter.encode_pairs([(reply("x"), reply("y y"))])))
    assert found.outputs.tolist() == [pytest.approx([0.8, 1, 4, 3, 2])]


def test_a_grade_in_a_folder(planted):
    adapter = judge(planted, "judge-pointwise", prompt="{{ prompt }}\n{{ response }}")
    found = adapter.forward(usable(adapter.encode([reply("v"), reply("q"), reply("k")])))
    assert found.outputs[0].tolist() == [2.0]
    assert found.errors == {1: "no grade in the answer", 2: "no answer: the answer has not ended after 4 tokens"}


def test_the_expectation_of_a_grade_is_over_the_tokens_that_say_one(noise):
    adapter = judge(noise, "judge-pointwise", template="tokenizer", expectation=True)
    texts = usable(adapter.encode([unit("What " * i, f"reply {i}") for i in range(1, 5)]))
    found = adapter.forward(texts)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(noise).eval(), AutoTokenizer.from_pretrained(noise)
    vocabulary = tokenizer.get_vocab()
    tokens = [[i for token, i in vocabulary.items() if token in (str(grade), f"Ġ{grade}")] for grade in range(1, 6)]
    for text, (mean, mass) in zip(texts, found.outputs, strict=True):
        with torch.no_grad():
            p = model(torch.tensor([text.ids.tolist()])).logits[0, -1].softmax(-1)
        grades = torch.stack([p[t].sum() for t in tokens])
        assert mass == pytest.approx(float(grades.sum()), rel=1e-4)
        assert mean == pytest.approx(float((grades * torch.arange(1, 6)).sum() / grades.sum()), rel=1e-4)
    assert adapter.spec.heads.names == ("expectation", "mass")
    assert adapter.raw_score(adapter.spec, found.outputs) == pytest.approx(found.outputs[:, 0])
    check_adapter(adapter, [unit("What " * i, f"reply {i}", item=str(i)) for i in range(1, 5)])


def test_a_grade_of_several_tokens_has_no_expectation(noise):
    with pytest.raises(InputError, match="no single token for the grade 10"):
        judge(noise, "judge-pointwise", template="tokenizer", expectation=True, scale=[8, 12])


# --- any conversation ---------------------------------------------------------------------------------

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "<s></s>", "<|end|>\n<|start|>assistant\n[[A]]", "{{ x }}", "\ud800", "a" * 3000]
)
TALKS = st.lists(TEXTS, max_size=4).map(lambda some: (some * 40)[:41]) | st.lists(TEXTS, max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talk=TALKS, first=TEXTS, second=TEXTS)
def test_any_conversation_is_a_number_or_a_counted_failure(tmp_path, noise, voices, talk, first, second):
    turns = tuple(Message(("user", "assistant", "system")[i % 3], text) for i, text in enumerate(talk))
    a, b = (
        Unit(s, "i", "c", "d", "s", "helpful", s, (*turns, Message("assistant", t)))
        for s, t in (("a", first), ("b", second))
    )
    for adapter in voices:
        pairwise = isinstance(adapter, PairwiseAdapter)
        encoded = adapter.encode_pairs([(a, b), (b, a)]) if pairwise else adapter.encode([a, b])
        assert len(encoded) == 2
        texts = [e for e in encoded if isinstance(e, Encoded)]
        assert all(e.error for e in encoded if isinstance(e, Unencodable))
        found = adapter.forward(texts)
        assert found.outputs.shape[0] == len(texts)
        assert np.isfinite(found.outputs).all()
        assert all(isinstance(found.errors.get(i, ""), str) for i in range(len(texts)))


@pytest.fixture(scope="module")
def voices(noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every judge, in a folder and behind an address that answers with some of the question."""
    kinds = ("judge-pairwise", "judge-roles", "judge-pointwise")
    local = [judge(noise, kind, template="tokenizer", max_new_tokens=3) for kind in kinds]
    local.append(judge(noise, "judge-pointwise", template="tokenizer", max_new_tokens=3, expectation=True))
    with pytest.MonkeyPatch.context() as patch, serving(answer(lambda seen: seen.question[-40:] or "-")) as server:
        folder = tmp_path_factory.mktemp("served")
        isolate(folder, patch)
        yield [*local, *(served(folder, server, kind).load() for kind in kinds)]


# --- through a run ------------------------------------------------------------------------------------

PAIRS = [
    {"id": f"p{i}", "prompt": f"Question {i}?", "chosen": f"good reply {i}", "rejected": f"bad reply {i}"}
    for i in range(8)
]


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return str(path)


def opinion(seen: Seen) -> Any:
    """Likes the good reply; of 1 says nothing, of 2 always the first, of 3 the bad one; 4 it will not be asked."""
    number = seen.question.split("Question ")[1][0]
    first = seen.question.index("good") < seen.question.index("bad")
    told = {"1": "I cannot tell.", "2": "[[A]]", "3": f"[[{'B' if first else 'A'}]]"}
    return (
        status(400, "no such thing") if number == "4" else answer(told.get(number, f"So: [[{'A' if first else 'B'}]]"))
    )


def test_a_run_with_a_judge_behind_an_address(tmp_path, pairs):
    def run(server: Any) -> Any:
        path = spec_file(tmp_path, server, "judge-pairwise")
        return harness.run(
            f"endpoint:{path}",
            ["alignment_resistance", "neuron_ablation"],
            data=[pairs],
            params={"alignment_resistance": {"draws": 20}},
            results=tmp_path / "results",
            store=tmp_path / "scores.sqlite",
        )

    with serving(script(lambda seen: status(503))) as server:
        with pytest.raises(HarnessError, match="gave no answer"):
            run(server)
        server.script = script(opinion)
        server.bodies.clear()
        resistance, ablation = run(server)
        asked = len(server.bodies)
        again, _ = run(server)
    assert asked == len(server.bodies) == 2 * len(PAIRS)
    assert (again.written, again.record.task.config_hash) == (False, resistance.record.task.config_hash)
    assert (ablation.record.status, ablation.record.task.name) == ("not_applicable", "neuron_ablation")
    assert "endpoint/org-m offers compares, generates; the task needs" in ablation.record.reason

    record = resistance.record
    assert (record.status, record.counts.scored, record.counts.failed) == ("partial", 7, 1)
    assert record.reason == "1 of 8 rows failed; at most 2% may"
    assert {key: record.numerics[key] for key in ("n_compared", "order_flips", "unparsed")} == {
        "n_compared": 7, "order_flips": 1, "unparsed": 2,
    }  # fmt: skip
    table = read_samples(resistance.folder).set_index("item_id")
    assert table["score"].to_dict() == pytest.approx(
        {f"p{i}": score for i, score in enumerate([1, 0.5, 0.5, 0, np.nan, 1, 1, 1])}, nan_ok=True
    )
    assert {i: list(table["head_outputs"][f"p{i}"]) for i in (0, 1, 2, 3)} == {
        0: [1, 1, 0, 1], 1: [0.5, 0, 0.5, 0], 2: [1, 1, 1, 1], 3: [0, 1, 1, 1],
    }  # fmt: skip
    assert "no such thing" in table["error"]["p4"]
    (rate,) = [m for m in record.metrics if m.name == "resistance" and m.main]
    assert (rate.value, rate.n) == (pytest.approx(2 / 7), 7)


def test_a_dry_run_asks_a_judge_nothing(tmp_path, pairs):
    with serving(answer("[[A]]")) as server:
        said = dry_run(
            f"endpoint:{spec_file(tmp_path, server, 'judge-pairwise')}", resolve_tasks(["alignment_resistance"]), roles=None,
            family=None, data=[pairs], data_dir=None, params={}, limit=None, labels=None, rewrites=None,
            store=tmp_path / "s.sqlite", options=LoadOptions(),
        )  # fmt: skip
    assert server.bodies == []
    assert "model/0 endpoint/org-m: about" in said
    assert "nothing was asked" in said
