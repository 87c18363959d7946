"""Ray as this process uses it: which one it joins, where workers go, and which model may hold the GPUs."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.errors import HarnessError, InputError
from harness.models.base import Resolved

Node = Mapping[str, Any]
"""A machine as `ray.nodes()` describes it."""


@dataclass(frozen=True)
class Place:
    """What one worker asks Ray for, and how many threads it may use."""

    options: Mapping[str, Any]
    threads: int


class Sleeper(Protocol):
    """A pool of `n` workers of one model that can give them up for a while."""

    resolved: Resolved
    n: int

    def sleep(self) -> None:
        """Let the workers go; they start anew when they are needed."""


def on_cpus(nodes: Sequence[Node], n: int) -> list[Place]:
    """Each worker on the machine with most CPUs a worker; a machine's CPUs are divided among its workers.

    No CPU is reserved, because the pools of a family's members live side by side and one computes at a time.
    The machine is meant strictly: of a preference Ray takes no notice where nothing is reserved.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cpus = {node["NodeID"]: node["Resources"].get("CPU", 0) for node in nodes}
    workers = dict.fromkeys(cpus, 0)
    for _ in range(n):
        workers[max(cpus, key=lambda node: cpus[node] / (workers[node] + 1))] += 1
    return [
        Place(
            {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)},
            max(1, int(cpus[node] // some)),
        )
        for node, some in workers.items()
        for _ in range(some)
    ]


def on_gpus(nodes: Sequence[Node], n: int) -> list[Place]:
    """A whole GPU for each worker, wherever Ray finds one free; raises InputError where there are fewer than `n`."""
    total = gpus(nodes)
    if n > total:
        cure = f"use --workers {total}" if total else "use --device cpu"
        raise InputError(f"--workers {n}: each takes a whole GPU and Ray has {total}; {cure}")
    having = [node["Resources"] for node in nodes if gpus([node])]
    threads = min(int(found.get("CPU", 0) // min(n, found["GPU"])) for found in having)
    return [Place({"num_cpus": 0, "num_gpus": 1}, max(1, threads))] * n


def gpus(nodes: Sequence[Node]) -> int:
    """Whole GPUs of all machines."""
    return sum(int(node["Resources"].get("GPU", 0)) for node in nodes)


PLACES: dict[str, Callable[[Sequence[Node], int], list[Place]]] = {"cpu": on_cpus, "cuda": on_gpus}
"""Where workers go, by the kind of device."""


class Session:
    """The pools of this process that have workers, and the Ray these run in.

    That is the Ray this process is in already, else the cluster `RAY_ADDRESS` names, else one that is
    started on this machine; the last pool leaves what a pool has joined or started.

    Pools on CPUs live side by side. A GPU holds one model at a time, because the size of a batch is found
    from the memory that is free at loading: where there are not enough GPUs for one more pool, the others
    give up their workers.
    """

    def __init__(self) -> None:
        self.awake: list[Sleeper] = []
        self.ours = False

    def enter(self, pool: Sleeper) -> list[Place]:
        """Places for a pool's workers; raises InputError where Ray is not installed or has too few GPUs."""
        ray = import_ray()
        if not ray.is_initialized():
            join(ray)
            self.ours = True
        places = self.places(pool)
        rivals = [other for other in self.awake if other.resolved.backend == "cuda" == pool.resolved.backend]
        if sum(other.n for other in rivals) + pool.n > gpus(living(ray)):
            for other in rivals:
                other.sleep()
        self.awake.append(pool)
        return places

    def places(self, pool: Sleeper) -> list[Place]:
        """Where the pool's workers belong now; the same machines give the same places in the same order."""
        return PLACES[pool.resolved.backend](living(import_ray()), pool.n)

    def leave(self) -> None:
        """After the last pool, shut down what a pool had joined or started; a cluster itself goes on."""
        if self.ours and not self.awake:
            self.ours = False
            import_ray().shutdown()


SESSION = Session()
"""The session of this process: Ray, too, is there once a process."""


def import_ray() -> Any:
    """The module `ray`; raises InputError, naming what to type, where it is not installed."""
    # Ray prints on standard output, whatever its log level, when a worker dies; it reads this when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--workers needs Ray, which is not installed; type: pip install 'reward-harness[ray]'"
        ) from error
    return ray


def join(ray: Any) -> None:
    """Connect to the cluster `RAY_ADDRESS` names, or start Ray on this machine without a dashboard, and say nothing of it.

    Raises HarnessError where nothing answers or nothing starts.
    """
    address = os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            knock(address)
            ray.init(address=address, **quiet)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address="local", include_dashboard=False, **quiet)
    except Exception as error:  # Several kinds; all mean that there is no Ray to work in.
        cure = (
            f"no Ray cluster answers at RAY_ADDRESS={address}: start one with 'ray start --head', or unset the variable"
            if address
            else "Ray does not start on this machine: use --workers 1"
        )
        raise HarnessError(f"{cure} ({last_line(error)})") from error


def knock(address: str) -> None:
    """Raise OSError within seconds where nothing listens at `host:port`: Ray itself tries again for many minutes."""
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if found:
        socket.create_connection((found[1], int(found[2])), timeout=10).close()


def living(ray: Any) -> list[Node]:
    """The machines that are up, in an order of their own."""
    return sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"])


def last_line(error: Exception) -> str:
    """What an error comes down to: Ray's texts end with it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
