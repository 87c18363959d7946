"""A command line in this process, with a store of its own."""

from __future__ import annotations

import sys

import pytest

from harness.cli import main


@pytest.fixture(autouse=True)
def own_store(monkeypatch, tmp_path):
    monkeypatch.setenv("REWARD_HARNESS_STORE", str(tmp_path / "store.sqlite"))


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command in this process: exit code, standard output, standard error."""

    def call(*args: object):
        monkeypatch.setattr(sys, "argv", ["reward-harness", *map(str, args)])
        code = 0
        try:
            main.run()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return call
