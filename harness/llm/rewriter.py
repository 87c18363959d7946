"""Rewrites of replies by a language model: who is asked what, and what becomes of each answer.

Every text is rewritten once in every kind and sample, whichever items share it. A kind that is made of another one's
rewrite (`Kind.of`) follows in a second stage, made of that text whether it is valid or not: what is left out would be
left out by what the rewriter did to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.labels import text_id
from harness.llm import repair
from harness.llm.ask import Ask, Asker
from harness.llm.checks import joined, problems
from harness.llm.kinds import Kind
from harness.llm.repair import Report
from harness.llm.rewrite_prompt import SCHEMA, mend, question, read_rewritten, version
from harness.preference import Conversation, Message, PreferenceItem, units
from harness.rewrites import RewriteRow

NO_FIRST = "no_first"
"""The `error` of a second rewrite whose first one has no text begins with this."""

BYTES_A_TOKEN = 2
ROOM = 200
"""A reply of so many bytes gets a token of answer for every two of them (models take one for about four in English, two or
three in other scripts), and so many for its frame and for replies that are short."""


@dataclass(frozen=True)
class Rewriter:
    """A language model that rewrites: its name, as it is written to the file, what carries questions to it, and how many
    tokens an answer may take at least; one to a long reply may take more.
    """

    name: str
    asker: Asker
    max_tokens: int = 1


@dataclass(frozen=True)
class Job:
    """The last reply of a conversation, to be rewritten. `text` is the identity of the conversation with the original reply."""

    kind: Kind
    sample: int
    text: str
    conversation: Conversation

    @property
    def id(self) -> str:
        """Unique in a run."""
        return f"{self.kind.name}/{self.sample}/{self.text}"

    @property
    def reply(self) -> str:
        """What is to be rewritten."""
        return self.conversation[-1].content


@dataclass(frozen=True)
class Made:
    """What became of a job."""

    job: Job
    row: RewriteRow


def rewrite(
    items: Iterable[PreferenceItem],
    rewriter: Rewriter,
    kinds: Sequence[Kind],
    samples: int = 1,
    report: Report = lambda told: None,
) -> list[Made]:
    """What became of every text of the items in every kind and sample: a rewrite with the checks it failed, or why there is
    none. Raises HarnessError where no question can be answered (`Asker.ask`).

    What is asked depends on the texts, the kinds and the samples alone: with a cache a second call is free, and one that
    was stopped goes on.
    """
    first = make(first_jobs(items, kinds, samples), rewriter, report)
    second = second_jobs(first, kinds)
    made = make([job for job, before in second if before.row.rewritten is not None], rewriter, report)
    without = [_without(job, before.row) for job, before in second if before.row.rewritten is None]
    return [*first, *made, *without]


def first_jobs(items: Iterable[PreferenceItem], kinds: Iterable[Kind], samples: int) -> list[Job]:
    """Every text once in every kind that is made of replies and every sample, sorted by kind, sample and text."""
    texts = {text_id(unit.conversation): unit.conversation for unit in units(items)}
    of_replies = [kind for kind in kinds if kind.of is None]
    return [Job(kind, k, text, texts[text]) for kind in of_replies for k in range(samples) for text in sorted(texts)]


def second_jobs(first: Iterable[Made], kinds: Iterable[Kind]) -> list[tuple[Job, Made]]:
    """What is to be made of rewrites, with each one's first rewrite. Where that has no text the job holds the original."""
    known = list(first)
    return [(_after(kind, before), before) for kind in kinds for before in known if before.job.kind.name == kind.of]


def make(jobs: Iterable[Job], rewriter: Rewriter, report: Report = lambda told: None) -> list[Made]:
    """A row for every job: an answer that holds no rewrite goes back once, then into quarantine (`harness.llm.repair`)."""
    todo = {job.id: job for job in jobs}
    if not todo:
        return []
    asks = (ask(job, rewriter.max_tokens) for job in todo.values())
    found = repair.answers(asks, rewriter.asker, read_rewritten, mend, report)
    return [Made(job, _row(job, rewriter.name, found[id].value, found[id].error)) for id, job in todo.items()]


def ask(job: Job, max_tokens: int) -> Ask:
    """The question about a job. Another sample is the same question in other bytes, with another seed."""
    turns = question(job.conversation, job.kind, nonce=job.sample)
    room = max(max_tokens, ROOM + len(job.reply.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)
    return Ask(job.id, turns, SCHEMA, schema_name="rewrite", repeat=job.sample, max_tokens=room)


def inherited(made: Iterable[Made]) -> list[RewriteRow]:
    """Rows of what was made. A second rewrite has the problems of its first one too: of a refusal nothing valid is made."""
    known = list(made)
    found = {(m.row.kind, m.row.sample, m.row.text): m.row.problems for m in known}
    return [_inherit(m.row, found.get((m.job.kind.of or "", m.row.sample, m.row.text), ())) for m in known]


def _inherit(row: RewriteRow, before: tuple[str, ...]) -> RewriteRow:
    return row if row.rewritten is None else row.model_copy(update={"problems": joined(before, row.problems)})


def _after(kind: Kind, before: Made) -> Job:
    job, text = before.job, before.row.rewritten
    *prompt, last = job.conversation
    reply = last if text is None else Message(last.role, text)
    return Job(kind, job.sample, job.text, (*prompt, reply))


def _without(job: Job, before: RewriteRow) -> Made:
    return Made(job, _row(job, before.rewriter, None, f"{NO_FIRST}: {before.error}"))


def _row(job: Job, rewriter: str, text: str | None, error: str | None) -> RewriteRow:
    return RewriteRow(
        text=job.text,
        kind=job.kind.name,
        sample=job.sample,
        rewriter=rewriter,
        prompt=version(job.kind),
        rewritten=text,
        problems=() if text is None else problems(job.kind, job.reply, text),
        error=error,
    )
