"""Tiny checkpoints, each written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """`checkpoint(build)`: the folder that a function of `wild` has written; not to be changed."""
    made: dict[str, Path] = {}

    def get(build) -> Path:
        if build.__name__ not in made:
            made[build.__name__] = build(tmp_path_factory.mktemp(build.__name__))
        return made[build.__name__]

    return get
