"""Names with a line on each: what `list` prints. A plugin that cannot be loaded is shown as broken and hurts nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import yaml

from harness.datasets import DATASETS
from harness.errors import InputError
from harness.llm.styles import STYLES
from harness.models import catalogue
from harness.models.base import ADAPTERS
from harness.models.spec import ModelSpec
from harness.registry import Registry
from harness.task import TASKS
from harness.text.feature import Feature
from harness.text.features import FEATURES
from harness.text.invariants import INVARIANTS
from harness.text.transforms import TRANSFORMS, Transform

What = str | Mapping[str, str | int]
"""What is said of a name: a sentence, or facts by their names of which `summary` is a sentence."""
Rows = list[tuple[str, What]]

MODELS: Rows = [
    ("null/random", "a trivial model: a number from the reply's id"),
    ("null/longest", "a trivial model: the reply's number of words"),
    ("null/shortest", "a trivial model: minus the reply's number of words"),
    ("scores:FILE", "scores that somebody else computed, joined by id"),
    ("FOLDER", "a saved reward model with reward_model.yaml or a chat template"),
    ("ORG/NAME", "a reward model on the Hugging Face Hub"),
]


def _rows(registry: Registry[Any], what: Callable[[Any], What]) -> Rows:
    rows: Rows = []
    for name in registry.names():
        try:
            rows.append((name, what(registry.get(name))))
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; the others must still be listed
            rows.append((name, f"broken: {type(error).__name__}: {error}"))
    return rows


def _first_line(thing: Any) -> str:
    doc = inspect.getdoc(thing if inspect.isclass(thing) else type(thing)) or ""
    return doc.split("\n")[0]


def _feature(feature: Feature) -> What:
    return {
        "kind": feature.kind,
        "form": feature.form,
        "desired_sign": feature.desired_sign,
        "version": feature.version,
        "summary": (inspect.getdoc(feature.function) or "").split("\n")[0],
    }


def _transform(transform: Transform) -> What:
    return {
        "set": transform.kind,
        "version": transform.version,
        "preserves": " ".join(name for name in INVARIANTS if name in transform.preserves) or "nothing",
        "summary": (inspect.getdoc(transform.function) or "").split("\n")[0],
    }


def _spec(spec: ModelSpec) -> What:
    return {
        "adapter": spec.adapter or "by its config",
        "licence": spec.license or "unknown",
        "summary": (spec.notes or "").split(". ")[0],
    }


def _models() -> Rows:
    """How a model can be named, then the public ones whose spec is known by their id, or by a glob of ids."""
    rows = list(MODELS)
    try:
        for entry in catalogue.entries():
            rows.append((entry.name, _spec(entry.read())))
    except InputError as error:
        rows.append(("ORG/NAME", f"broken: {error}"))
    return rows


def _leaderboards() -> Rows:
    folder = resources.files("harness.leaderboards")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return [(f.name, str(yaml.safe_load(f.read_text(encoding="utf-8")).get("title", ""))) for f in files]


INVENTORY: dict[str, Callable[[], Rows]] = {
    "tasks": lambda: _rows(TASKS, lambda t: f"version {t.meta.version}: {t.meta.summary}"),
    "models": _models,
    "datasets": lambda: _rows(DATASETS, lambda d: getattr(d, "summary", "") or _first_line(d)),
    "leaderboards": _leaderboards,
    "adapters": lambda: _rows(ADAPTERS, _first_line),
    "features": lambda: _rows(FEATURES, _feature),
    "transforms": lambda: _rows(TRANSFORMS, _transform),
    "styles": lambda: _rows(STYLES, lambda s: {"version": s.version, "summary": f"up {s.up}; down {s.down}"}),
}
