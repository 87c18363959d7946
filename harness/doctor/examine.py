"""An examination: load, then every check that applies, each with a finding whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.doctor.checks import CHECKS, VERSION, Check
from harness.doctor.finding import Examination, Finding, Form, fail, ok, skipped
from harness.doctor.patient import Patient
from harness.errors import HarnessError
from harness.models.base import Adapter, Resolved

LOAD = "load"


def examine(resolved: Resolved, full: bool = True, adapter: Adapter | None = None) -> Examination:
    """Examine a model: about a hundred short texts in two dozen forward passes; one finding a check, in a fixed order.

    The full form loads it twice more: under another seed, and with eager attention. The short form does not, and asks
    nothing of a model that writes its answers or lies behind an address. `adapter` is the model if it is in memory already. A model that
    cannot be loaded, or that raises, has failed; nothing is raised.
    """
    form: Form = "full" if full else "short"
    try:
        patient = Patient(resolved, adapter or resolved.load())
    except Exception as error:  # noqa: BLE001 - a third party's adapter may raise anything: that is the finding
        return failed_to_load(resolved.name, error, form, resolved.fingerprint)
    del adapter  # The second copy needs its room.
    findings = (replace(ok(adapter=resolved.adapter.__name__), check=LOAD), *_findings(patient, full))
    return Examination(resolved.name, resolved.fingerprint, form, VERSION, findings)


def failed_to_load(model: str, error: Exception, form: Form = "full", fingerprint: str = "") -> Examination:
    """The examination of a model that is there and cannot be loaded."""
    known = isinstance(error, HarnessError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    advice = (
        "do what the reason says" if known else "the adapter must raise InputError with the cure where it cannot load"
    )
    rest = (replace(skipped("the model could not be loaded"), check=check.name) for check in CHECKS)
    return Examination(model, fingerprint, form, VERSION, (replace(fail(reason, advice), check=LOAD), *rest))


def not_examined(resolved: Resolved, reason: str) -> Examination:
    """The examination of a model that was not examined."""
    skips = (replace(skipped(reason), check=name) for name in (LOAD, *(check.name for check in CHECKS)))
    return Examination(resolved.name, resolved.fingerprint, "short", VERSION, tuple(skips))


def _findings(patient: Patient, full: bool) -> Iterator[Finding]:
    """A finding of every check. Where the first ones fail there are no numbers, and the rest is skipped."""
    broken = ""
    for check in CHECKS:
        reason = excused(check, patient, full) or broken
        found = replace(skipped(reason) if reason else _run(check, patient), check=check.name)
        if check.name == "outputs" and found.status == "fail":
            broken = "the model gives no outputs"
        yield found


def _run(check: Check, patient: Patient) -> Finding:
    try:
        return check.run(patient)
    except Exception as error:  # noqa: BLE001 - as in `examine`
        said = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        return fail(said, "see why the adapter raises this for a text of ours")


def excused(check: Check, patient: Patient, full: bool) -> str:
    """Why a check does not apply to a model, or nothing."""
    can, wordy = patient.capabilities, "generates" in patient.capabilities
    reasons = {
        f"it offers {', '.join(sorted(can)) or 'nothing'}, and judges no text": not can & {"scores", "compares"},
        "it reads more of a text than the conversation, or another thing": patient.reads_unit_ids and not check.first,
        "its answers are costly; type reward-harness doctor for it": (wordy or patient.remote) and not full,
        f"it is about models that offer {check.of}": bool(check.of) and check.of not in can,
        "it answers in words": check.exact and wordy,
        "its server decides that": check.twice and patient.remote,
        "only the full form loads a model again; type reward-harness doctor": check.twice and not full,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
