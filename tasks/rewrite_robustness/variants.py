"""Every rewrite of every reply: as units to score, and what became of each attempt as columns beside them.

In the score table a rewritten reply has the id `{unit_id}@{variant}` and `x_valid` (0 or 1), `x_edit_ratio` and, where an
encoder was asked, `x_similarity`. A row of the original reply has one column an attempt, `x_status/{variant}`: `none`
where a transform does not apply, `valid`, or the checks that failed joined by `+`; what was not attempted is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from harness.preference import Unit
from harness.rewrites import Rewrites, rewritten_unit, variant
from harness.task import TaskData
from harness.text.invariants import edit_ratio
from harness.text.rewritten import VALID, Rewritten
from harness.text.transform import TRANSFORMS, Transform

from .params import Params

STATUS = "x_status/"


@dataclass(frozen=True)
class Attempt:
    """One reply in one way of rewriting."""

    unit: Unit
    variant: str
    outcome: Rewritten
    similarity: float | None = None


def attempts(data: TaskData, params: Params) -> list[Attempt]:
    """Every transform of every reply of the items that are no style matrix, and every rewrite that `data` holds of any reply."""
    styled = {item.id for item in data.items if item.meta.get("styles")}
    units = data.units()
    transforms = [TRANSFORMS.get(name) for name in params.names]
    made = [_transformed(unit, one, params.seed) for one in transforms for unit in units if unit.item_id not in styled]
    return made + _from_file(units, data.rewrites)


def rewritten(tried: Iterable[Attempt]) -> tuple[Unit, ...]:
    """The attempts that gave a text, valid or not, as units; the prompt is untouched."""
    return tuple(rewritten_unit(a.unit, a.variant, a.outcome.text) for a in tried if a.outcome.text is not None)


def attempt_frames(tried: Iterable[Attempt]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What to attach: columns of the rewritten units, and status columns of the original ones."""
    known = list(tried)
    texts = [(a, a.outcome.text) for a in known if a.outcome.text is not None]
    numbers = pd.DataFrame(
        {
            "unit_id": [f"{a.unit.unit_id}@{a.variant}" for a, _ in texts],
            "x_valid": [float(a.outcome.status == VALID) for a, _ in texts],
            "x_edit_ratio": [edit_ratio(a.unit.conversation[-1].content, text) for a, text in texts],
            "x_similarity": pd.array([a.similarity for a, _ in texts], dtype="float64"),
        }
    )
    said = pd.DataFrame(
        [(a.unit.unit_id, STATUS + a.variant, a.outcome.status) for a in known], columns=["unit_id", "of", "is"]
    )
    return numbers, said.pivot(index="unit_id", columns="of", values="is").rename_axis(columns=None).reset_index()


def _transformed(unit: Unit, transform: Transform, seed: int) -> Attempt:
    *before, last = unit.conversation
    prompt = "\n".join(turn.content for turn in before)
    return Attempt(unit, transform.variant, transform.apply(prompt, last.content, unit.item_id, seed))


def _from_file(units: Iterable[Unit], rewrites: Rewrites) -> list[Attempt]:
    known = tuple(units)
    found = [(unit, way, rewrites.of(unit, way)) for way in rewrites.ways for unit in known]
    return [Attempt(unit, variant(way), row.outcome, row.similarity) for unit, way, row in found if row is not None]
