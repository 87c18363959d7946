"""Does the model prefer what anybody would, by what is written and nothing else?"""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.doctor.texts import exchanged
from harness.models.base import Encoded
from harness.outcomes import outcomes

WRONG, RIGHT = 0.01, 0.05
"""Levels of the tests of accuracy against one half: a model without any direction should hardly ever fail."""

FLIPPED = 1 / 3
"""Share of pairs above which the order in which replies are shown decides too much."""


def direction(patient: Patient) -> Finding:
    """Good replies against blank, gibberish and off-topic ones: sign test over dialogues against one half.

    A dialogue counts as right where the good reply wins more than half of its comparisons, ties as halves; one that is
    exactly in between counts not at all.
    """
    credit = patient.credits.dropna(subset=["credit"])
    if credit.empty:
        return skipped("no comparison could be made")
    by_talk = credit.groupby("cluster_id")["credit"].mean()
    right, wrong = int((by_talk > 0.5).sum()), int((by_talk < 0.5).sum())
    kinds = credit.groupby("subset")["credit"].mean()
    measured = {"accuracy": credit["credit"].mean(), "right": right, "wrong": wrong} | {
        str(k): v for k, v in kinds.items()
    }
    if _p(right, wrong, "less") < WRONG:
        return fail(
            f"bad replies win: {wrong} of {right + wrong} dialogues, where good replies stand against blank, gibberish and "
            "off-topic ones",
            "if scores fall with quality (a cost), put 'direction: lower_is_better' into the spec, or take it out; if the "
            "model was trained for something else than good replies, this is what it rewards",
            **measured,
        )
    if _p(right, wrong, "greater") < RIGHT:
        return ok(**measured)
    return warn(
        f"good replies win in {right} dialogues and lose in {wrong}, against blank, gibberish and off-topic ones: no better than a coin",
        "see that the head is the trained one and the template that of the training",
        **measured,
    )


def _p(right: int, wrong: int, alternative: str) -> float:
    return float(binomtest(right, right + wrong, alternative=alternative).pvalue) if right + wrong else 1.0


def swap(patient: Patient) -> Finding:
    """Calling chosen rejected and rejected chosen turns accuracy a into 1 - a: only texts are scored, not their names."""
    other = outcomes(patient.table(exchanged(patient.items)))
    there, back = (frame["credit"].mean() for frame in (patient.credits, other))
    if np.isnan(there) or np.isnan(back):
        return skipped("no comparison could be made")
    measured = {"accuracy": there, "exchanged": back}
    if abs(there + back - 1) > 1e-9:
        return fail(
            f"accuracy is {there:.3f}, and {back:.3f} with chosen and rejected exchanged; expected {1 - there:.3f}",
            "score a text from its conversation alone: not from the unit's id or side, nor from what was scored before",
            **measured,
        )
    return ok(**measured)


def orders(patient: Patient) -> Finding:
    """Both orders of every pair: how often the same place wins whatever reply stands there."""
    encoded = patient.encoded
    both = [
        (a, b)
        for a, b in zip(encoded[::2], encoded[1::2], strict=True)
        if isinstance(a, Encoded) and isinstance(b, Encoded)
    ]
    if not both:
        return skipped("no comparison could be made")
    first = patient.scores([text for pair in both for text in pair]).reshape(-1, 2)
    first = first[np.isfinite(first).all(axis=1)]
    if not len(first):
        return skipped("no comparison has an answer in both orders")
    flipped = float((np.sign(first - 0.5).prod(axis=1) > 0).mean())
    measured = {"n_pairs": len(first), "flipped": flipped, "mean_first": first.mean()}
    if flipped > FLIPPED:
        return warn(
            f"{flipped:.0%} of {len(first)} pairs have another winner in the other order",
            "expect noisy preferences, though both orders are averaged; see that the prompt and its labels are those of the training",
            **measured,
        )
    return ok(**measured)
