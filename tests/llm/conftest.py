from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.llm.cache import ReplyCache


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def cache(tmp_path) -> Iterator[ReplyCache]:
    opened = ReplyCache(tmp_path / "replies.sqlite")
    yield opened
    opened.close()
