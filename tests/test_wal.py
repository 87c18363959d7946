"""One file, several processes: nobody is turned away while another makes it."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from harness.wal import prepare

OPENER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from harness.wal import open_wal
    for line in sys.stdin:
        open_wal(Path(line.strip()), "CREATE TABLE IF NOT EXISTS t (k TEXT);").close()
        print("open", flush=True)
""")


def test_processes_may_make_the_same_file_at_once(tmp_path):
    command = [sys.executable, "-c", OPENER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    jobs = [subprocess.Popen(command, **pipes) for _ in range(6)]
    for trial in range(30):
        for job in jobs:
            job.stdin.write(f"{tmp_path / str(trial)}\n")
        assert [job.stdout.readline() for job in jobs] == ["open\n"] * 6
    assert [job.communicate() and job.returncode for job in jobs] == [0] * 6


@pytest.mark.parametrize(("code", "waits"), [(sqlite3.SQLITE_BUSY, True), (sqlite3.SQLITE_FULL, False)])
def test_only_a_busy_file_is_waited_for(code, waits):
    error, tries = sqlite3.OperationalError("no"), []
    error.sqlite_errorcode = code

    def executescript(sql):
        tries.append(sql)
        if len(tries) < 3:
            raise error

    db = SimpleNamespace(executescript=executescript)
    with contextlib.nullcontext() if waits else pytest.raises(sqlite3.OperationalError):
        prepare(db, "")
    assert len(tries) == (3 if waits else 1)
