"""The command line beside a result: it can be typed again, and names no folder of somebody's machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.cli.reproduce import command_line


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("{here}/model", "model"),
        ("{above}/data/x.jsonl", "../data/x.jsonl"),
        ("/elsewhere/model", "…/model"),
        ("--data-dir=/elsewhere/data", "--data-dir=…/data"),
        ("helpful={here}/model", "helpful=model"),
        ("endpoint:{here}/judge.yaml", "endpoint:judge.yaml"),
        ("scores:/elsewhere/s.csv", "scores:…/s.csv"),
        ("--model=endpoint:/elsewhere/judge.yaml", "--model=endpoint:…/judge.yaml"),
        ("org/model", "org/model"),
        ("endpoint:judge.yaml", "endpoint:judge.yaml"),
        ("null/longest", "null/longest"),
    ],
)
def test_paths_are_relative_or_lose_their_folder(argument, shown, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    given = argument.format(here=Path.cwd(), above=Path.cwd().parent)
    monkeypatch.setattr(sys, "argv", ["x", "run", "--overwrite", given])
    assert command_line().replace("'", "") == f"reward-harness run {shown}"
