"""A labelling run: which labelers are asked what, what it will cost, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InputError
from harness.labels import LabelRow, Pass
from harness.llm.ask import Told
from harness.llm.cache import endpoint_name
from harness.llm.carrier import Carrier, Foreseen, Overheard, by_reason
from harness.llm.cost import Cost
from harness.llm.endpoint import Endpoint, read_endpoint
from harness.llm.labeler import FIRST, SECOND, Labeler, label, questions
from harness.preference import PreferenceItem
from harness.rewrites import NO_REWRITES, Rewrites

ANSWER_TOKENS = 200
"""What a label takes, about: seventeen fields with short values."""


@dataclass(frozen=True)
class Round:
    """One labeler and the share of the items in each of its passes."""

    endpoint: Endpoint
    shares: Mapping[Pass, float]


@dataclass
class Done:
    """What a labelling run came to: its rows, what each model was sent and paid, and a server's words on each failure."""

    rows: list[LabelRow] = field(default_factory=list)
    spent: dict[str, Cost] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        """Rows without a label by reason, the most frequent first."""
        return by_reason(row.error or "" for row in self.rows if row.labels is None)


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


def foresee(
    items: Sequence[PreferenceItem],
    of: Iterable[Round],
    seed: int,
    carrier: Carrier,
    rewrites: Rewrites = NO_REWRITES,
) -> list[Foreseen]:
    """What is left to send and pay, by pass; stored replies cost nothing."""
    return [
        carrier.foresee(name, round_.endpoint, questions(items, name, share, seed, rewrites), ANSWER_TOKENS)
        for round_ in of
        for name, share in round_.shares.items()
    ]


def carry_out(
    items: Sequence[PreferenceItem],
    of: Sequence[Round],
    seed: int,
    carrier: Carrier,
    report: Callable[[str], Callable[[Told], None]] = lambda model: lambda told: None,
    rewrites: Rewrites = NO_REWRITES,
) -> Done:
    """Ask every labeler what its round says, in the first pass about valid rewrites too. `report` makes, of a model's name,
    what is told how far its questions are.

    Raises InputError where a limit is set and a price unknown, HarnessError before anything is sent where the whole
    would pass the limit, and what a client raises: all replies so far are in the cache then.
    """
    carrier.check((round_.endpoint for round_ in of), lambda: foresee(items, of, seed, carrier, rewrites))
    done = Done()
    for round_ in of:
        model = round_.endpoint.model
        client = carrier.client(
            round_.endpoint, sum(cost.dollars or 0.0 for cost in done.spent.values()), ANSWER_TOKENS
        )
        labeler = Labeler(round_.endpoint.name, Overheard(client, done.words))
        done.rows += label(items, labeler, round_.shares, seed=seed, rewrites=rewrites, report=report(model))
        done.spent[endpoint_name(round_.endpoint)] = client.spent
    return done
