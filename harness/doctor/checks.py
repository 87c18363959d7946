"""Which checks there are, in the order in which they are made, and what each applies to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.doctor import again, company, numbers, preference, probe, reading, tokens
from harness.doctor.finding import Finding
from harness.doctor.patient import Patient

VERSION = "1"
"""Raised where a check finds something else than before: what was found earlier is then not relied upon."""


@dataclass(frozen=True)
class Check:
    """A question to a model.

    `first` says that it is asked of every model that judges texts, in every form. `of` is the capability it is about,
    empty for any; `exact` that an answer in words has nothing to do with it; `twice` that the model is loaded again.
    """

    name: str
    run: Callable[[Patient], Finding]
    first: bool = False
    of: str = ""
    exact: bool = False
    twice: bool = False


CHECKS = (
    Check("outputs", numbers.outputs, first=True),
    Check("finite", numbers.finite, first=True),
    Check("padding", company.padding, exact=True),
    Check("order", company.order, exact=True),
    Check("sharing", company.sharing, exact=True),
    Check("bos", tokens.bos),
    Check("reply", tokens.reply),
    Check("reply_end", tokens.reply_end),
    Check("truncation", tokens.truncation),
    Check("pooling", reading.pooling, exact=True),
    Check("end_token", reading.end_token, exact=True),
    Check("direction", preference.direction),
    Check("swap", preference.swap),
    Check("scale", numbers.scale, of="scores", exact=True),
    Check("probability", numbers.probability, of="compares"),
    Check("orders", preference.orders, of="compares"),
    Check("probe", probe.probe),
    Check("random_head", again.random_head, twice=True, exact=True),
    Check("attention", again.attention, twice=True, exact=True),
)
