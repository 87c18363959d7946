"""Which part of which result belongs to which row, and which results may share a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from harness.preference import canonical_json
from harness.results.schema import MemberRecord, MetricRecord, ResultRecord


class Identity(NamedTuple):
    """What a row is of. `member` is empty for a model, `family` for what belongs to no one member."""

    name: str
    revision: str
    member: str


@dataclass(frozen=True)
class Source:
    """One result's part in one row. `member` is the family member whose metrics these are; None: those of no member."""

    record: ResultRecord
    identity: Identity
    member: str | None = None

    @property
    def task(self) -> str:
        """`name@version`, as a spec names it."""
        return f"{self.record.task.name}@{self.record.task.version}"

    @property
    def items(self) -> str:
        """Canonical text of the data the result is about: equal exactly when the items are."""
        return canonical_json(sorted((d.name, d.subset, d.items_sha256) for d in self.record.task.datasets))

    @property
    def params(self) -> str:
        """Canonical text of the task's parameters."""
        return canonical_json(self.record.task.params)

    @property
    def age(self) -> tuple[str, str]:
        """Sorts results, oldest first; the content breaks ties, so that order of reading never does."""
        return str(self.record.run.get("started", "")), self.record.model_dump_json()

    def metrics(self) -> Iterator[tuple[dict[str, str], MetricRecord]]:
        """Metrics that belong to the row, each with its dims without the member."""
        for metric in self.record.metrics:
            member = metric.dims.get("member")
            if self.record.subject.kind == "model" or member == self.member:
                yield {k: v for k, v in metric.dims.items() if k != "member"}, metric

    @property
    def trained(self) -> set[str]:
        """Whether the row's models were trained on the task's data: `yes`, `no`, `unknown` of each."""
        if not self._seats:
            return {self.record.disclosures.trained_on_task_data}
        return {m.trained_on_task_data for m in self._seats}

    @property
    def quantised(self) -> bool:
        """Whether weights of the row's models were quantised."""
        return any(m.model.quantization for m in self._seats or self.record.subject.members)

    @property
    def _seats(self) -> list[MemberRecord]:
        """The members whose row it is; none where that is the whole subject's."""
        return [m for m in self.record.subject.members if m.member == self.member]

    @property
    def unfit(self) -> str | None:
        """Why this result can never be ranked, or None."""
        if self.record.status != "success":
            return ": ".join(filter(None, (self.record.status.replace("_", " "), self.record.reason)))
        if self.record.task.limit is not None:
            return f"limited to {self.record.task.limit} items a subset"
        return None


def sources_of(record: ResultRecord) -> list[Source]:
    """The rows a result speaks of: its model, or every member of its family and the family itself.

    A member with one seed is named by its model, so that it meets results of that model alone.
    A result that can never be ranked speaks of its subject only.
    """
    subject = record.subject
    family = "family" if subject.kind == "family" else ""
    whole = Source(record, Identity(subject.name, subject.revision, family))
    if subject.kind == "model" or whole.unfit:
        return [whole]
    seeds: dict[str, list[Identity]] = {}
    for m in subject.members:
        seeds.setdefault(m.member, []).append(Identity(m.model.id, m.model.revision, ""))
    members = [
        Source(record, models[0] if len(models) == 1 else Identity(subject.name, subject.revision, member), member)
        for member, models in seeds.items()
    ]
    return [*members, whole]


Refused = tuple[Source, str]
"""A result that may not share the columns, and why."""


def admit(sources: Iterable[Source], votes: Callable[[Source], bool]) -> tuple[list[Source], list[Refused]]:
    """Splits sources into those that may share columns and those that may not.

    Within a task, all must be fit, have the items and then the parameters that most of them have (counted
    over rows for which `votes` is true, where there are any), and be the newest of their row.
    """
    kept: list[Source] = []
    refused: list[Refused] = []
    tasks: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda s: s.age):
        tasks.setdefault(source.task, []).append(source)
    for _, group in sorted(tasks.items()):
        refused += [(s, s.unfit) for s in group if s.unfit]
        group = [s for s in group if not s.unfit]
        for why, value in (("other data", lambda s: s.items), ("other parameters", lambda s: s.params)):
            common = _commonest(group, value, votes)
            refused += [(s, why) for s in group if value(s) != common]
            group = [s for s in group if value(s) == common]
        latest = {s.identity: s for s in group}
        kept += latest.values()
        refused += [(s, "an older run of the same") for s in group if s is not latest[s.identity]]
    return kept, refused


def _commonest(group: list[Source], value: Callable[[Source], str], votes: Callable[[Source], bool]) -> str | None:
    """The value that most rows have; the first in text order among equals."""
    voters = [s for s in group if votes(s)] or group
    counts = Counter(text for _, text in {(s.identity, value(s)) for s in voters})
    return min(counts, key=lambda text: (-counts[text], text), default=None)
