"""Pairs, rewrites of their replies by planted transforms or a planted language model, and the table a member would fill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from harness.preference import PreferenceItem, Unit, units
from harness.rewrites import rewritten_unit
from harness.task import ScoreTable
from harness.testing import planted
from harness.testing.planted import Scorer
from harness.text.transform import Transform

Change = Callable[[Unit], str | None]
"""The reply rewritten, or None where there is nothing to change."""


def _transform(name: str, kind: str, family: str = "", rate: float | None = None) -> Transform:
    return Transform(name, "1", kind, frozenset(), False, lambda p, r, g: r + "!", family or name, rate)  # type: ignore[arg-type]


PLANTED = (
    _transform("planted_mark", "core"),
    _transform("planted_other", "core"),
    _transform("planted_noise_3", "noise", "planted_noise", 0.03),
    _transform("planted_bait", "stress"),
)
MARK, OTHER, NOISE, BAIT = (one.variant for one in PLANTED)


def items(rng: np.random.Generator, n: int, **how: object) -> tuple[PreferenceItem, ...]:
    """`n` pairs of random words; shape, subset and pairs a prompt as `harness.testing.planted.items` takes them."""
    return planted.items(rng, n, **how)  # type: ignore[arg-type]


def marked(unit: Unit) -> str:
    """The reply with a marker behind it."""
    return unit.conversation[-1].content + " MARK"


def reply(unit: Unit) -> str:
    """What is judged."""
    return unit.conversation[-1].content


def whole(name: str, low: int = 0, high: int = 4) -> Scorer:
    """A whole number by the text and a name, so that many replies tie."""

    def score(unit: Unit) -> float:
        seed = abs(hash_of(f"{name}/{unit.unit_id}/{reply(unit)}"))
        return float(low + seed % (high - low))

    return score


def smooth(name: str, change: float = 0.5) -> Scorer:
    """A reward of the original that a rewrite moves by at most half of `change`: nothing ties."""

    def score(unit: Unit) -> float:
        original = hash_of(f"{name}/{unit.item_id}/{unit.side}") / 2**32
        moved = 0.0 if unit.variant == "original" else hash_of(f"{name}/{unit.unit_id}") / 2**32 - 0.5
        return original + 0.3 * unit.side.startswith("chosen") + change * moved

    return score


def hash_of(text: str) -> int:
    """A number below 2**32 from a text, the same in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def table(
    pairs: Sequence[PreferenceItem],
    scores: Sequence[Scorer],
    ways: Mapping[str, Change],
    invalid: Callable[[Unit], Sequence[str]] = lambda unit: (),
    again: Sequence[Scorer] | None = None,
) -> ScoreTable:
    """The rows of one member: `scores` by seed for originals and rewrites, `again` for the second replicate.

    `invalid` names the checks that a rewritten unit fails; its `unit_id` ends in `@{variant}`.
    """
    known = list(units(pairs))
    made = [
        rewritten_unit(u, way, text) for way, change in ways.items() for u in known if (text := change(u)) is not None
    ]
    found = []
    for seed, score in enumerate(scores):
        members = (("model", seed),)
        second = score if again is None else again[seed]
        found += [planted.table([*known, *made], score, members), planted.table(known, second, members, replicate=1)]
    numbers = pd.DataFrame(
        {
            "unit_id": [u.unit_id for u in made],
            "x_valid": [float(not invalid(u)) for u in made],
            "x_edit_ratio": [hash_of(u.unit_id) / 2**32 for u in made],
            "x_similarity": [hash_of("s" + u.unit_id) / 2**32 for u in made],
        }
    )
    said = {u.unit_id: "+".join(invalid(u)) or "valid" for u in made}
    status = pd.DataFrame(
        {f"x_status/{way}": [said.get(f"{u.unit_id}@{way}", "none") for u in known] for way in ways},
        index=pd.Index([u.unit_id for u in known], name="unit_id"),
    )
    rows = pd.concat(found, ignore_index=True).merge(numbers, on="unit_id", how="left")
    return rows.merge(status.reset_index(), on="unit_id", how="left")
