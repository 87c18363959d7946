"""Names to objects: one small registry for every kind of thing that can be added without touching our code."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.errors import InputError

T = TypeVar("T")
D = TypeVar("D")
OWN_DISTRIBUTION = "reward-harness"
PLUGIN = "reward_harness_plugin_"
"""How the names of modules begin that `load_plugin` has run: nothing else can import them."""


class UnknownNameError(InputError):
    """A name no registry entry answers to; the text lists the nearest ones."""


class Registry(Generic[T]):
    """Names of one kind of object, found without importing any of them.

    Three sources, one path: modules (or folders) of `package`, where there is one, whose file name is the name
    and which register themselves when imported; entry points of `group` in other distributions, named
    `distribution/name`; and whatever `register` was called on directly. A built-in cannot be shadowed.
    """

    def __init__(self, kind: str, group: str, package: str = "", module: str = "") -> None:
        self.kind, self.group, self.package, self.module = kind, group, package, module
        self._objects: dict[str, T] = {}

    def register(self, name: str) -> Callable[[D], D]:
        """Class or function decorator that enters the decorated object under `name`.

        Raises InputError where another object has the name; the same one again, as when its file runs twice, has not.
        """

        def enter(obj: D) -> D:
            known = self._objects.get(name)
            if known is not None and _origin(known) != _origin(obj):
                raise InputError(f"two {self.kind}s are called {name!r}; rename one of them")
            self._objects[name] = obj  # type: ignore[assignment]
            return obj

        return enter

    def names(self) -> list[str]:
        """All names, sorted; imports nothing."""
        return sorted({*self._modules(), *self._plugins(), *self._objects})

    def get(self, name: str) -> T:
        """The object called `name`; raises UnknownNameError with the nearest names where there is none."""
        if name not in self._objects:
            modules, plugins = self._modules(), self._plugins()
            if name in modules:
                importlib.import_module(modules[name])
            elif name in plugins:
                self._objects[name] = plugins[name].load()
            if name not in self._objects:
                raise UnknownNameError(self._unknown(name))
        return self._objects[name]

    def _modules(self) -> dict[str, str]:
        spec = importlib.util.find_spec(self.package) if self.package else None
        if spec is None or spec.submodule_search_locations is None:
            return {}
        found = (m.name for m in pkgutil.iter_modules(list(spec.submodule_search_locations)))
        suffix = f".{self.module}" if self.module else ""
        return {self._spell(n): f"{self.package}.{n}{suffix}" for n in found if not n.startswith("_")}

    def _spell(self, module: str) -> str:
        return module if self.module else module.replace("_", "-")

    def _plugins(self) -> dict[str, EntryPoint]:
        return {
            f"{e.dist.name}/{e.name}": e
            for e in entry_points(group=self.group)
            if e.dist is not None and e.dist.name != OWN_DISTRIBUTION
        }

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self.names()) or 'none'}."
        return f"unknown {self.kind} {name!r}; {hint}"


def _origin(obj: Any) -> tuple[Any, Any]:
    """Where an object is defined, or the function it wraps."""
    defined = inspect.unwrap(obj)
    return getattr(defined, "__module__", None), getattr(defined, "__qualname__", defined)


def load_plugin(path: str | Path) -> None:
    """Run a Python file, or the `*.py` files of a folder, so that what they register is known.

    Raises InputError where the path is neither, or where the file does not run.
    """
    path = Path(path)
    files = sorted(path.glob("*.py")) if path.is_dir() else [path]
    if not files or not all(f.is_file() and f.suffix == ".py" for f in files):
        raise InputError(f"--plugin expects a Python file or a folder of them; found {path}")
    for file in files:
        name = f"{PLUGIN}{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise InputError(f"plugin {file} does not run: {type(error).__name__}: {error}") from error
