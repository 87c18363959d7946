"""Is what the model says a number, and of the kind it should be?"""

from __future__ import annotations

import numpy as np

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.models.base import Unencodable

FLOAT16_MAX = 65504.0
"""The largest number of float16: what overflows is infinite, or was cut to this."""

END = 0.02
"""A sigmoid is saturated this close to 0 or 1: there, differences of four and more in a score vanish."""

PILED, TIED = 0.05, 0.25
"""Share of texts above which saturated scores, and scores that another text has too, are no accident."""


def outputs(patient: Patient) -> Finding:
    """One row of float32 outputs a text, and one score; few texts refused, none without an answer."""
    refused = [e.error for e in patient.encoded if isinstance(e, Unencodable)]
    n = len(patient.encoded)
    if not patient.texts:
        return fail(
            f"none of {n} texts could be encoded: {refused[0] if refused else 'encode gave nothing'}",
            "see what the template and the tokenizer make of a dialogue of user and assistant that ends with a reply",
            n_texts=n,
            n_refused=len(refused),
        )
    rows = patient.outputs(patient.texts)
    patient.raw(rows)
    failed = list(patient.errors.values())
    measured = {"n_texts": n, "n_refused": len(refused), "n_failed": len(failed), "n_outputs": rows.shape[1]}
    if len(failed) == len(patient.texts):
        return fail(f"no text got a score: {failed[0]}", "see why the model says this of every text", **measured)
    if refused or failed:
        reason = f"of {n} texts {len(refused)} were refused and {len(failed)} got no score: {(refused + failed)[0]}"
        return warn(reason, "such texts become failed rows; look at the template if they should be scored", **measured)
    return ok(**measured)


def finite(patient: Patient) -> Finding:
    """Every score is a finite number, and none stands at the edge of float16; but for those the model says that it has not."""
    scores = patient.scores([text for text in patient.texts if text.digest() not in patient.errors])
    wrong = ~np.isfinite(scores)
    edge = np.abs(scores) >= FLOAT16_MAX if patient.dtype == "float16" else np.zeros(len(scores), bool)
    largest = float(np.abs(scores[~wrong]).max()) if not wrong.all() else None
    measured = {
        "n_texts": len(scores),
        "n_not_finite": int(wrong.sum()),
        "n_at_edge": int(edge.sum()),
        "largest": largest,
    }
    n = int((wrong | edge).sum())
    if not n:
        return ok(**measured)
    if patient.dtype == "float16":
        return fail(
            f"{n} of {len(scores)} scores are not finite, or {FLOAT16_MAX:g}, the largest number of float16: numbers overflow",
            "use --dtype bfloat16, which has the range of float32, or --dtype float32",
            **measured,
        )
    return fail(
        f"{n} of {len(scores)} scores are not finite",
        "look for a division by zero (an empty reply, a batch of one) or for weights that are not finite; --dtype float32 "
        "tells whether it is the number format",
        **measured,
    )


def scale(patient: Patient) -> Finding:
    """Scores are logits, or whatever the model was trained to say, and different for different texts.

    A sigmoid after the head keeps the order until it saturates; then texts tie, and every margin is compressed.
    """
    scores = patient.scores(patient.texts)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return skipped("there is no finite score")
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    piled = float(((scores < END) | (scores > 1 - END)).mean())
    _, counts = np.unique(scores, return_counts=True)
    tied = float(counts[counts > 1].sum() / len(scores))
    measured = {"lowest": scores.min(), "highest": scores.max(), "saturated": piled if inside else 0.0, "tied": tied}
    bounded = patient.bounded
    if inside and not bounded and piled > PILED:
        return fail(
            f"all scores lie between 0 and 1, {piled:.0%} of them within {END:g} of an end: a sigmoid is left on",
            "take the logits: a text-classification pipeline with one label applies a sigmoid, so does a server's classify "
            "route; an adapter whose scores are meant to be probabilities says so with 'bounded = True'",
            **measured,
        )
    if tied > TIED:
        return fail(
            f"{tied:.0%} of the texts have exactly the score of another text",
            "look for something behind the head that saturates or rounds, and for a head that reads the same token of every text",
            **measured,
        )
    if inside and not bounded:
        return warn(
            "all scores lie between 0 and 1, as they would behind a sigmoid",
            "nothing, if the model was trained to say such numbers; else take its logits",
            **measured,
        )
    return ok(**measured)


def probability(patient: Patient) -> Finding:
    """P(first preferred) lies between 0 and 1."""
    scores = patient.scores(patient.texts)
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return skipped("there is no finite answer")
    measured = {"lowest": scores.min(), "highest": scores.max()}
    if scores.min() < 0 or scores.max() > 1:
        return fail(
            f"P(first preferred) goes from {scores.min():.3g} to {scores.max():.3g}",
            "forward must give a probability: apply the logistic function to a difference of scores",
            **measured,
        )
    return ok(**measured)
