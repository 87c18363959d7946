"""What `list neurons` tells: where a model's neurons are, how many, and why there are none where there are none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from harness.config import LoadOptions, Model, resolve_model
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models.sites import SITES

if TYPE_CHECKING:
    from harness.models.sites import Site

NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def neurons(model: Model, options: LoadOptions | None = None) -> dict[str, list[dict[str, Any]]]:
    """By kind of neuron: one entry a group of layers alike, with their `path` (numbers are *), the number of `layers`,
    of `neurons` a layer, of `heads` a layer (0: no heads), and the `total` of neurons; or one with the reason why there
    are none, `missing`.

    Loads the model. Raises InputError where that fails, and where its neurons cannot be read, saying what was seen.
    """
    with closing(ScoreStore()) as memory:
        resolved = resolve_model(model, options or LoadOptions(), memory)
    if "neurons" not in resolved.adapter.capabilities:
        offered = ", ".join(sorted(resolved.adapter.capabilities))
        raise InputError(f"{resolved.name} has no neurons: it offers {offered}; name a transformers model")
    adapter = resolved.load()
    if (reason := adapter.describe().get("neurons_missing")) is not None:
        raise InputError(f"{resolved.name} lacks neurons: {reason}")
    return {kind: _groups(adapter.sites, kind) for kind in SITES}


def sentence(group: Mapping[str, Any]) -> str:
    """A group of layers in words."""
    if "missing" in group:
        return f"none: {group['missing']}"
    heads = f" in {group['heads']} heads" if group["heads"] else ""
    return f"{group['path']}: {group['layers']} layers of {group['neurons']}{heads}, {group['total']} in all"


def _groups(sites: Mapping[str, Sequence[Site]], kind: str) -> list[dict[str, Any]]:
    try:
        layers = sites[kind]
    except InputError as error:
        return [{"missing": str(error)}]
    alike: dict[tuple[str, int, int], int] = {}
    for site in layers:
        group = NUMBER.sub("*", site.path), site.width, site.heads
        alike[group] = alike.get(group, 0) + 1
    return [
        {"path": path, "layers": n, "neurons": width, "heads": heads, "total": n * width}
        for (path, width, heads), n in alike.items()
    ]
