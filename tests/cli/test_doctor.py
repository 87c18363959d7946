from __future__ import annotations

import json

import pytest
import yaml

from harness.cli.doctor import measured
from harness.testing.tiny import tiny_language_model
from tests.doctor import wild


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return wild.decoder(tmp_path_factory.mktemp("models") / "healthy")


@pytest.fixture
def upside_down(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({"model": ".", "template": "tokenizer", "direction": "lower_is_better"}))
    return file


def test_a_healthy_model_is_a_table_and_exit_0(cli, model):
    code, out, err = cli("doctor", "--model", model, "--device", "cpu")
    assert code == 0, err
    for check in ("load", "padding", "bos", "direction", "random_head"):
        assert check in out
    assert "0 fail" not in out
    assert " ok, " in out.splitlines()[-1]


def test_a_failed_check_is_exit_1_and_says_what_to_do(cli, model, upside_down, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = cli("doctor", "--model", model, "--spec", upside_down, "--device", "cpu")
    assert code == 1
    assert "bad replies win" in out
    assert "direction: lower_is_better" in out
    assert "1 fail" in out.splitlines()[-1]


def test_what_was_measured_is_words_and_no_python():
    found = {"n_texts": 2, "limit": None, "probes": [{"found": 1.5}, {"found": -2.0}], "deltas": {"one turn": 0.1}}
    assert measured(found) == "n texts 2, probes found 1.5; found -2.0, deltas one turn 0.1"


def test_json_is_the_whole_examination(cli, model, upside_down):
    code, out, _ = cli("doctor", "--model", model, "--spec", upside_down, "--device", "cpu", "--json")
    found = json.loads(out)
    assert (code, found["passed"], found["form"]) == (1, False, "full")
    (direction,) = [f for f in found["findings"] if f["check"] == "direction"]
    assert direction["status"] == "fail"
    assert direction["measured"]["wrong"] > direction["measured"]["right"]


def test_a_model_that_is_there_and_cannot_score_fails_to_load(cli, tmp_path):
    path = tiny_language_model(tmp_path / "chat")
    code, out, _ = cli("doctor", "--model", path, "--device", "cpu", "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (1, False)
    load, *rest = found["findings"]
    assert (load["check"], load["status"]) == ("load", "fail")
    assert load["reason"]
    assert {f["status"] for f in rest} == {"skipped"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "no/such/folder"], "no model"),
        (["--model", "null/longst"], "null/longest"),
        (["--model", "{model}", "--spec", "absent.yaml"], "absent.yaml"),
        (["--model", "{model}", "--device", "tpu"], "unknown device"),
        (["--model", "{empty}"], "config.json"),
        (["--model", "{model}", "--revision", "main"], "--revision"),
    ],
)
def test_a_wrong_command_is_exit_2(cli, model, tmp_path, arguments, said):
    code, out, err = cli("doctor", *(a.format(model=model, empty=tmp_path) for a in arguments))
    assert code == 2
    assert said in err
    assert out == ""


def test_run_warns_once_of_a_failed_check_and_goes_on(cli, model, upside_down, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {i}?", "chosen": "yes " * (i + 1), "rejected": "no"} for i in range(6)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = cli(
        "run", "--model", model, "--spec", upside_down, "--device", "cpu", "--tasks", "alignment_resistance",
        "-P", "alignment_resistance.draws=20", "--data", pairs, "--results", tmp_path / "results",
    )  # fmt: skip
    assert code == 0, err
    (warning,) = [line for line in err.splitlines() if line.startswith("warning:")]
    assert "direction: bad replies win" in warning
    assert "written to" in out
    assert cli("validate", tmp_path / "results")[0] == 0
