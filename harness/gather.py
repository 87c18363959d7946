"""The score stage: all tasks advance in lockstep, and each round's requests go to the engines as one union."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import HarnessError
from harness.subject import Subject
from harness.task import KEY_COLUMNS, Attach, Compare, Request, Score, ScoreTable, Steps, empty_table


@dataclass
class Gathering:
    """One task's requests so far and what they gave."""

    steps: Steps
    pending: tuple[Request, ...] = ()
    single: bool = False
    tables: list[ScoreTable] = field(default_factory=list)
    attached: list[pd.DataFrame] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def advance(self, answer: Any) -> None:
        """Hand over the last answer and take the next round of requests; `pending` is empty when the task is done."""
        try:
            asked = self.steps.send(answer)
        except StopIteration:
            self.pending = ()
            return
        self.single = not isinstance(asked, tuple)
        self.pending = asked if isinstance(asked, tuple) else (asked,)

    def answer(self, subject: Subject) -> None:
        """Answer what is pending from the subject's engines, keep it, and go on."""
        answers = []
        for request in self.pending:
            answer = subject.answer(request)
            if isinstance(request, Score | Compare):
                self.tables.append(answer)
            elif isinstance(request, Attach):
                self._attach(request)
            answers.append(answer)
        self.advance(answers[0] if self.single else tuple(answers))

    def _attach(self, request: Attach) -> None:
        self.arrays.update({k: np.asarray(v) for k, v in request.arrays.items()})
        if request.frame is not None:
            wrong = [c for c in request.frame.columns if not c.startswith("x_") and c not in KEY_COLUMNS]
            if wrong or "unit_id" not in request.frame:
                raise HarnessError(
                    f"a task attached the columns {list(request.frame.columns)}; expected unit_id (and member, seed) "
                    "and columns that begin with x_"
                )
            self.attached.append(request.frame)

    def table(self) -> ScoreTable:
        """Everything gathered as one score table: joined by id, each key once."""
        if not self.tables:
            return empty_table()
        table = pd.concat(self.tables, ignore_index=True).drop_duplicates(list(KEY_COLUMNS), ignore_index=True)
        for frame in self.attached:
            on = [c for c in KEY_COLUMNS if c in frame.columns]
            table = table.merge(frame, how="left", on=on, validate="many_to_one")
        return table


def gather(gatherings: Sequence[Gathering], subject: Subject) -> None:
    """Run every task's requests to the end. Raises what an engine raises; what was scored by then is in the store."""
    for gathering in gatherings:
        gathering.advance(None)
    while running := [g for g in gatherings if g.pending]:
        subject.ensure([request for g in running for request in g.pending])
        for gathering in running:
            gathering.answer(subject)
