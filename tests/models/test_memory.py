"""A model that does not fit is refused before its weights are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.models import memory
from harness.models.resolve import resolve
from tests.models.conftest import Tiny


def test_a_model_larger_than_memory_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.placement.available", lambda: 1000)
    with pytest.raises(
        InputError, match=r"local/llama: the weights take 0\.0 GB and 0\.0 GB of memory are free; use --dtype"
    ):
        resolve(tiny("llama")).load()


def bound(folder: Path, limit: str, used: str, stat: str, names: tuple[str, str] = memory.COUNTERS[0]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (*zip(names, (limit, used), strict=True), ("memory.stat", stat)):
        (folder / name).write_text(text + "\n")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the made-up groups lie; the process is in `job/step` by version 2 and in `box` by version 1."""
    (tmp_path / "own").write_text("5:cpu,memory:/box\n3:cpuset:/elsewhere\n0::/job/step\n")
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    monkeypatch.setattr(memory, "MOUNT", tmp_path / "groups")
    return tmp_path / "groups"


def test_a_container_has_what_its_limit_leaves_and_what_was_only_read_makes_way(own: Path) -> None:
    bound(own / "job", "5000", "4000", "anon 1000\ninactive_file 2500")
    assert memory.available() == 3500
    bound(own / "job" / "step", "max", "10", "inactive_file 0")
    assert memory.available() == 3500
    bound(own / "memory" / "box", "9000", "8000", "inactive_file 5\ntotal_inactive_file 700", memory.COUNTERS[1])
    assert memory.available() == 1700
    bound(own / "job" / "step", "100", "100", "inactive_file 0")
    assert memory.available() == 1, "full is no sign of no limit"
    bound(own / "elsewhere", "1", "1", "")
    assert memory.available() == 1


def test_a_machine_without_control_groups_has_its_memory(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.available() > 1e8
    monkeypatch.setattr(memory, "OWN", own / "nothing")
    assert memory.available() > 1e8
