"""What an examination says: a finding a check, and all of them together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "warn", "fail", "skipped"]
Form = Literal["short", "full"]
DIGITS = 6
"""Significant digits of what was measured."""


@dataclass(frozen=True)
class Finding:
    """One check: its outcome, in words why, what was measured, and what to do about it.

    `reason` is never empty where the status is not `ok`, `advice` never where it is `warn` or `fail`.
    """

    check: str
    status: Status
    reason: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings on one model, in the order of the checks. `version` is that of the checks: another one may find other things."""

    model: str
    fingerprint: str
    form: Form
    version: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings and skipped checks are no failures."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(f.check for f in self.findings if f.status == "fail")

    @property
    def said(self) -> bool:
        """Whether any check was done at all."""
        return any(f.status != "skipped" for f in self.findings)

    def finding(self, check: str) -> Finding:
        """What this check found; raises KeyError where there is no such check."""
        return {f.check: f for f in self.findings}[check]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data; `from_dict` reads it back."""
        return asdict(self) | {"findings": [asdict(f) for f in self.findings]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Examination:
        """What `to_dict` gave."""
        return cls(**(dict(data) | {"findings": tuple(Finding(**f) for f in data["findings"])}))

    def to_frame(self) -> pd.DataFrame:
        """One row a check: check, status, reason, measured, advice."""
        import pandas as pd

        return pd.DataFrame([asdict(f) for f in self.findings])


# --- how checks say it: the name of the check is added by whoever ran it ------------------------


def ok(reason: str = "", /, **measured: Any) -> Finding:
    """Nothing to complain of."""
    return Finding("", "ok", reason, _json(measured))


def warn(reason: str, advice: str, /, **measured: Any) -> Finding:
    """Something a reader of the scores should know."""
    return Finding("", "warn", reason, _json(measured), advice)


def fail(reason: str, advice: str, /, **measured: Any) -> Finding:
    """Something that makes the scores wrong."""
    return Finding("", "fail", reason, _json(measured), advice)


def skipped(reason: str, /, **measured: Any) -> Finding:
    """The check does not apply here."""
    return Finding("", "skipped", reason, _json(measured))


def _json(value: Any) -> Any:
    """The value without numpy types, floats to `DIGITS` digits, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, float):
        return plain
    return float(f"{plain:.{DIGITS}g}") if math.isfinite(plain) else None
