"""An adapter that does what its texts say, die included, and writes down what it has scored: what workers are tried on."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.engine.replica import Replica
from harness.engine.work import Work
from harness.errors import InputError
from harness.models.base import Adapter, Encoded, Forwarded, Resolved
from harness.models.spec import ModelSpec
from harness.models.tree import single
from tests.engine.fakes import resolved


class Scripted(Adapter):
    """Score = the number a text says. Writes every text it has scored to `folder/log`; some texts make it fail.

    `kill` ends the process the first time (the file `folder/killed` remembers), `poison` every time; `bad` and
    `bug` raise; `wait` takes until there is a file `folder/go`.
    """

    def __init__(self, folder: Path) -> None:
        self.spec, self.folder = ModelSpec(model="scripted"), folder

    @classmethod
    def load(cls, resolved: Resolved) -> Adapter:
        if "broken" in resolved.name:
            raise InputError("no head: use another checkpoint")
        return cls(Path(resolved.spec.options["folder"]))

    def encode(self, units):
        return [Encoded(np.frombuffer(u.conversation[-1].content.encode(), np.uint8).copy()) for u in units]

    def forward(self, batch: Sequence[Encoded], capture: frozenset[str] = frozenset()) -> Forwarded:
        texts = [e.ids.tobytes().decode() for e in batch]
        marker = self.folder / "killed"
        if "poison" in texts or ("kill" in texts and not marker.exists()):
            marker.touch()
            time.sleep(0.3)  # what was answered before must have left the process
            os._exit(1)
        if "bad" in texts:
            raise InputError("bad text: write another")
        if "bug" in texts:
            raise ValueError("a bug")
        late = time.monotonic() + 30
        while "wait" in texts and not (self.folder / "go").exists():
            assert time.monotonic() < late
            time.sleep(0.01)
        batch[0].ids[0] += 0  # what arrives belongs to the worker
        with (self.folder / "log").open("a") as log:
            log.write("".join(f"{t}\n" for t in texts))
        return Forwarded(np.array([[float(t) if t.isdigit() else -1] for t in texts], np.float32))


def works(texts) -> list[Work]:
    return [Work((single(Encoded(np.frombuffer(t.encode(), np.uint8).copy())),)) for t in texts]


def scripted(folder: Path, name: str = "local/scripted", **more) -> Resolved:
    folder.mkdir(exist_ok=True)
    plain = resolved(Scripted(folder), name, options={"folder": str(folder)})
    return replace(plain, instance=None, **more)


def logged(folder: Path) -> Counter[str]:
    return Counter((folder / "log").read_text().split())


def tell_threads(replica: Replica) -> tuple[int, int, str]:
    """Threads of torch in this process, as it sees them in the thread that computes and in another."""
    import torch

    elsewhere: list[int] = []
    other = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
    other.start()
    other.join()
    return torch.get_num_threads(), elsewhere[0], os.environ["RAYON_NUM_THREADS"]


def see(name: str) -> Callable[[Replica], str | None]:
    """A task that tells a variable of the worker's environment."""

    def task(replica: Replica) -> str | None:
        return os.environ.get(name)

    return task
