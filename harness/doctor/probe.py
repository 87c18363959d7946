"""Does the model say what its card says it says?"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.doctor.finding import Finding, fail, ok, skipped
from harness.doctor.patient import Patient
from harness.doctor.texts import unit
from harness.models.base import Encoded, Unencodable
from harness.models.spec import Probe
from harness.preference import Message


def probe(patient: Patient) -> Finding:
    """The examples of the spec, as the model says them. One without an expected number is shown, to be filled in."""
    probes = patient.spec.probe
    if not probes:
        return skipped("the spec has no probe")
    if patient.compares:
        return skipped("a probe is a score, and this model only compares")
    rows = [
        _row(p, e, patient) for p, e in zip(probes, patient.encode([(_unit(p), None) for p in probes]), strict=True)
    ]
    known = [row for row in rows if row["expected"] is not None]
    off = [row for row in known if row["found"] is None or abs(row["found"] - row["expected"]) > row["atol"]]
    if off:
        said = "; ".join(f"expected {row['expected']:g} within {row['atol']:g}, found {row['found']}" for row in off)
        return fail(
            f"{len(off)} of {len(known)} examples have another score than the spec says: {said}",
            "look at template, BOS, pooling, number format and direction, in this order; or correct the spec's probe",
            probes=rows,
        )
    if not known:
        return skipped("no example of the spec says what is expected; fill in what was found", probes=rows)
    return ok(probes=rows)


def _unit(p: Probe) -> Any:
    *prompt, last = p.messages
    return unit(tuple(Message(m.role, m.content) for m in prompt), last.content)


def _row(p: Probe, encoded: Encoded | Unencodable, patient: Patient) -> dict[str, Any]:
    found = float(patient.scores([encoded])[0]) if isinstance(encoded, Encoded) else np.nan
    return {"expected": p.expected, "found": found if np.isfinite(found) else None, "atol": p.atol}
