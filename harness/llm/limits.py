"""How hard a server is pressed: requests and tokens per minute, and how long to wait after it said no."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import numpy as np

Sleep = Callable[[float], Awaitable[None]]


class Bucket:
    """A token bucket that holds no more than is being asked for: what is taken now pushes back when the next may go.

    Without a store to burst from, no window of a minute sees more than `per_minute` and the one request that ends it.
    `per_minute` None: no limit. `clock` and `sleep` are in seconds.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float], sleep: Sleep) -> None:
        self._seconds_each = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock = clock
        self._sleep = sleep
        self._free_at = -math.inf

    async def take(self, amount: float) -> None:
        """Wait for this amount's turn, in order of asking."""
        now = self._clock()
        start = max(now, self._free_at)
        self._free_at = start + amount * self._seconds_each
        if start > now:
            await self._sleep(start - now)

    def correct(self, surplus: float) -> None:
        """Give back what was taken too much (negative: take what was taken too little)."""
        self._free_at -= surplus * self._seconds_each

    def hold(self, seconds: float) -> None:
        """Let nothing more go for this long."""
        self._free_at = max(self._free_at, self._clock() + seconds)


@dataclass(frozen=True)
class Backoff:
    """Full jitter (Brooker, "Exponential Backoff And Jitter", 2015): uniform below a bound that doubles with every try.

    All in seconds. What a server asks for with `Retry-After` comes on top, up to `longest_asked`: those who were sent away
    together must not come back together, and one that asks for nothing must not be hammered.
    """

    first: float = 1.0
    longest: float = 60.0
    longest_asked: float = 300.0

    def wait(self, attempt: int, rng: np.random.Generator, retry_after: float | None = None) -> float:
        """Seconds to wait after the failed try number `attempt`, counted from 0."""
        jitter = rng.uniform(0.0, min(self.longest, self.first * 2.0 ** min(attempt, 64)))
        return jitter + min(retry_after or 0.0, self.longest_asked)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, given as a number or as an HTTP date; None where it says neither.

    `now` is aware of its zone. A date that has passed is 0.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
