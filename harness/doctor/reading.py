"""Is the score read where the text ends? Changes at the end of a text that must change its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.doctor.texts import other_ends
from harness.doctor.tokens import encoded_twins
from harness.models.base import Encoded

N = 4
"""Texts whose last token is changed."""


def pooling(patient: Patient) -> Finding:
    """Replies that differ in their last words have other scores: to a question, and at the end of a dialogue.

    Finds a score that is read before the end, such as at the first end-of-text token of several turns.
    """
    pairs = {t.name: [(a, b) for a, b in encoded_twins(patient, t) if a.digest() != b.digest()] for t in other_ends()}
    moved = {name: patient.scores([t for p in some for t in p]).reshape(-1, 2) for name, some in pairs.items() if some}
    if not moved:
        return skipped("the texts' ends could not be encoded, or were cut off")
    deltas = {name: float(np.abs(scores[:, 0] - scores[:, 1]).min()) for name, scores in moved.items()}
    unread = [name for name, scores in moved.items() for a, b in scores if patient.unmoved(a, b)]
    if unread:
        return fail(
            f"the last words of the reply do not change the score after {', '.join(dict.fromkeys(unread))}",
            "see where the score is read (the spec's pooling): it must be behind the whole reply",
            deltas=deltas,
        )
    return ok(deltas=deltas)


def end_token(patient: Patient) -> Finding:
    """Without the last token of the template, or with another one in its place, the score is another.

    Without it: finds a pad token that is also the end token, which stock pooling passes over. Another in its place:
    finds pooling that is off by one.
    """
    if "steps" in patient.capabilities:
        return skipped("the model is read at the ends of steps")
    tail = _tail(patient.texts)
    if not tail:
        return skipped("the texts end in no token of the template's own")
    texts = _longest(patient.texts)
    last = int(texts[0].ids[-1])
    deltas = {
        "without": patient.scores([_without(text) for text in texts]),
        "another": patient.scores([_another(text, patient.said.get("pad_token_id")) for text in texts]),
    }
    scores = patient.scores(texts)
    unread = [name for name, changed in deltas.items() if patient.unmoved(scores, changed)]
    measured = {"token_id": last} | {name: float(np.abs(scores - d).max()) for name, d in deltas.items()}
    if not unread:
        return ok(**measured)
    how = " and ".join({"without": "is left out", "another": "is another"}[name] for name in unread)
    reason = f"the score is the same where the last token of the text (id {last}) {how}: it is not read"
    if "pooling" in patient.spec.model_fields_set:
        return warn(
            f"{reason}, as the spec's pooling: {patient.spec.pooling} says", "nothing, if it was trained so", **measured
        )
    return fail(
        reason,
        "put 'pooling: last_attended' into its spec if the model was trained to be read at the end token, or 'pooling: native' "
        "if it was trained as stock code does, with a pad token that is passed over",
        **measured,
    )


def _tail(texts: Sequence[Encoded]) -> int:
    """How many last tokens all texts share."""
    columns = zip(*(text.ids[::-1].tolist() for text in texts), strict=False)
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, columns))


def _longest(texts: Sequence[Encoded]) -> list[Encoded]:
    return sorted(texts, key=len)[-N:]


def _without(text: Encoded) -> Encoded:
    return replace(text, ids=text.ids[:-1], type_ids=None if text.type_ids is None else text.type_ids[:-1])


def _another(text: Encoded, pad: object) -> Encoded:
    """The text with a token from its middle at its end, one that is neither the last one nor the pad token."""
    middle = text.ids[len(text) // 2 :]
    fitting = middle[(middle != text.ids[-1]) & (middle != (-1 if pad is None else pad))]
    return replace(text, ids=np.concatenate([text.ids[:-1], fitting[:1]]))
