"""How many random neurons do as much damage as a set? A search over sizes, one step a forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

TOLERANCE = 0.01
"""Largest difference of fidelity between a set and a control that counts as equal damage (corrections, 2)."""

ROUNDS = 10


@dataclass
class Search:
    """Sizes tried for one control draw, and the fidelity each had on the pilot.

    Fidelity falls from 1 at size 0 as the size grows, in the mean over draws; a single draw may wiggle, so the
    best size tried counts, not the last one.
    """

    target: float
    most: int
    tried: dict[int, float] = field(default_factory=dict)

    def best(self) -> int:
        """The size tried whose fidelity is nearest to the target; the smaller of two."""
        return min(self.tried, key=lambda n: (abs(self.tried[n] - self.target), n))

    @property
    def matched(self) -> bool:
        """Whether the best size is as damaging as the set."""
        return bool(self.tried) and abs(self.tried[self.best()] - self.target) <= TOLERANCE

    def next(self) -> int | None:
        """The size to try next, or None: it is matched, cannot be bracketed further, or took too many rounds.

        Between two sizes that bracket the target, the loss of fidelity is interpolated linearly, bisecting
        every third time; beyond, it is taken to be proportional to the size.
        """
        if self.matched or len(self.tried) >= ROUNDS or self.most < 1:
            return None
        above = [n for n, f in self.tried.items() if f > self.target]
        below = [n for n, f in self.tried.items() if f <= self.target]
        low, high = max(above, default=0), min(below, default=0)
        if high and low >= high:  # a draw that is not monotone here: nothing more to learn between them
            return None
        size = self._inside(low, high) if high else self._beyond(low)
        size = min(max(1, size), self.most)
        return None if size in self.tried else size

    def _inside(self, low: int, high: int) -> int:
        first, last = self.tried.get(low, 1.0), self.tried[high]
        share = (first - self.target) / (first - last) if first > last else 0.5
        if len(self.tried) % 3 == 2:
            share = 0.5
        return min(max(round(low + share * (high - low)), low + 1), high - 1)

    def _beyond(self, low: int) -> int:
        lost = 1 - self.tried.get(low, 1.0)
        return round(low * min(4.0, (1 - self.target) / lost)) if lost > 0 and low else 4 * max(1, low)
