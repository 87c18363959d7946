"""The planted transforms are registered while a test of this folder runs."""

from __future__ import annotations

import pytest

from harness.text.transform import TRANSFORMS

from .scene import PLANTED


@pytest.fixture(autouse=True)
def _planted_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in PLANTED:
        monkeypatch.setitem(TRANSFORMS._objects, one.name, one)
