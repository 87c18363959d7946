"""A pool of workers on Ray, one replica each. A worker that dies is replaced, and what it had not finished is done again."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from operator import attrgetter, methodcaller
from threading import RLock
from typing import Any

import numpy as np

from harness.engine.ray_session import SESSION, Place, import_ray, last_line
from harness.engine.replica import Pool, Replica, Side
from harness.engine.work import Work
from harness.errors import HarnessError, InputError
from harness.models.base import Encoded, Forwarded, Resolved, Unencodable
from harness.reading import Reading
from harness.registry import PLUGIN

IN_FLIGHT = 2
"""Works a worker has at a time: one in the model and one that waits there, so that it never waits for the driver."""

RESTARTS = 3
"""Workers in a row that may take a dead one's seat and die before they have finished anything."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
"""Where numerical libraries and tokenizers read, when they are loaded, how many threads they may use."""

Task = Callable[[Replica], Any]
"""What a worker does with its replica; it travels pickled."""


def pool_opener(workers: int) -> Callable[[Resolved], Pool]:
    """What opens an engine's pool: one worker is the model in this process, more are a `RayPool`; InputError for fewer."""
    if workers < 1:
        raise InputError(f"--workers {workers}: expected 1 (the model in this process) or more")
    return Replica.load if workers == 1 else partial(RayPool, n=workers)


class Worker:
    """What lives in a Ray actor: one replica. What loading it raises is raised by its first task instead.

    Both directions are pickled in one piece: arrays that Ray unpacks are read-only and hold on to its memory.
    """

    def __init__(self, resolved: bytes, threads: int) -> None:
        from ray import cloudpickle

        os.environ.update(dict.fromkeys(THREADS, str(threads)))  # before what reads it is imported
        self.replica: Replica | None = None
        self.failure: Exception | None = None
        try:
            self.replica = Replica.load(here(cloudpickle.loads(resolved)))
        except Exception as error:  # noqa: BLE001 - an actor that fails to start says only that it is dead
            self.failure = error

    def do(self, task: bytes) -> bytes:
        """The pickled result of a pickled task."""
        from ray import cloudpickle

        if self.failure is not None:
            raise self.failure
        return cloudpickle.dumps(cloudpickle.loads(task)(self.replica))


def here(resolved: Resolved) -> Resolved:
    """The model as a worker sees it, whose GPU is the only visible one; raises InputError where it has no such folder."""
    if resolved.path is not None and not resolved.path.exists():
        raise InputError(
            f"{resolved.name}: the machine {socket.gethostname()} has no {resolved.path}; put the model where every "
            "machine of the cluster has it under the same path"
        )
    return replace(resolved, device=resolved.backend)


def _accumulate(replica: Replica, works: Any, reading: Reading, against: Resolved | None) -> dict[str, np.ndarray]:
    return replica.accumulate(works, reading, None if against is None else here(against))


@dataclass(eq=False)
class Seat:
    """A place, the actor that has it, and how many have taken it since anything was finished there."""

    place: Place
    actor: Any
    restarts: int = 0


@dataclass(frozen=True)
class Sent:
    """A task on its way: the number of the seat, the actor that had it then, and where the result will be."""

    seat: int
    actor: Any
    task: Task
    group: str | None
    result: Any


