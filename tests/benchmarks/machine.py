"""What the CPU is and can do, as Linux tells it; other systems tell nothing here."""

from __future__ import annotations

import platform
from pathlib import Path

INFO = Path("/proc/cpuinfo")


def name() -> str:
    """The CPU's name, or that of its kind."""
    return next((value for key, value in _lines() if key == "model name"), platform.machine())


def flags() -> set[str]:
    """Its instruction sets: `flags` on x86, `Features` on ARM."""
    return {word for key, value in _lines() if key.lower() in ("flags", "features") for word in value.split()}


def _lines() -> list[tuple[str, str]]:
    lines = INFO.read_text().splitlines() if INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in pairs]
