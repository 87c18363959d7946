"""Is a text's score its own, whatever stands beside it in a batch?"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.models.tree import grow, single


def padding(patient: Patient) -> Finding:
    """Texts of different length in one padded batch against the same texts alone.

    Finds code that reads the last column of a batch padded on the right, and code that drops the attention mask.
    """
    return _same(
        patient,
        patient.together,
        patient.alone,
        "in a padded batch and alone",
        "pad on the right, pass the attention mask, and read each text at its own last token, not at the last column",
    )


def order(patient: Patient) -> Finding:
    """One batch against the same batch backwards."""
    backwards = patient.forward([single(text) for text in patient.sample[::-1]])
    return _same(
        patient,
        patient.together,
        patient.raw(backwards)[::-1],
        "in a batch and in the same batch backwards",
        "give outputs back in the order of the batch, and let nothing be computed over the batch",
    )


def sharing(patient: Patient) -> Finding:
    """Texts that begin alike in one row against the same texts alone, where the adapter says that it keeps them apart."""
    shares = patient.loaded().traits.shares
    fitting = {
        text.digest(): score
        for text, score in zip(patient.sample, patient.alone, strict=True)
        if text.type_ids is None and len(text) <= shares
    }
    if len(fitting) < 2:
        return skipped("the adapter shares no row between texts")
    tree = grow([text for text in patient.sample if text.digest() in fitting])
    return _same(
        patient,
        patient.raw(patient.forward([tree])),
        np.array([fitting[text.digest()] for text in tree.texts]),
        "in one row with others and alone",
        "set the adapter's shares to 0",
    )


def _same(patient: Patient, a: np.ndarray, b: np.ndarray, where: str, advice: str) -> Finding:
    """Whether two scores of each text agree up to rounding, and the same texts win."""
    there, here = np.isfinite(a), np.isfinite(b)
    if (there != here).any():
        n = int((there != here).sum())
        return fail(f"{n} of {len(a)} texts have a finite score in one of two places: {where}", advice, n_texts=len(a))
    if not there.any():
        return skipped("there is no finite score")
    a, b = a[there], b[there]
    flips, n_pairs = _flips(a, b)
    worst, rounding = float(np.abs(a - b).max()), patient.rounding
    measured = {"max_delta": worst, "allowed": rounding, "flips": flips, "n_pairs": n_pairs}
    if worst > rounding:
        return fail(
            f"scores of a text {where} differ by up to {worst:.3g}; rounding in {patient.dtype} explains {rounding:.3g}, scores "
            f"of different texts lie {patient.spread:.3g} apart, and {flips} of {n_pairs} pairs change their order",
            advice,
            **measured,
        )
    if flips:
        return warn(
            f"{flips} of {n_pairs} pairs of texts change their order by rounding in {patient.dtype}",
            "use --dtype float32 where close pairs matter",
            **measured,
        )
    return ok(**measured)


def _flips(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """How many pairs of texts are ordered one way by `a` and another by `b`, and how many pairs there are."""
    pairs = list(combinations(range(len(a)), 2))
    return sum(bool(np.sign(a[i] - a[j]) != np.sign(b[i] - b[j])) for i, j in pairs), len(pairs)
