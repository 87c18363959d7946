"""`list`: what there is to name, and the neurons of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from harness.cli import options as o
from harness.errors import InputError

OF_A_MODEL = ("model", "revision", "spec", "trust_remote_code", "allow_pickle")
"""Options that only `list neurons` has a use for."""


class Kind(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    models = "models"
    datasets = "datasets"
    leaderboards = "leaderboards"
    adapters = "adapters"
    features = "features"
    transforms = "transforms"
    styles = "styles"
    neurons = "neurons"


def list_(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="tasks, models, datasets, leaderboards, adapters, features, transforms, styles, or neurons."
        ),
    ],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Whose neurons: a folder or Hub id.")] = None,
    revision: o.Revision = None,
    spec: o.Spec = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    plugin: o.Plugin = None,
    as_json: o.Json = False,
) -> None:
    """List what is registered, one name a line with what it is. `list neurons --model M`: where a model's neurons are."""
    given = dict(locals())
    if kind is Kind.neurons:
        _list_neurons(given)
        return
    extra = [name for name in OF_A_MODEL if given[name]]
    if extra:
        raise InputError(
            f"--{extra[0].replace('_', '-')} is for neurons, not {kind.value}: reward-harness list neurons --model M"
        )
    from harness.inventory import INVENTORY

    o.load_plugins(plugin)
    rows = INVENTORY[kind.value]()
    _print([(name, _sentence(what)) for name, what in rows], dict(rows), as_json)


def _list_neurons(given: Mapping[str, Any]) -> None:
    from harness.config import LoadOptions
    from harness.neurons import neurons, sentence

    if given["model"] is None:
        raise InputError("neurons are a model's: name it by folder or Hub id, reward-harness list neurons --model M")
    o.load_plugins(given["plugin"])
    found = neurons(given["model"], LoadOptions(**{name: given[name] for name in OF_A_MODEL[1:]}))
    _print([(kind, sentence(group)) for kind, groups in found.items() for group in groups], found, given["as_json"])


def _sentence(what: str | Mapping[str, Any]) -> str:
    if isinstance(what, str):
        return what
    facts = ", ".join(f"{name} {value}" for name, value in what.items() if name != "summary")
    return f"{facts}: {what['summary']}"


def _print(rows: Sequence[tuple[str, str]], found: Any, as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps(found))
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name:<{width}}  {text}".rstrip())
