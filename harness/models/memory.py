"""Whether a model fits into this machine's memory, asked before its weights are read."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError

LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
"""What a container may use and does, in bytes, where it says so."""


def available() -> int:
    """Bytes that can be had without swapping: of the machine, and no more than its container has left."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (path.read_text().strip() for path in (LIMIT, USED))
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free


def require_room(weights: int, free: int, name: str) -> None:
    """Raise InputError where weights of so many bytes do not fit into `free`."""
    if weights > free:
        raise InputError(
            f"{name}: the weights take {weights / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory are free; use --dtype bfloat16, "
            "a machine with more memory, or --device cuda"
        )
