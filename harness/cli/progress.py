"""How far scoring or asking is: a bar on a terminal, a plain line now and then elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.engine.progress import Progress
    from harness.llm.ask import Told

EVERY_SECONDS = 10.0


class Reporter:
    """Callable that shows an engine's progress with its rate and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._last = 0.0
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Reporter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _plan(self, plan: Progress) -> None:
        """Say what is about to be computed under several conditions, above the bar if there is one."""
        expected = "unknown time" if plan.expected is None else f"about {plan.expected / 60:.1f} min"
        tokens = f"{plan.of_tokens:,} tokens" if plan.of_tokens else "unknown length"
        text = f"{plan.model}: {plan.conditions} conditions, {plan.of_texts:,} texts, {tokens}, {expected}"
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def __call__(self, progress: Progress) -> None:
        """Show one step; plain lines appear at the end and at most every ten seconds, plans at once."""
        if progress.conditions > 1:
            self._plan(progress)
            return
        note = f"{progress.texts}/{progress.of_texts} texts"
        if progress.tokens:
            rate = progress.tokens / max(progress.seconds, 1e-9)
            left = (progress.of_tokens - progress.tokens) / max(rate, 1e-9)
            note += f"  {rate:,.0f} tokens/s  {left:.0f} s left"
        self._show(progress.model, progress.tokens, progress.of_tokens, note, progress.texts == progress.of_texts)

    def told(self, model: str) -> Callable[[Told], None]:
        """What shows how far questions to a language model are."""

        def show(told: Told) -> None:
            """Show one step of a round."""
            note = f"{told.done}/{told.total} answers, {told.cached} of them cached, {told.failed} failed"
            self._show(model, told.done, told.total, note, told.done == told.total)

        return show

    def _show(self, model: str, done: int, total: int, note: str, finished: bool) -> None:
        if self._bar is not None:
            if model not in self._tasks:
                self._tasks[model] = self._bar.add_task(model, total=total, note=note)
            self._bar.update(self._tasks[model], completed=done, total=total, note=note)
        elif finished or time.monotonic() - self._last > EVERY_SECONDS:
            self._last = time.monotonic()
            print(f"{model}: {note}", file=sys.stderr, flush=True)
