"""Which kind of reward model lies in a folder: every registered kind is asked, by config and names of tensors, never by weights."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.errors import InputError
from harness.models.base import ADAPTERS, Adapter


def adapter_name(config: Mapping[str, Any], tensors: Set[str] | None, source: str) -> str:
    """The one adapter that recognises a model; `tensors` are None where their names are not known.

    Raises InputError with what was found, and what each kind would need, where none does or several do.
    """
    kinds = _kinds()
    found = [name for name, kind in kinds.items() if kind.recognises(config, tensors)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{source} looks like a model of several kinds; say which it is: --spec FILE with 'adapter:' one of {', '.join(found)}"
        )
    architectures = ", ".join(config.get("architectures") or ["no architecture"])
    needs = "; ".join(f"{name} ({kind.asks})" for name, kind in kinds.items() if kind.asks)
    raise InputError(
        f"{source}: its config says {architectures}: {_why(architectures, config)}. If it is a reward model, say how to "
        f"score with it: --spec FILE with 'adapter:' one of {needs}"
    )


def _kinds() -> dict[str, type[Adapter]]:
    """All kinds that can be loaded, by name: a plugin that cannot hurts no other."""
    found = {}
    for name in ADAPTERS.names():
        try:
            found[name] = ADAPTERS.get(name)
        except Exception:  # noqa: BLE001 - a third party's module may raise anything; `list adapters` shows it
            continue
    return found


def _why(architectures: str, config: Mapping[str, Any]) -> str:
    if config.get("auto_map"):
        return "code of its own, in its repository; --trust-remote-code and 'adapter: remote-code' would run it"
    if architectures.endswith(("ForCausalLM", "LMHeadModel")):
        return "a language model, which has no reward head"
    return "not a reward model we know"
