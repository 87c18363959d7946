"""What a directed edit of a reply is, and the registry every edit enters itself into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.registry import Registry
from harness.text.feature import FEATURES, suffix

Rewrite = Callable[[str, str], str | None]


@dataclass(frozen=True)
class Edit:
    """A small deterministic change of a reply that moves one surface feature up (`direction` 1) or down (-1).

    As little else as possible moves with it; what does is for the reader of its effect to measure. `version`
    goes up whenever an edited text could change.
    """

    name: str
    version: str
    feature: str
    direction: int
    function: Rewrite

    @property
    def variant(self) -> str:
        """Name of the edited texts in a score table; with the version, as for `Feature.column`."""
        return f"edit/{self.name}{suffix(self.version)}"

    @property
    def __wrapped__(self) -> Rewrite:
        """The function, by which the registry tells an edit that is registered again from another of its name."""
        return self.function

    def apply(self, prompt: str, reply: str) -> str | None:
        """The edited reply; None where there is nothing to edit, nothing would be left, or the feature would not move as declared.

        The last saves each edit from knowing the feature's every detail: an exclamation mark more is no edit of
        a reply that exclaims already, nor a hedge more of one whose rate is at its cap.
        """
        edited = self.function(prompt, reply)
        if edited is None or not edited.strip():
            return None
        measure = FEATURES.get(self.feature).function
        moved = self.direction * (measure(prompt, edited) - measure(prompt, reply))
        return edited if moved > 0 else None


EDITS: Registry[Edit] = Registry("edit", "reward_harness.edits")
"""Every edit by name: those of `harness.text.edits`, of plugins, of entry points."""


def edit(feature: str, direction: int, version: str = "1") -> Callable[[Rewrite], Rewrite]:
    """Decorator that registers a function (prompt text, reply) -> edited reply or None as the edit of its own name.

    `feature` is the name of the feature it moves, `direction` 1 or -1. Raises ValueError for another direction,
    InputError where the name is taken by another function.
    """
    if direction not in (1, -1):
        raise ValueError(f"an edit moves its feature up (1) or down (-1); found direction {direction!r}")

    def enter(function: Rewrite) -> Rewrite:
        """Registers `function`."""
        name = function.__name__
        EDITS.register(name)(Edit(name, version, feature, direction, function))
        return function

    return enter
