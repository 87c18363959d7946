"""Is it the checkpoint that scores? The model loaded a second time, otherwise than the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from harness.doctor.finding import Finding, fail, ok, skipped, warn
from harness.doctor.patient import Patient
from harness.errors import InputError
from harness.models.base import Resolved
from harness.models.tree import single

SEED = 20_240_229
"""Any seed that a first loading will hardly have had."""

EAGER = "eager"


def random_head(patient: Patient) -> Finding:
    """Loaded again under another torch seed, the model says the same; what does not is no part of the checkpoint."""
    if patient.resolved.instance is not None:
        return skipped("the adapter was handed over as an object and cannot be loaded again")
    with _seeded():
        worst = _difference(patient, patient.resolved)
    measured = {"max_delta": worst, "allowed": patient.rounding}
    if worst > patient.rounding:
        return fail(
            f"scores differ by up to {worst:.3g} from those of the same model loaded again under another seed: some of its "
            "tensors are random, the head most likely",
            "look for tensors that are missing from the checkpoint (output_loading_info=True), and use the class it was saved with",
            **measured,
        )
    return ok(**measured)


def attention(patient: Patient) -> Finding:
    """The spec's attention against attention that is written out."""
    resolved, chosen = patient.resolved, patient.spec.attn_implementation
    if resolved.instance is not None:
        return skipped("the adapter was handed over as an object and cannot be loaded again")
    if chosen in (None, EAGER):
        return skipped("its attention is eager already" if chosen else "the spec names no attention")
    spec = patient.spec.model_copy(update={"attn_implementation": EAGER})
    try:
        worst = _difference(patient, replace(resolved, spec=spec))
    except InputError as error:
        return skipped(f"it cannot be loaded with eager attention: {error}")
    measured = {"attention": chosen, "max_delta": worst, "allowed": patient.rounding}
    if worst > patient.rounding:
        return warn(
            f"scores with attention {chosen} and with eager attention differ by up to {worst:.3g}; rounding in {patient.dtype} "
            f"explains {patient.rounding:.3g}",
            "put the attention that the model was trained with into its spec (attn_implementation); of some models, Gemma 2 "
            "for one, others leave something out",
            **measured,
        )
    return ok(**measured)


def _difference(patient: Patient, resolved: Resolved) -> float:
    """Largest difference of finite scores of the sample, in the same batch, by a new instance; the first is let go of before."""
    texts, first = patient.sample, patient.together
    patient.release()
    other = Patient(resolved, resolved.load())
    second = other.raw(other.forward([single(text) for text in texts]))
    both = np.isfinite(first) & np.isfinite(second)
    return float(np.abs(first - second)[both].max(initial=0.0))


@contextmanager
def _seeded() -> Iterator[None]:
    """Torch's generators under `SEED`, and as they were afterwards."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(SEED)
        yield
