"""A labelling run: which labelers are asked what, what it will cost, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.labels import LabelRow, Pass
from harness.llm.ask import Ask, Asker, Reply, Told
from harness.llm.batch import BatchClient
from harness.llm.cache import ReplyCache, endpoint_name
from harness.llm.client import Client
from harness.llm.cost import Cost, check_cost, dollars, estimate_cost
from harness.llm.endpoint import Endpoint, read_endpoint
from harness.llm.labeler import FIRST, SECOND, Labeler, label, questions
from harness.preference import PreferenceItem

ANSWER_TOKENS = 200
"""What a label takes, about: seventeen fields with short values."""


@dataclass(frozen=True)
class Round:
    """One labeler and the share of the items in each of its passes."""

    endpoint: Endpoint
    shares: Mapping[Pass, float]


@dataclass(frozen=True)
class Carrier:
    """How questions travel: with which stored replies, as a batch or one by one, or not at all, for how many dollars in all."""

    cache: ReplyCache
    batch: bool = False
    replay: bool = False
    max_cost: float | None = None

    def client(self, endpoint: Endpoint, spent: float) -> Client | BatchClient:
        """What asks this endpoint and spends at most what is left of the limit after `spent` dollars."""
        left = None if self.max_cost is None else max(0.0, self.max_cost - spent)
        if self.batch:
            return BatchClient(endpoint, self.cache, replay=self.replay, max_cost=left)
        return Client(endpoint, self.cache, replay=self.replay, max_cost=left, completion_tokens=ANSWER_TOKENS)


@dataclass(frozen=True)
class Foreseen:
    """What one pass would send: `cost` with labels of the usual length, `most` dollars with the longest the endpoint allows."""

    labeled_by: Pass
    model: str
    cost: Cost
    most: float | None


@dataclass
class Done:
    """What a labelling run came to: its rows, what each model was sent and paid, and a server's words on each failure."""

    rows: list[LabelRow] = field(default_factory=list)
    spent: dict[str, Cost] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        """Rows without a label by reason, the most frequent first."""
        reasons = Counter((row.error or "").partition(":")[0] for row in self.rows if row.labels is None)
        return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))


def rounds(first: Path, second: Path | None = None, retest: float = FIRST["retest"]) -> list[Round]:
    """The rounds of a run from the files of its endpoints.

    Raises InputError where a file is no endpoint, or the second labeler is the first one.
    """
    found = [Round(read_endpoint(first), {**FIRST, "retest": retest})]
    if second is not None:
        found.append(Round(read_endpoint(second), SECOND))
        names = {endpoint_name(round_.endpoint) for round_ in found}
        if len(names) == 1:
            raise InputError(
                f"both labelers are {names.pop()}, whose stored replies would agree with themselves: name another model "
                "with --second; --retest compares a labeler with itself"
            )
    return found


def foresee(items: Sequence[PreferenceItem], of: Iterable[Round], seed: int, carrier: Carrier) -> list[Foreseen]:
    """What is left to send and pay, by pass; stored replies cost nothing."""
    return [
        _foresee(round_.endpoint, labeled_by, questions(items, labeled_by, share, seed), carrier)
        for round_ in of
        for labeled_by, share in round_.shares.items()
    ]


def _foresee(endpoint: Endpoint, labeled_by: Pass, asks: Sequence[Ask], carrier: Carrier) -> Foreseen:
    cost = estimate_cost(endpoint, asks, carrier.cache, batch=carrier.batch, completion_tokens=ANSWER_TOKENS)
    most = dollars(endpoint, cost.prompt_tokens, cost.requests * endpoint.max_tokens, carrier.batch)
    return Foreseen(labeled_by, endpoint.model, cost, most)


def carry_out(
    items: Sequence[PreferenceItem],
    of: Sequence[Round],
    seed: int,
    carrier: Carrier,
    report: Callable[[str], Callable[[Told], None]] = lambda model: lambda told: None,
) -> Done:
    """Ask every labeler what its round says. `report` makes, of a model's name, what is told how far its questions are.

    Raises InputError where a limit is set and a price unknown, HarnessError before anything is sent where the whole
    would pass the limit, and what a client raises: all replies so far are in the cache then.
    """
    _check(foresee(items, of, seed, carrier), of, carrier)
    done = Done()
    for round_ in of:
        model = round_.endpoint.model
        client = carrier.client(round_.endpoint, sum(cost.dollars or 0.0 for cost in done.spent.values()))
        labeler = Labeler(round_.endpoint.name, _Overheard(client, done.words))
        done.rows += label(items, labeler, round_.shares, seed=seed, report=report(model))
        done.spent[endpoint_name(round_.endpoint)] = client.spent
    return done


def _check(foreseen: Sequence[Foreseen], of: Sequence[Round], carrier: Carrier) -> None:
    if carrier.max_cost is None or carrier.replay:
        return
    for round_ in of:
        check_cost(round_.endpoint, carrier.max_cost)
    total = sum(pass_.cost.dollars or 0.0 for pass_ in foreseen)
    if total > carrier.max_cost:
        raise HarnessError(
            f"{sum(pass_.cost.requests for pass_ in foreseen)} questions would cost about {total:.4g} dollars, above the "
            f"limit of {carrier.max_cost:g}; none of them was sent. Take fewer with --max-pairs, or raise --max-cost"
        )


class _Overheard:
    """An asker that keeps the first detail of each failure."""

    def __init__(self, asker: Asker, words: dict[str, str]) -> None:
        self._asker = asker
        self._words = words

    def ask(self, asks: Iterable[Ask], report: Callable[[Told], None] = lambda told: None) -> dict[str, Reply]:
        """The asker's own replies."""
        replies = self._asker.ask(asks, report)
        for _, reply in sorted(replies.items()):
            if reply.failure and reply.detail:
                self._words.setdefault(reply.failure, reply.detail)
        return replies
