"""One model, any number of texts: encode once, drop what the store has, plan, forward, store. Knows no task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice, repeat

import numpy as np

from harness.condition import NONE, Condition
from harness.engine.plan import plan
from harness.engine.progress import Pass, Progress, Timing
from harness.engine.replica import Pool, Replica, Side
from harness.engine.store import ScoreStore, StoredRequest, StoredScore, score_key
from harness.engine.work import Work
from harness.errors import InputError
from harness.models.base import Encoded, Forwarded, Resolved, Unencodable, request_digest
from harness.preference import Unit
from harness.reading import Reading
from harness.task import Compare

WINDOWS = (1024, 4096)
"""Texts that are planned together: first, and then. While one window is in the model the next is encoded; memory stays bounded."""

FAILED = b""


@dataclass(frozen=True)
class Job:
    """One thing to have: the score of a unit, or P(unit preferred to `against`), under a condition, with captures."""

    unit: Unit
    against: Unit | None = None
    condition: Condition = NONE
    replicate: int = 0
    capture: str | None = None

    @property
    def side(self) -> Side:
        """What the model is shown."""
        return self.unit, self.against


@dataclass(frozen=True)
class Window:
    """Some jobs, their request keys, and the ids that are being made for those that need them."""

    keys: dict[Job, bytes]
    pending: dict[bytes, Job]
    encoding: Future[list[Encoded | Unencodable]] | None


@dataclass
class Engine:
    """Scores units with one resolved model through the store. The model is loaded only if something is missing."""

    resolved: Resolved
    store: ScoreStore
    report: Callable[[Progress], None] = lambda progress: None
    budget: int | None = None
    open_pool: Callable[[Resolved], Pool] = Replica.load
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self._pool: Pool | None = None
        self._keys: dict[Side, bytes] = {}
        self._requests: dict[bytes, StoredRequest] = {}
        self._scores: dict[bytes, StoredScore] = {}
        self._captures: dict[tuple[bytes, str], np.ndarray] = {}
        self._encoded: dict[bytes, Encoded] = {}

    # --- what callers read ----------------------------------------------------------------------

    def ensure(self, jobs: Iterable[Job]) -> None:
        """Have everything `jobs` ask for, from the store or from the model; commits batch by batch.

        Raises InputError for a condition the model cannot be put under.
        """
        sides: dict[Side, list[Job]] = {}
        for job in dict.fromkeys(jobs):
            sides.setdefault(job.side, []).append(job)
            if job.condition != NONE and "neurons" not in self.resolved.adapter.capabilities:
                raise InputError(
                    f"{self.resolved.name} has no neurons to intervene on, so the condition {job.condition.name!r} "
                    f"does not apply to it; it offers {', '.join(sorted(self.resolved.adapter.capabilities))}"
                )
        self._announce([job for some in sides.values() for job in some])
        state = Pass(sum(map(len, sides.values())))
        asked, ahead = iter(sides.values()), None
        sizes = chain(WINDOWS, repeat(WINDOWS[-1]))
        with ThreadPoolExecutor(1) as reader:
            while part := list(islice(asked, next(sizes))):
                begun = self._begin([job for jobs_of_one in part for job in jobs_of_one], reader)
                if ahead is not None:
                    self._finish(ahead, state)
                ahead = begun
            if ahead is not None:
                self._finish(ahead, state)

    def _announce(self, jobs: Sequence[Job]) -> None:
        """Say before a pass of several conditions what it will compute, if anything.

        Texts that were scored before have known lengths; others are taken to be as long, and where none is known
        nothing is said of tokens and time.
        """
        conditions = {job.condition for job in jobs}
        if len(conditions) < 2:
            return
        known = {job: key for job in jobs if (key := self._job_key(job)) in self._requests}
        self._load_stored(known)
        lengths = [self._requests[key].n_tokens for job, key in known.items() if self._is_missing(job, key)]
        texts = len(lengths) + len(jobs) - len(known)
        if not texts:
            return
        tokens = round(sum(lengths) * texts / len(lengths)) if lengths else 0
        timing = self.timing
        expected = tokens * timing.forward / timing.tokens if timing.tokens and tokens else None
        self.report(Progress(self.resolved.name, 0, texts, 0, tokens, 0.0, len(conditions), expected))

    def request(self, job: Job) -> StoredRequest:
        """Ids hash, token number, truncation or the encoding error of an ensured job."""
        return self._requests[self._job_key(job)]

    def outputs(self, job: Job) -> StoredScore:
        """Raw head outputs of an ensured job, or why there are none."""
        request = self.request(job)
        if request.error is not None:
            return StoredScore(None, request.error)
        return self._scores[self._score_key(request, job)]

    def captured(self, job: Job) -> np.ndarray | None:
        """The captured array of an ensured job, float32; None where the unit could not be scored or the model has no such array."""
        request = self.request(job)
        if request.error is not None or job.capture is None:
            return None
        return self._captures.get((self._score_key(request, job), job.capture))

    def accumulate(
        self, units: Sequence[Unit], weights: Sequence[float], reading: Reading, against: Resolved | None = None
    ) -> dict[str, np.ndarray]:
        """Running sums of what `reading` names over the units.

        `weights` are the units' in the total whose gradient an attribution takes. A unit that cannot be encoded is
        left out, and `units` counts the others. A reading of `change` is a difference to the model `against`, at the
        ids this one makes of the units. Stored by the models and the set of texts and weights, in whatever order.
        """
        keys = [self._job_key(Job(unit)) for unit in units]
        parts = sorted(zip(keys, map(float, weights), strict=True))
        models = "|".join(m.fingerprint for m in (self.resolved, against) if m is not None)
        name = f"{models}|{reading.key}|".encode()
        key = hashlib.sha256(name + b"".join(k + w.hex().encode() for k, w in parts)).digest()
        found = self.store.aggregate(key)
        if found is None:
            found = self._accumulate(units, weights, reading, against)
            self.store.put_aggregate(self.resolved.fingerprint, key, found)
        return found

    @property
    def pool(self) -> Pool:
        """The loaded model; loading happens at the first use and is remembered in the store."""
        if self._pool is None:
            start = time.perf_counter()
            self._pool = self.open_pool(self.resolved)
            self.store.put_description(self.resolved.fingerprint, self.resolved.name, self._pool.traits.description)
            self.timing.load += time.perf_counter() - start
        return self._pool

    def close(self) -> None:
        """Let go of the loaded model's workers, if there are any; the scores stay readable."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def description(self) -> dict[str, object]:
        """What the model said of itself when it was loaded, now or earlier; empty if it never was."""
        return self.store.description(self.resolved.fingerprint) or {}

    def missing(self, capability: str) -> str | None:
        """Why the model itself lacks what its kind offers, or None; it is loaded unless it has said so before."""
        key, known = f"{capability}_missing", self.description()
        reason = known[key] if key in known else self.pool.traits.description.get(key)
        return None if reason is None else str(reason)

    # --- keys -----------------------------------------------------------------------------------

    def _job_key(self, job: Job) -> bytes:
        if job.side not in self._keys:
            self._keys[job.side] = b"".join(
                request_digest(self.resolved, unit) for unit in job.side if unit is not None
            )
        return self._keys[job.side]

    def _score_key(self, request: StoredRequest, job: Job) -> bytes:
        return score_key(self.resolved.fingerprint, request.ids_hash, job.condition.key, job.replicate)

    def _is_missing(self, job: Job, key: bytes) -> bool:
        request = self._requests[key]
        if request.error is not None:
            return False
        score = self._score_key(request, job)
        if score not in self._scores:
            return True
        return (
            job.capture is not None and self._scores[score].error is None and (score, job.capture) not in self._captures
        )

    # --- a window: look up, encode ----------------------------------------------------------------

    def _begin(self, jobs: Sequence[Job], reader: ThreadPoolExecutor) -> Window:
        """Look the jobs up, and have the ids made, in the background, of those that must be computed."""
        keys = {job: self._job_key(job) for job in jobs}
        self._requests.update(self.store.requests([k for k in dict.fromkeys(keys.values()) if k not in self._requests]))
        self._load_stored({job: key for job, key in keys.items() if key in self._requests})
        pending = {k: j for j, k in keys.items() if k not in self._requests or self._is_missing(j, k)}
        if not pending:
            return Window(keys, pending, None)
        pool, sides = self.pool, [job.side for job in pending.values()]
        return Window(keys, pending, reader.submit(pool.encode, sides))

    def _finish(self, window: Window, state: Pass) -> None:
        """Take the window's ids, drop what turns out to be stored, compute the rest."""
        if window.encoding is not None:
            began = time.perf_counter()
            encoded = window.encoding.result()
            self.timing.encode += time.perf_counter() - began
            self._take(dict(zip(window.pending, encoded, strict=True)))
            self._load_stored(window.keys)
        missing = [job for job, key in window.keys.items() if self._is_missing(job, key)]
        self.timing.remembered += len(window.keys) - len(missing)
        state.unseen -= len(window.keys)
        self._compute(missing, window.keys, state)
        self._encoded.clear()

    def _take(self, encoded: dict[bytes, Encoded | Unencodable]) -> None:
        """Keep the ids until they are scored, and remember what each request became."""
        found = {}
        for key, one in encoded.items():
            if isinstance(one, Unencodable):
                found[key] = StoredRequest(FAILED, 0, False, one.error)
            else:
                digest = one.digest()
                self._encoded[digest] = one
                found[key] = StoredRequest(digest, len(one), one.truncated)
        new = {k: v for k, v in found.items() if k not in self._requests}
        self.store.put_requests(self.resolved.fingerprint, new)
        self._requests.update(new)

    def _load_stored(self, keys: dict[Job, bytes]) -> None:
        wanted: dict[bytes, None] = {}
        captures: dict[str, dict[bytes, None]] = {}
        for job, key in keys.items():
            request = self._requests[key]
            if request.error is None:
                score = self._score_key(request, job)
                wanted[score] = None
                if job.capture is not None:
                    captures.setdefault(job.capture, {})[score] = None
        self._scores.update(self.store.scores([k for k in wanted if k not in self._scores]))
        for what, some in captures.items():
            new = [k for k in some if (k, what) not in self._captures]
            self._captures.update({(k, what): v for k, v in self.store.captures(new, what).items()})

    # --- computing ------------------------------------------------------------------------------

    def _compute(self, missing: Sequence[Job], keys: dict[Job, bytes], state: Pass) -> None:
        """Forward what is missing. Replicates never share a batch; all conditions of a batch run one after the other."""
        asked: dict[tuple[int, bytes], dict[Condition, set[str]]] = {}
        for job in missing:
            conditions = asked.setdefault((job.replicate, self._requests[keys[job]].ids_hash), {})
            conditions.setdefault(job.condition, set()).update({job.capture} - {None})  # type: ignore[arg-type]
        alike: dict[tuple[int, frozenset[tuple[Condition, frozenset[str]]]], list[bytes]] = {}
        for (replicate, digest), some in asked.items():
            what = frozenset((condition, frozenset(captures)) for condition, captures in some.items())
            alike.setdefault((replicate, what), []).append(digest)
        for (_, what), digests in alike.items():
            state.of_texts += len(what) * len(digests)
            state.of_tokens += len(what) * sum(len(self._encoded[d]) for d in digests)
        for (replicate, what), digests in alike.items():
            self._forward(sorted(digests), replicate, what, state)

    def _forward(
        self,
        digests: Sequence[bytes],
        replicate: int,
        asked: frozenset[tuple[Condition, frozenset[str]]],
        state: Pass,
    ) -> None:
        """Plan texts (sorted, so that the same set is batched the same way whatever order it came in) and record what comes back."""
        texts = [self._encoded[d] for d in digests]
        names = {id(text): digest for text, digest in zip(texts, digests, strict=True)}
        traits = self.pool.traits
        scatter = np.random.default_rng(replicate) if replicate else None
        batches = plan(texts, self.budget or traits.cost.budget, traits.cost, traits.shares, scatter)
        conditions = sorted(asked, key=lambda c: c[0].key)
        works = (Work(tuple(batch), what, condition, replicate) for batch in batches for condition, what in conditions)
        done = self.pool.map(works)
        for work, found, seconds in done:
            began = time.perf_counter()
            scored = [
                score_key(self.resolved.fingerprint, names[id(t)], work.condition.key, replicate) for t in work.texts
            ]
            self._record(scored, found)
            tokens = sum(map(len, work.texts))
            state.texts, state.tokens = state.texts + len(scored), state.tokens + tokens
            self._count(work, tokens, seconds, time.perf_counter() - began)
            self.report(state.progress(self.resolved.name))

    def _count(self, work: Work, tokens: int, forward: float, store: float) -> None:
        timing = self.timing
        timing.forward, timing.store = timing.forward + forward, timing.store + store
        timing.texts, timing.tokens = timing.texts + len(work.texts), timing.tokens + tokens
        timing.packed, timing.padded = timing.packed + work.packed, timing.padded + work.padded

    def _record(self, keys: Sequence[bytes], found: Forwarded) -> None:
        """One batch's answers into the store. A number that is not finite is a failure, never a score."""
        wrong = {
            int(i): "the model's output is not finite" for i in np.flatnonzero(~np.isfinite(found.outputs).all(axis=1))
        }
        wrong |= found.errors
        scores = {
            k: StoredScore(None, wrong[i]) if i in wrong else StoredScore(row)
            for i, (k, row) in enumerate(zip(keys, found.outputs, strict=True))
        }
        for what, values in found.captures.items():
            rows = {k: v for i, (k, v) in enumerate(zip(keys, values, strict=True)) if i not in wrong}
            self.store.put_captures(self.resolved.fingerprint, what, rows)
            self._captures.update({(k, what): v for k, v in rows.items()})
        self.store.put_scores(self.resolved.fingerprint, scores)
        self._scores.update(scores)

    def _accumulate(
        self, units: Sequence[Unit], weights: Sequence[float], reading: Reading, against: Resolved | None
    ) -> dict[str, np.ndarray]:
        state, began = Pass(len(units)), time.perf_counter()
        found = self.pool.accumulate(self._weighted(units, weights, state), reading, against)
        self.timing.read += time.perf_counter() - began
        self.timing.tokens_read += state.of_tokens
        return found | {"units": np.array(float(state.of_texts))}

    def _weighted(
        self, units: Sequence[Unit], weights: Sequence[float], state: Pass
    ) -> Iterator[tuple[Work, list[float]]]:
        """Batches of the units that can be encoded, with their texts' weights; ids of one window are held at a time."""
        traits = self.pool.traits
        for start in range(0, len(units), WINDOWS[-1]):
            part = slice(start, start + WINDOWS[-1])
            encoded = self.pool.encode([(unit, None) for unit in units[part]])
            of = {id(e): w for e, w in zip(encoded, weights[part], strict=True) if isinstance(e, Encoded)}
            texts = [e for e in encoded if isinstance(e, Encoded)]
            state.unseen -= len(encoded)
            state.of_texts, state.of_tokens = state.of_texts + len(texts), state.of_tokens + sum(map(len, texts))
            for batch in plan(texts, self.budget or traits.cost.budget, traits.cost, traits.shares):
                work = Work(tuple(batch))
                self.report(state.progress(self.resolved.name))
                yield work, [of[id(text)] for text in work.texts]
                state.texts, state.tokens = state.texts + len(work.texts), state.tokens + sum(map(len, work.texts))
        self.report(state.progress(self.resolved.name))


def compare_jobs(compare: Compare) -> tuple[Job, Job]:
    """Both orders of a comparison, for a model that only compares."""
    return Job(compare.a, compare.b), Job(compare.b, compare.a)
