"""How to score with well-known public models: specs found by Hub id, those we ship and those of other packages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from types import ModuleType

import yaml

from harness.errors import InputError
from harness.models.spec import ModelSpec

GROUP = "reward_harness.specs"
"""Entry points of this group name a package that holds YAML files, or a function that returns specs."""

OWN = resources.files("harness.models") / "specs"
MODEL_KEY = re.compile(r"""^model:\s*["']?([^\s"'#]+)""", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A spec known by a Hub id, or by a glob in which `*` stands for any text; `read` parses it."""

    name: str
    read: Callable[[], ModelSpec]

    def fits(self, repo_id: str) -> bool:
        """Is it meant for this repository? Case does not matter, as on the Hub."""
        return fnmatchcase(repo_id.casefold(), self.name.casefold())


def find(repo_id: str) -> ModelSpec | None:
    """The spec for a Hub id, with that id as its `model`; None where no spec fits.

    An exact id comes before a glob, a longer glob before a shorter one, and what we ship before what packages add.
    Raises InputError where a spec, or a package that adds some, is broken.
    """
    for source in (shipped, plugged):
        fitting = [entry for entry in source() if entry.fits(repo_id)]
        if fitting:
            best = max(fitting, key=lambda entry: ("*" not in entry.name, len(entry.name)))
            return best.read().model_copy(update={"model": repo_id})
    return None


def entries() -> Iterator[Entry]:
    """All specs, those we ship first."""
    yield from shipped()
    yield from plugged()


def shipped() -> Iterator[Entry]:
    """What this package ships, by file name."""
    return _in_folder(OWN)


def plugged() -> Iterator[Entry]:
    """What other packages add, by the names of their entry points."""
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda p: p.name):
        try:
            found = point.load()
            yield from _in_folder(resources.files(found)) if isinstance(found, ModuleType) else _given(found())
        except Exception as error:
            raise InputError(
                f"the specs {point.name!r} of {point.dist.name if point.dist else point.value} cannot be read: "
                f"{type(error).__name__}: {error}; update or remove that package"
            ) from error


def _in_folder(folder: Traversable) -> Iterator[Entry]:
    """The YAML files of a folder; only the one that is wanted is ever parsed."""
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            text = file.read_text(encoding="utf-8")
            named = MODEL_KEY.search(text)
            if named is None:
                raise InputError(f"{file}: no line 'model: ORG/NAME'")
            yield Entry(named[1], partial(_parse, text, str(file)))


def _given(specs: list[ModelSpec]) -> Iterator[Entry]:
    return (Entry(spec.model, spec.model_copy) for spec in specs)


def _parse(text: str, source: str) -> ModelSpec:
    try:
        return ModelSpec.parse(yaml.safe_load(text), source)
    except yaml.YAMLError as error:
        raise InputError(f"{source} is no YAML: {error}") from error
