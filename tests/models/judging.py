"""Short ways to a judge: one behind an address of loopback, and one in a folder that answers with what it was made to say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.models.base import Encoded, Resolved
from harness.models.resolve import resolve
from tests.llm.server import LlmServer


class Quick:
    """No waiting between tries."""

    def wait(self, attempt: int, rng: object, retry_after: float | None = None) -> float:
        return 0.0


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies are kept in this folder, no key is set, and nobody waits."""
    monkeypatch.setenv("REWARD_HARNESS_LLM_CACHE", str(folder / "replies.sqlite"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("harness.llm.send.BACKOFF", Quick())


def spec_file(
    folder: Path, server: LlmServer, adapter: str, spec: dict[str, Any] | None = None, **options: Any
) -> Path:
    """A spec of a model on this server, in a file; `endpoint` among the options adds to its address, two tries and a short wait."""
    endpoint = {"base_url": server.url, "max_retries": 1, "timeout_s": 5.0, **options.pop("endpoint", {})}
    said = {"model": "org/m", "adapter": adapter, "options": {"endpoint": endpoint, **options}, **(spec or {})}
    path = folder / "judge.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def served(
    folder: Path, server: LlmServer, adapter: str, spec: dict[str, Any] | None = None, **options: Any
) -> Resolved:
    """The model of such a file."""
    return resolve(f"endpoint:{spec_file(folder, server, adapter, spec, **options)}")


def usable(encoded: Sequence[Any]) -> list[Encoded]:
    """All of them, none of which may be refused."""
    refused = [e.error for e in encoded if not isinstance(e, Encoded)]
    assert not refused, refused
    return list(encoded)
