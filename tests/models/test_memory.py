"""A model that does not fit is refused before its weights are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.models import memory
from harness.models.resolve import resolve
from tests.models.conftest import Tiny


def test_a_model_larger_than_memory_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.loading.available", lambda: 1000)
    with pytest.raises(
        InputError, match=r"local/llama: the weights take 0\.0 GB and 0\.0 GB of memory are free; use --dtype"
    ):
        resolve(tiny("llama")).load()


def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = memory.available()
    for name, text in (("LIMIT", "3000"), ("USED", "1000\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert memory.available() == 2000
    (tmp_path / "LIMIT").write_text("max")
    assert memory.available() > 2000
    assert whole > 2000
