"""A rewriting run: what is asked of whom, what it will cost, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import InputError
from harness.llm import judge, rewriter
from harness.llm.ask import Ask, Failure, Told
from harness.llm.cache import endpoint_name
from harness.llm.carrier import Carrier, Foreseen, Overheard, by_reason
from harness.llm.client import Client
from harness.llm.cost import Cost, tokenizer
from harness.llm.endpoint import Endpoint, read_endpoint
from harness.llm.kinds import Kind
from harness.llm.rewriter import NO_FIRST, Job, Made, Rewriter
from harness.llm.similarity import Similar, compare
from harness.preference import PreferenceItem, units
from harness.rewrites import RewriteRow

FRAME_TOKENS = 12
"""What an answer takes beside the rewritten reply, about."""
NOT_ASKED: Failure = "not_asked"
VERDICT_TOKENS = 12
"""What a judge's answer takes, about."""
SAMPLES = 2
"""Rewrites of a text and kind, where the endpoint's temperature lets them differ."""


@dataclass(frozen=True)
class Plan:
    """Who rewrites in which kinds how often, and what else looks at it."""

    endpoint: Endpoint
    kinds: tuple[Kind, ...]
    samples: int = 1
    judge: Endpoint | None = None
    similar: Similar | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Who is asked: the rewriter, then the judge."""
        return (self.endpoint,) if self.judge is None else (self.endpoint, self.judge)


@dataclass
class Done:
    """What a rewriting run came to: its rows, what each model was sent and paid, a server's words on each failure, and how
    many rewrites the judge gave no verdict on (None: no judge).
    """

    rows: list[RewriteRow] = field(default_factory=list)
    spent: dict[str, Cost] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    unjudged: int | None = None

    @property
    def failed(self) -> dict[str, int]:
        """Rows without a text by reason, the most frequent first."""
        return by_reason(row.error or "" for row in self.rows if row.rewritten is None)


def plan(
    endpoint: Path,
    kinds: Sequence[Kind],
    samples: int | None = None,
    judge: Path | None = None,
    similar: Similar | None = None,
) -> Plan:
    """The plan of a run from the files of its endpoints; `samples` None: `SAMPLES`, or one at temperature 0.

    Raises InputError where a file is no endpoint, the judge is the rewriter, or several samples would all be one.
    """
    asked, judging = read_endpoint(endpoint), None if judge is None else read_endpoint(judge)
    if judging is not None and endpoint_name(judging) == endpoint_name(asked):
        raise InputError(
            f"the judge is the rewriter itself, {endpoint_name(asked)}, which would agree with itself: name another model "
            "with --judge"
        )
    if samples is not None and samples > 1 and asked.temperature == 0:
        raise InputError(
            f"{samples} samples at temperature 0 are one text {samples} times: write a temperature above 0 into {endpoint}, "
            "or leave --samples away"
        )
    usual = SAMPLES if asked.temperature > 0 else 1
    return Plan(asked, tuple(kinds), usual if samples is None else samples, judging, similar)


def carry_out(
    items: Sequence[PreferenceItem],
    of: Plan,
    carrier: Carrier,
    report: Callable[[str], Callable[[Told], None]] = lambda model: lambda told: None,
) -> Done:
    """Rewrite what the plan says, compare and judge it. `report` makes, of a model's name, what is told how far its
    questions are.

    Raises InputError where a limit is set and a price unknown, HarnessError before anything is sent where the whole
    would pass the limit, and what a client raises: all replies so far are in the cache then.
    """
    carrier.check(of.endpoints, lambda: foresee(items, of, carrier))
    done = Done()
    client = carrier.client(of.endpoint, 0.0, usual_tokens(items, of.endpoint))
    asked = Rewriter(of.endpoint.name, Overheard(client, done.words), of.endpoint.max_tokens)
    made = rewriter.rewrite(items, asked, of.kinds, of.samples, report(of.endpoint.model))
    done.spent[endpoint_name(of.endpoint)] = client.spent
    if of.similar is not None:
        made = compare(made, of.similar)
    if of.judge is not None:
        judging = carrier.client(of.judge, client.spent.dollars or 0.0, VERDICT_TOKENS)
        verdicts = judge.judge(made, Overheard(judging, done.words), report(of.judge.model))
        made, done.unjudged = verdicts.made, verdicts.failed
        done.spent[endpoint_name(of.judge)] = judging.spent
    done.rows = rewriter.inherited(made)
    return done


def foresee(items: Sequence[PreferenceItem], of: Plan, carrier: Carrier) -> list[Foreseen]:
    """What is left to send and pay, by stage; stored replies cost nothing.

    What is asked of texts that are not written yet is estimated by the replies they will be made of.
    """
    stored = Rewriter("", Client(of.endpoint, carrier.cache, replay=True), of.endpoint.max_tokens)
    made = rewriter.rewrite(items, stored, of.kinds, of.samples)
    usual = usual_tokens(items, of.endpoint)
    first = [_rewrite(m.job, of) for m in made if m.job.kind.of is None]
    stages = [carrier.foresee("first stage", of.endpoint, first, usual)]
    if len(first) < len(made):
        stages.append(carrier.foresee("second stage", of.endpoint, _stand_in(_second(made, of)), usual))
    if of.judge is not None:
        stages.append(carrier.foresee("judge", of.judge, _stand_in(_judging(made)), VERDICT_TOKENS))
    return stages


def usual_tokens(items: Iterable[PreferenceItem], endpoint: Endpoint) -> int:
    """Tokens of a rewritten reply on average, taken to be as long as the replies are."""
    count, _ = tokenizer(endpoint.model)
    found = [count(unit.conversation[-1].content) for unit in units(items)]
    return FRAME_TOKENS + (sum(found) // len(found) if found else 0)


def _rewrite(job: Job, of: Plan) -> Ask:
    return rewriter.ask(job, of.endpoint.max_tokens)


def _second(made: Iterable[Made], of: Plan) -> Iterator[tuple[Ask, bool]]:
    """Questions of the second stage, and whether it is known that they will be these."""
    for m in made:
        lacks_first = (m.row.error or "").startswith(NO_FIRST)
        if m.job.kind.of is not None and (_open(m) or not lacks_first):
            yield _rewrite(m.job, of), not lacks_first


def _judging(made: Iterable[Made]) -> Iterator[tuple[Ask, bool]]:
    """Questions to the judge, and whether it is known that they will be these."""
    for m in made:
        if m.row.rewritten is not None or _open(m):
            # A reply that is not rewritten yet stands for its rewrite; a blank makes it another text.
            text = f"{m.job.reply} " if m.row.rewritten is None else m.row.rewritten
            yield from ((ask, m.row.rewritten is not None) for ask in judge.questions(m.job, text))


def _open(made: Made) -> bool:
    """Whether a rewrite that has no text stored may get one."""
    return (made.row.error or "").endswith(NOT_ASKED)


def _stand_in(asks: Iterable[tuple[Ask, bool]]) -> list[Ask]:
    """Questions of which some are not known yet: those are made unlike each other and any that is stored."""
    return [ask if known else replace(ask, repeat=-1 - i) for i, (ask, known) in enumerate(asks)]
