"""A valid tree has no findings; every rule finds the fault planted for it, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.results.schema import MetricRecord
from harness.results.store import read_record
from harness.results.validate import Finding, validate
from tests.results.trees import METRIC, edit, record, replace_samples, scores, write


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Path]:
    table = scores()
    write(tmp_path, table, "org/b")
    return tmp_path, write(tmp_path, table, "org/a")


def only(findings: list[Finding], rule: str) -> str:
    assert {f.rule for f in findings} == {rule}
    assert all(f.path.startswith("org__a/") for f in findings)
    return findings[0].message


def test_a_valid_tree_has_no_findings(tree):
    root, _ = tree
    assert validate(root) == []
    assert validate(root, lambda folder: read_record(folder).metrics) == []


def test_what_is_no_result_is_a_schema_finding(tree):
    root, folder = tree
    edit(folder, lambda data: data.update(surprise=1))
    assert "surprise" in only(validate(root), "schema")
    (folder / "result.json").write_text("{")
    assert only(validate(root), "schema")
    (folder / "result.json").write_bytes(b"\xff")
    assert "cannot be read" in only(validate(root), "schema")


def test_a_folder_that_is_not_the_identity(tree):
    root, folder = tree
    folder.rename(folder.with_name("other"))
    message = only(validate(root), "path")
    assert "t@1/other" in message
    assert "expected org__a/" in message


def test_two_folders_with_one_identity(tree):
    root, folder = tree
    copy = folder.with_name("zz")
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert {f.rule for f in validate(root)} == {"duplicate", "path"}


@pytest.mark.parametrize(
    ("revision", "good"),
    [("main", False), ("c" * 39, False), ("local-0123456789ab", True), ("local-0123", False), ("C" * 40, False)],
)
def test_a_revision_is_a_commit_or_a_content_hash(tmp_path, revision, good):
    folder = write(tmp_path, scores())
    edit(folder, lambda data: data["subject"]["members"][0]["model"].update(revision=revision))
    findings = validate(tmp_path)
    assert (findings == []) == good
    if not good:
        assert revision in only(findings, "revision")


def test_null_models_have_no_commit_and_data_has_one_or_none(tmp_path):
    table = scores()
    folder = write(tmp_path, table, "null/random")
    edit(folder, lambda data: data["subject"]["members"][0]["model"].update(revision="v1"))
    assert validate(tmp_path) == []
    folder = write(tmp_path, table, "org/a")
    edit(folder, lambda data: data["task"]["datasets"][0].update(revision="main"))
    assert "'main'" in only(validate(tmp_path), "revision")


@pytest.mark.parametrize(
    "text",
    [
        "--model /home/me/model",
        "see (/tmp)",
        "~/models/a",
        r"C:\Users\me",
        "D:/models",
        r"\\server\share",
        "file:///data/x",
        "path:/root",
        "run </home/me/pairs",
    ],
)
def test_a_local_path_is_found_wherever_it_stands(tree, text):
    root, folder = tree
    for change in (
        lambda data: data["run"].update(command=text),
        lambda data: data["environment"].update({"deep": [{"list": [text]}]}),
        lambda data: data["environment"].update({"deep": {text: 1}}),
    ):
        edit(folder, change)
        assert "local path" in only(validate(root), "local-path")
        edit(folder, lambda data: data.update(environment={}))


@pytest.mark.parametrize(
    "text",
    [
        "--model ../shared/models/a --data-dir ./data",
        "https://huggingface.co/org/a/tree/main",
        "Anthropic/hh-rlhf and/or 1/2",
        "mean / sd",
        "chosen/1-concise>rejected/2",
        "hf://datasets/org/a",
        "run --labels '…/labels.jsonl' --store=…/s.sqlite",
        "<s>text</s><|end|>",
    ],
)
def test_what_is_no_local_path_is_let_pass(tree, text):
    root, folder = tree
    edit(folder, lambda data: data["run"].update(command=text))
    assert validate(root) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 0.9}, "expected inside its interval"),
        ({"value": None, "ci": None}, "expected a reason"),
        ({"value": None, "reason": "none"}, "has an interval"),
        ({"p": 1.5}, "p = 1.5"),
        ({"p_holm": -0.1}, "p_holm = -0.1"),
        ({"q_bh": 2}, "q_bh = 2"),
        ({"value": 70.0, "ci": None}, "is the proportion 70"),
        ({"value": math.nan, "ci": None}, "expected a finite number"),
    ],
)
def test_metric_rows_that_cannot_be(tree, change, message):
    root, folder = tree
    edit(folder, lambda data: data["metrics"][0].update(change))
    assert message in only(validate(root), "metric")


def test_two_metric_rows_of_one_name(tree):
    root, folder = tree
    edit(folder, lambda data: data["metrics"].append(data["metrics"][0]))
    assert "two rows are called acc[member=model]" in only(validate(root), "metric")
    edit(folder, lambda data: data["metrics"][1]["dims"].update(subset="s"))
    assert validate(root) == []


def change_bytes(folder: Path) -> None:
    with (folder / "samples.parquet").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_bytes, "has sha256"),
        (lambda folder: (folder / "samples.parquet").unlink(), "is missing"),
        (lambda folder: edit(folder, lambda data: data["samples"].update(rows=5)), "has 24 rows, expected 5"),
        (lambda folder: edit(folder, lambda data: data.update(samples=None)), "has no samples"),
        (lambda folder: edit(folder, lambda data: data["samples"].update(path="../x")), "expected one in its own"),
        (
            lambda folder: edit(folder, lambda data: data.update(arrays={"path": "arrays.safetensors", "sha256": "0"})),
            "arrays.safetensors is missing",
        ),
    ],
)
def test_files_that_are_not_what_the_record_says(tree, change: Callable[[Path], None], message):
    root, folder = tree
    change(folder)
    assert message in only(validate(root), "files")


def test_samples_that_are_no_table(tree):
    from harness.results.store import file_sha256

    root, folder = tree
    (folder / "samples.parquet").write_text("no parquet")
    edit(folder, lambda data: data["samples"].update(sha256=file_sha256(folder / "samples.parquet")))
    assert "no readable Parquet" in only(validate(root), "files")


def test_texts_and_foreign_columns_in_samples(tree):
    root, folder = tree
    table = scores()
    replace_samples(folder, table.assign(x_ok=1.0, x_short="refusal"))
    assert validate(root) == []
    replace_samples(folder, table.assign(prompt="hello"))
    assert "'prompt'" in only(validate(root), "columns")
    replace_samples(folder, table.assign(x_note="long " * 60))
    assert "300 characters in x_note" in only(validate(root), "columns")
    replace_samples(folder, table.drop(columns="ids_hash"))
    assert "lack ids_hash" in only(validate(root), "columns")


def test_a_key_that_stands_twice(tree):
    root, folder = tree
    table = scores()
    table.loc[1, "unit_id"] = table.loc[0, "unit_id"]
    replace_samples(folder, table)
    assert "1 repeated keys" in only(validate(root), "keys")


@pytest.mark.parametrize("name", ["scored", "failed", "truncated", "ties"])
def test_counts_are_those_of_the_samples(tree, name):
    root, folder = tree
    edit(folder, lambda data: data["counts"].update({name: 7}))
    assert f"counts.{name} is 7" in only(validate(root), "counts")


def test_a_stopped_run_owes_neither_counts_nor_metrics(tree):
    root, folder = tree
    edit(folder, lambda data: data.update(status="partial", reason="interrupted", samples=None))
    assert validate(root, lambda folder: read_record(folder).metrics) == []


def test_metrics_must_follow_from_the_samples(tree):
    root, _ = tree

    def changed(**fields: Any) -> Callable[[Path], list[MetricRecord]]:
        other = [MetricRecord.model_validate({**METRIC, **fields})]
        return lambda folder: other if "org__a" in str(folder) else [MetricRecord.model_validate(METRIC)]

    assert "is 0.7 [0.6, 0.8] p 0.01, its samples give 0.71" in only(validate(root, changed(value=0.71)), "recompute")
    assert "its samples give 0.7 [null, null]" in only(validate(root, changed(ci=None)), "recompute")
    assert len(validate(root, changed(dims={}))) == 2
    assert validate(root, changed(value=0.7 * (1 + 1e-9))) == []

    def broken(folder: Path) -> list[MetricRecord]:
        if "org__a" in str(folder):
            raise KeyError("x_gone")
        return [MetricRecord.model_validate(METRIC)]

    assert "cannot be recomputed" in only(validate(root, broken), "recompute")


def test_findings_are_sorted_and_say_what_to_do(tree):
    root, folder = tree
    edit(folder, lambda data: (data["run"].update(command="/home/x"), data["metrics"][0].update(value=2.0)))
    edit(folder, lambda data: data["counts"].update(scored=1))
    findings = validate(root)
    assert findings == sorted(findings)
    assert [f.rule for f in findings] == ["counts", "local-path", "metric", "metric"]
    assert all("xpected" in f.message or "have" in f.message for f in findings)
    assert all(":" in f.message for f in findings)


def test_a_limit_that_was_edited_away_is_found(tmp_path: Path) -> None:
    table = scores()
    limited = record(table)
    folder = write(tmp_path, table, task=limited.task.model_copy(update={"limit": 5}).model_dump(mode="json"))
    assert validate(tmp_path) == []
    edit(folder, lambda data: data["task"].update(limit=None))
    assert [f.rule for f in validate(tmp_path)] == ["config"]
