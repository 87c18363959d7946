"""What becomes of a reply that was to be rewritten, by a transform or by a language model."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "none"
VALID = "valid"


@dataclass(frozen=True)
class Rewritten:
    """The rewritten text, and the checks it failed by name (empty: a valid rewrite).

    Without a text nothing was there to rewrite, or nobody did: `problems` then say why, empty where a transform does
    not apply.
    """

    text: str | None
    problems: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`none` where a transform does not apply, `valid`, or the problems joined by `+`."""
        if self.problems:
            return "+".join(self.problems)
        return NONE if self.text is None else VALID
