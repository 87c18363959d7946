"""Where the time of an engine goes, and how far it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Timing:
    """Where the seconds went, and how much was computed rather than remembered.

    `encode` is the time the forward passes waited for token ids. `tokens` counts every text whole, `packed`
    a shared prefix once, `padded` is what went through the model. What was summed at neurons is counted apart, in
    `read` seconds and `tokens_read`.
    """

    load: float = 0.0
    encode: float = 0.0
    forward: float = 0.0
    store: float = 0.0
    texts: int = 0
    tokens: int = 0
    packed: int = 0
    padded: int = 0
    remembered: int = 0
    read: float = 0.0
    tokens_read: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a scoring pass is; `tokens` are what time is proportional to, `of_tokens` an estimate until all are encoded.

    A pass of several conditions begins with a report that nothing is done yet: how many `conditions` there are, and the
    seconds `expected` at the rate of this run so far (None where nothing was computed yet).
    """

    model: str
    texts: int
    of_texts: int
    tokens: int
    of_tokens: int
    seconds: float
    conditions: int = 1
    expected: float | None = None


@dataclass
class Pass:
    """A call of `ensure` while it runs: what is known of its size and how much of it is done."""

    unseen: int
    began: float = field(default_factory=time.perf_counter)
    texts: int = 0
    tokens: int = 0
    of_texts: int = 0
    of_tokens: int = 0

    def progress(self, model: str) -> Progress:
        """The report of this moment: texts not looked at yet are taken to be as long as the others."""
        mean = self.of_tokens / max(1, self.of_texts)
        of_tokens = self.of_tokens + round(mean * self.unseen)
        seconds = time.perf_counter() - self.began
        return Progress(model, self.texts, self.of_texts + self.unseen, self.tokens, of_tokens, seconds)
