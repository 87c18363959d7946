"""Rewrites of replies by a language model: a file of JSON lines, joined to units by what they say.

The kinds are `paraphrase`, and `style:{attribute}:up` and `:down`; with a second direction behind it
(`style:formal:up:down`) the reply that was rewritten is itself a rewrite of the first direction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.errors import InputError
from harness.jsonl import read_file, rows_of, write_rows
from harness.labels import text_id
from harness.models.spec import Frozen
from harness.preference import Message, Unit
from harness.results.schema import RewritesRecord
from harness.text.rewritten import Rewritten

Verdict = Literal["yes", "no", "unclear"]


class RewriteRow(Frozen):
    """One rewrite, one line of the file. `text` is `text_id` of the conversation whose reply was to be rewritten.

    `problems` name the checks that `rewritten` failed; where it is null `error` says why there is none. `prompt` is the
    version of the words that asked. `similarity` is the cosine of a sentence encoder and `judged` what a judge says of the
    meaning, where one was given: whether it is that of the text the rewrite was made of. Null where it is not known.
    """

    text: str
    kind: str
    sample: int = 0
    rewriter: str
    prompt: str
    rewritten: str | None
    problems: tuple[str, ...] = ()
    similarity: float | None = None
    judged: Verdict | None = None
    error: str | None = None

    @property
    def outcome(self) -> Rewritten:
        """The rewrite with its failed checks; without a text the failure is the one problem."""
        if self.rewritten is None:
            return Rewritten(None, ((self.error or "missing").partition(":")[0],))
        return Rewritten(self.rewritten, self.problems)


Way = tuple[str, int]
"""Kind and sample of a rewrite."""


@dataclass(frozen=True)
class Rewrites:
    """Rewrites by kind, sample and text: one of each at most."""

    rows: Mapping[tuple[str, int, str], RewriteRow] = field(default_factory=dict)
    sha256: str = ""

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def ways(self) -> tuple[Way, ...]:
        """Every kind and sample there is, sorted."""
        return tuple(sorted({(kind, sample) for kind, sample, _ in self.rows}))

    def of(self, unit: Unit, way: Way) -> RewriteRow | None:
        """What became of a unit's reply in this way of rewriting; None where nobody was asked."""
        return self.rows.get((*way, text_id(unit.conversation)))

    def about(self, units: Iterable[Unit]) -> Rewrites:
        """These rewrites where any of the units' replies has one, else none: what fits no text is no part of a result."""
        rewritten = {text for (_, _, text), row in self.rows.items() if row.rewritten is not None}
        return self if any(text_id(unit.conversation) in rewritten for unit in units) else NO_REWRITES

    def record(self) -> RewritesRecord:
        """What a result says of the rewrites it used."""
        rows = self.rows.values()
        return RewritesRecord(
            sha256=self.sha256,
            rewriters=tuple(sorted({row.rewriter for row in rows})),
            kinds=tuple(sorted({row.kind for row in rows})),
            prompts=tuple(sorted({row.prompt for row in rows})),
            n_texts=len({row.text for row in rows}),
            n_failed=sum(row.rewritten is None for row in rows),
        )


NO_REWRITES = Rewrites()


def variant(way: Way) -> str:
    """Name of the texts rewritten in this way in a score table."""
    kind, sample = way
    return f"lm/{kind}/{sample}"


def read_rewrites(path: Path) -> Rewrites:
    """The rewrites of a file. Raises InputError where it cannot be read, a line is not a rewrite, or a text has two of one kind and sample."""
    content = read_file(path, "rewrites")
    rows: dict[tuple[str, int, str], RewriteRow] = {}
    for number, row in rows_of(content, RewriteRow):
        if isinstance(row, str):
            raise InputError(f"{path}:{number}: not a rewrite: {row}; reward-harness rewrite makes such a file")
        key = row.kind, row.sample, row.text
        if key in rows:
            raise InputError(
                f"{path}:{number}: text {row.text} has two rewrites {row.kind!r} of sample {row.sample}; keep one"
            )
        rows[key] = row
    if not rows:
        raise InputError(f"{path} holds no rewrites; reward-harness rewrite makes such a file")
    return Rewrites(rows, hashlib.sha256(content).hexdigest())


def write_rewrites(path: Path, rows: Iterable[RewriteRow]) -> None:
    """Write rows as JSON lines sorted by kind, sample and text. Raises HarnessError where it cannot."""
    ordered = sorted(rows, key=lambda row: (row.kind, row.sample, row.text))
    write_rows(path, ordered)


def rewritten_unit(unit: Unit, variant: str, reply: str) -> Unit:
    """The unit with another reply: id `{unit_id}@{variant}`, everything before the reply as it was."""
    return replace(
        unit,
        unit_id=f"{unit.unit_id}@{variant}",
        conversation=(*unit.conversation[:-1], Message(unit.conversation[-1].role, reply)),
        variant=variant,
    )
