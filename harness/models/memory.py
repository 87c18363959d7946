"""Whether a model fits into this machine's memory, asked before its weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import InputError

MOUNT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux shows control groups, and where it says in which ones this process is."""

COUNTERS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files of a group with its limit and its use, in version 2 and in version 1."""


def available() -> int:
    """Bytes that can be had without swapping: of the machine, and no more than its container has left."""
    import psutil

    return min([int(psutil.virtual_memory().available), *filter(None, map(left, groups()))])


def left(group: Path) -> int | None:
    """What a control group may still take, in bytes; None where it has no limit.

    Pages of files that were only read count as used there, but make way: after a model was hashed they are as many as its weights.
    """
    for limit, used in COUNTERS:
        try:
            most, now = (int((group / name).read_text()) for name in (limit, used))
            rows = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # Not this version, or no limit ("max").
            continue
        cached = int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
        return max(1, most - now + cached)
    return None


def groups() -> Iterator[Path]:
    """The control groups that bound the memory of this process, the innermost first; none where there are no such groups."""
    lines = OWN.read_text().splitlines() if OWN.is_file() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if "memory" in controllers.split(",") or not controllers:
            top = MOUNT / "memory" if controllers else MOUNT
            inner = top / path.lstrip("/")
            yield from (inner, *(outer for outer in inner.parents if outer.is_relative_to(top)))


def require_room(weights: int, free: int, name: str) -> None:
    """Raise InputError where weights of so many bytes do not fit into `free`."""
    if weights > free:
        raise InputError(
            f"{name}: the weights take {weights / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory are free; use --dtype bfloat16, "
            "a machine with more memory, or --device cuda"
        )
