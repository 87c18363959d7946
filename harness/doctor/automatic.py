"""The short form before a model's first result: made when the model is loaded anyway, remembered with its scores."""

from __future__ import annotations

from collections.abc import Callable

from harness.doctor.checks import VERSION
from harness.doctor.examine import examine, not_examined
from harness.doctor.finding import Examination
from harness.engine.replica import Pool, Replica
from harness.engine.store import ScoreStore
from harness.models.base import Resolved


def examining(open_pool: Callable[[Resolved], Pool], store: ScoreStore) -> Callable[[Resolved], Pool]:
    """What opens a pool, then examines the model in it unless the store knows what these checks find.

    A model in workers is not examined: the next run in this process does it.
    """

    def opened(resolved: Resolved) -> Pool:
        pool = open_pool(resolved)
        if not _known(store, resolved):
            found = (
                examine(resolved, full=False, adapter=pool.adapter)
                if isinstance(pool, Replica)
                else not_examined(resolved, "the model is in workers, not in this process; type reward-harness doctor")
            )
            store.put_examination(resolved.fingerprint, found.to_dict())
        return pool

    return opened


def _known(store: ScoreStore, resolved: Resolved) -> bool:
    data = store.examination(resolved.fingerprint)
    if data is None:
        return False
    known = Examination.from_dict(data)
    return known.version == VERSION and known.said
