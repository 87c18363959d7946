"""Which rewrites are valid on which side: rejecting more of one side's than of the other's would bias what is computed of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.labels import text_id
from harness.preference import PreferenceItem, units
from harness.rewrites import RewriteRow
from harness.sides import SIDES


@dataclass(frozen=True)
class Tally:
    """Rewrites of one kind of the replies on one side, all samples: how many there should be, how many are valid, and what
    is wrong with the others, by name, the most frequent first. One rewrite may have several problems.
    """

    kind: str
    side: str
    n: int
    valid: int
    problems: Mapping[str, int]


def tallies(rows: Iterable[RewriteRow], items: Iterable[PreferenceItem]) -> list[Tally]:
    """A tally for every kind and side, sorted by both. A text that is a reply on both sides counts on both."""
    sides: dict[str, set[str]] = {}
    for unit in units(items):
        sides.setdefault(text_id(unit.conversation), set()).add(unit.side.partition("/")[0])
    known = list(rows)
    return [
        _tally(kind, side, [row for row in known if row.kind == kind and side in sides.get(row.text, ())])
        for kind in sorted({row.kind for row in known})
        for side in SIDES
    ]


def _tally(kind: str, side: str, rows: list[RewriteRow]) -> Tally:
    found = Counter(name for row in rows for name in row.outcome.problems)
    ordered = dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
    return Tally(kind, side, len(rows), sum(not row.outcome.problems for row in rows), ordered)