class RayPool:
    """A model in `n` workers, which are handed works one at a time. Nothing of it is loaded in this process.

    Raises what loading the model raises, and InputError where Ray is not installed, where there are not
    enough GPUs, or where the adapter cannot be sent.
    """

    def __init__(self, resolved: Resolved, n: int) -> None:
        if resolved.device != resolved.backend:
            raise InputError(
                f"--device {resolved.device} is one GPU, and each of {n} workers takes its own: use --device cuda"
            )
        self.resolved, self.n = resolved, n
        self._shipped = ship(resolved)
        self._seats: list[Seat] = []
        self._lock = RLock()  # `encode` runs beside `map`, and both may find a worker dead
        try:
            self.traits = self._settle(self._send(0, attrgetter("traits")))
        except BaseException:
            self.close()
            raise

    def encode(self, sides: Sequence[Side]) -> list[Encoded | Unencodable]:
        """Token ids of units or pairs, in order; each worker makes a part of them, beside its forward passes."""
        bounds = [len(sides) * i // self.n for i in range(self.n + 1)]
        parts = [methodcaller("encode", sides[start:stop]) for start, stop in pairwise(bounds)]
        sent = [self._send(seat, part, "encode") for seat, part in enumerate(parts)]
        return [one for part in sent for one in self._settle(part)]

    def map(self, works: Iterable[Work]) -> Iterator[tuple[Work, Forwarded, float]]:
        """Every work with its answer and the seconds its forward pass took, in the order they are done.

        Takes from `works` only what a worker has room for. Raises what the model raises, and HarnessError
        where one worker after the other dies.
        """
        ray = import_ray()
        source, again = iter(works), list[Work]()
        running: dict[Any, tuple[Work, Sent]] = {}
        while True:
            while (seat := self._room(running)) is not None:
                work = again.pop() if again else next(source, None)
                if work is None:
                    break
                sent = self._send(seat, methodcaller("answer", work))
                running[sent.result] = work, sent
            if not running:
                return
            [first], _ = ray.wait(list(running), num_returns=1)
            work, sent = running.pop(first)
            try:
                found, seconds = self._take(sent)
            except deaths() as death:
                self._replace(sent, death)
                again.append(work)
            else:
                yield work, found, seconds

    def accumulate(
        self, works: Iterable[tuple[Work, list[float]]], reading: Reading, against: Resolved | None = None
    ) -> dict[str, np.ndarray]:
        """Running sums over all works, made by one worker, which loads `against` beside its own model."""
        task = partial(_accumulate, works=list(works), reading=reading, against=against)
        return self._settle(self._send(0, task))

    def sleep(self) -> None:
        """Kill the workers; the next use of the pool starts others."""
        with self._lock:
            if self in SESSION.awake:
                SESSION.awake.remove(self)
            for seat in self._seats:
                import_ray().kill(seat.actor)
            self._seats = []

    def close(self) -> None:
        """Kill the workers, and leave Ray if no other pool needs it and it was not there before."""
        self.sleep()
        SESSION.leave()

    def _awake(self) -> list[Seat]:
        """The seats, with a worker in each."""
        with self._lock:
            if not self._seats:
                self._seats = [Seat(place, self._start(place)) for place in SESSION.enter(self)]
            return self._seats

    def _start(self, place: Place) -> Any:
        actor = import_ray().remote(concurrency_groups={"encode": 1})(Worker)
        return actor.options(**place.options).remote(self._shipped, place.threads)

    def _room(self, running: Mapping[Any, tuple[Work, Sent]]) -> int | None:
        """The seat whose worker has the fewest works, or None where all have enough."""
        busy = [sum(sent.actor is seat.actor for _, sent in running.values()) for seat in self._awake()]
        least = int(np.argmin(busy))
        return least if busy[least] < IN_FLIGHT else None

    def _send(self, seat: int, task: Task, group: str | None = None) -> Sent:
        from ray import cloudpickle

        actor = self._awake()[seat].actor
        result = actor.do.options(concurrency_group=group).remote(cloudpickle.dumps(task))
        return Sent(seat, actor, task, group, result)

    def _take(self, sent: Sent) -> Any:
        """The result of a task; raises what the task raised, and one of `deaths()` where its worker died."""
        from ray import cloudpickle
        from ray.exceptions import RayTaskError

        try:
            found = import_ray().get(sent.result)
        except RayTaskError as error:
            raise error.cause from error
        self._awake()[sent.seat].restarts = 0
        return cloudpickle.loads(found)

    def _settle(self, sent: Sent) -> Any:
        """The result of a task, by the worker that has it or by those that take its seat."""
        while True:
            try:
                return self._take(sent)
            except deaths() as death:
                self._replace(sent, death)
                sent = self._send(sent.seat, sent.task, sent.group)

    def _replace(self, sent: Sent, death: Exception) -> None:
        """Another worker in the seat, unless there is one already; raises HarnessError where too many died there."""
        with self._lock:
            seat = self._awake()[sent.seat]
            if seat.actor is not sent.actor:
                return
            import_ray().kill(seat.actor)
            if seat.restarts == RESTARTS:
                raise HarnessError(
                    f"{self.resolved.name}: {RESTARTS + 1} workers died one after the other before they had finished "
                    f"anything ({last_line(death)}). Each needs memory for the whole model and a batch: use fewer "
                    "--workers or a smaller --max-length. What was scored is kept"
                ) from death
            seat.restarts += 1
            seat.place = SESSION.places(self)[sent.seat]  # its machine may be gone, too
            seat.actor = self._start(seat.place)


def ship(resolved: Resolved) -> bytes:
    """The model's description, or the adapter object, as bytes; the code of plugins goes with it.

    Raises InputError where an adapter object cannot be pickled.
    """
    import_ray()
    from ray import cloudpickle

    for name, module in list(sys.modules.items()):
        if name.startswith(PLUGIN):  # no worker could import what only --plugin has loaded
            cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(resolved)
    except Exception as error:  # Whatever the object's own methods raise.
        raise InputError(
            f"{resolved.name} cannot be sent to workers ({last_line(error)}); name the model by its folder or Hub id, "
            "or use --workers 1"
        ) from error


def deaths() -> tuple[type[Exception], ...]:
    """What Ray raises where a worker, its machine, or a result that lay there is gone."""
    from ray import exceptions as e

    worker = (e.RayActorError, e.WorkerCrashedError, e.OutOfMemoryError)
    return (*worker, e.NodeDiedError, e.ActorUnschedulableError, e.ObjectLostError)
