"""The task's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from harness.text.edits import STANDARD as STANDARD_EDITS
from harness.text.features import STANDARD

STANDARD_NAME = "standard"


@dataclass(frozen=True)
class Params:
    """What is regressed on what.

    `features` are names of registered text features separated by commas, `standard` among them stands for the fixed list;
    `edits` are names of edits likewise; `draws` of the cluster bootstrap, `seed` of every draw, at most `max_pairs` items per (dataset, subset), taken by
    the runner; `edited_texts` items whose replies are edited for the causal companion (0: none).
    """

    features: str = STANDARD_NAME
    edits: str = STANDARD_NAME
    draws: int = 1000
    seed: int = 0
    max_pairs: int | None = 500
    edited_texts: int = 150

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, `standard` spelled out, each once, in order."""
        return _spelled(self.features, STANDARD)

    @property
    def edit_names(self) -> tuple[str, ...]:
        """Names of the edits, likewise."""
        return _spelled(self.edits, STANDARD_EDITS)


def _spelled(names: str, standard: tuple[str, ...]) -> tuple[str, ...]:
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(dict.fromkeys(n for name in listed for n in (standard if name == STANDARD_NAME else (name,))))
