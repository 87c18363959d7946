"""Transforms of replies by what they touch; importing this package registers them all.

A new transform is a decorated function of (prompt text, reply, generator) in a module imported here, or in a plugin:

    @transform("core", preserves=("digits", "urls", "code", "quotes", "negations", "words"), idempotent=True)
    def ellipsis(prompt: str, reply: str, rng: np.random.Generator) -> str:
        "Three full stops become one character."
        return reply.replace("...", "…")

Another distribution can offer a `Transform` as an entry point of the group `reward_harness.transforms`.
"""

from __future__ import annotations

from harness.text.transform import TRANSFORMS, Transform, noise, transform

__all__ = ["SETS", "TRANSFORMS", "Transform", "noise", "spelled", "transform"]

CORE: tuple[str, ...] = ()
NOISE: tuple[str, ...] = ()
NOISE_3: tuple[str, ...] = ()
STRESS: tuple[str, ...] = ()

SETS = {"core": CORE, "noise": NOISE, "noise_3": NOISE_3, "stress": STRESS, "standard": (*CORE, *NOISE_3, *STRESS)}
"""Fixed lists, so that what a mean is over does not depend on what else is installed."""


def spelled(names: str) -> tuple[str, ...]:
    """Names separated by commas, the name of a set standing for its list; each once, in order."""
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(dict.fromkeys(n for name in listed for n in SETS.get(name, (name,))))
