"""Parameters of the task, and the profiles that set them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from harness.errors import InputError

from .scores import SCORES

Percents = Annotated[
    tuple[float, ...], BeforeValidator(lambda given: given.split(",") if isinstance(given, str) else given)
]

UNSET: Any = None
"""A parameter that the profile decides."""

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "score": "attr",
        "site": "mlp",
        "mode": "mean",
        "percents": (1.0, 2.0, 5.0, 10.0),
        "headline": 5.0,
        "controls": 20,
        "pairs": 300,
        "corpus_pairs": 2000,
        "rank": "global",
        "ties": "exact",
        "span": "judged",
        "skip": 4,
        "strict": False,
        "sets": "auto",
    },
    "rigorous": {"controls": 199},
    "quick": {"percents": (5.0,), "controls": 5, "pairs": 60, "corpus_pairs": 300},
    "paper": {
        "score": "signed_mean",
        "site": "activation",
        "mode": "zero",
        "percents": (2.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0, 26.0, 28.0, 30.0),
        "headline": 10.0,
        "ties": "keep",
        "span": "text",
        "skip": 0,
        "strict": True,
        "sets": "siblings_own_corpus",
    },
}
"""What a profile sets; what it leaves out is as in `default`."""


@dataclass(frozen=True)
class Params:
    """`profile` fills every parameter that is not given.

    Scores: `score` (a name in `scores.SCORES`) of the neurons at `site` (`mlp`, `attention`: heads,
    `activation`), over the tokens of `span` without the first `skip` positions, on at most `corpus_pairs` pairs an
    objective. Sets: the best `percents` per cent, `rank` globally or in every layer, of `ties` exactly that many or
    all; `sets` says of which two scores (`design.SOURCES`). Ablation: `mode` mean, zero or resample,
    on at most `pairs` items a group; `controls` draws of each kind at the `headline` per cent. `strict` counts ties as
    wrong. `draws`: bootstrap draws. `seed`: of every random choice.
    """

    profile: Literal["default", "rigorous", "quick", "paper"] = "default"
    score: str = UNSET
    site: Literal["mlp", "attention", "activation"] = UNSET
    mode: Literal["mean", "zero", "resample"] = UNSET
    percents: Percents = UNSET
    headline: float = UNSET
    controls: int = UNSET
    pairs: int = UNSET
    corpus_pairs: int = UNSET
    rank: Literal["global", "layer"] = UNSET
    ties: Literal["exact", "keep"] = UNSET
    span: Literal["judged", "response", "text"] = UNSET
    skip: int = UNSET
    strict: bool = UNSET
    sets: Literal["auto", "corpora", "siblings", "siblings_own_corpus"] = UNSET
    draws: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not UNSET}
        for name, value in {**PROFILES["default"], **PROFILES[self.profile], **given}.items():
            object.__setattr__(self, name, value)
        wrong = [p for p in (*self.percents, self.headline) if not 0 < p <= 50]
        if wrong or not self.percents:
            raise InputError(
                f"percents of neurons lie above 0 and up to 50; found {wrong or 'none'}, try percents=1,5,10"
            )
        if self.score not in SCORES:
            raise InputError(f"neuron_ablation.score={self.score}: known scores are {', '.join(SCORES)}")
        least = {"controls": 0, "skip": 0, "draws": 0, "pairs": 2, "corpus_pairs": 2}
        for name, n in least.items():
            if getattr(self, name) < n:
                raise InputError(f"neuron_ablation.{name}={getattr(self, name)}: expected at least {n}")
        if (self.rank, self.ties) == ("layer", "keep"):
            raise InputError("neuron_ablation.ties=keep is the paper's rule, which ranks globally; use ties=exact")

    @property
    def levels(self) -> tuple[float, ...]:
        """All percentages, the headline among them, ascending."""
        return tuple(sorted({*self.percents, self.headline}))
