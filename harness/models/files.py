"""The files of a model on disk: which of them can change a score, and their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models import peft_adapter
from harness.models.sniff import read_json
from harness.preference import canonical_json

if TYPE_CHECKING:
    from harness.models.base import Resolved

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken")
CONFIGS = (
    "config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", *VOCABULARIES,
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
HEADS = ("value_head.safetensors",)
"""Files beside the weights, of whatever form these are."""
PICKLED_HEADS = ("value_head.bin",)
"""Pickled files beside weights that may not be: read only where that was allowed."""
CODE = ("*.py",)
SPEC_FILE = "reward_model.yaml"


def sha256_file(path: Path) -> str:
    """Sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class ModelFiles:
    """A folder with a model, or with an adapter of the model `base`. `name` is `org/model`; `commit` the Hub revision, None
    for a folder of the user's own.
    """

    root: Path
    name: str
    commit: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    base: ModelFiles | None = None

    @classmethod
    def local(cls, root: Path, trust_remote_code: bool, allow_pickle: bool) -> ModelFiles:
        """The files in a folder; raises InputError where it is none."""
        if not root.is_dir():
            raise InputError(
                f"{root} is a file; expected the folder of a model, with config.json and model.safetensors"
            )
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name) or "model"
        return cls(root, f"local/{safe}", None, trust_remote_code, allow_pickle)

    @classmethod
    def of(cls, resolved: Resolved) -> ModelFiles:
        """The files of a model that was found."""
        assert resolved.path is not None, "a model without files has none to load"
        files = cls(resolved.path, resolved.name, None, resolved.trust_remote_code, resolved.allow_pickle)
        return files if resolved.patch is None else replace(files, root=resolved.patch, base=files)

    def _glob(self, patterns: tuple[str, ...]) -> Iterator[Path]:
        return (path for pattern in patterns for path in sorted(self.root.glob(pattern)) if path.is_file())

    def config(self) -> dict[str, Any]:
        """The model's config; raises InputError, saying what lies there instead, where there is none."""
        if self.base is not None:
            return peft_adapter.over(self.base.config(), self.root)
        path = self.root / "config.json"
        if path.is_file():
            return read_json(path)
        raise InputError(f"{self.root} has no config.json; expected a folder saved with save_pretrained()")

    @property
    def checkpoint(self) -> Path:
        """The folder of the whole model: the base's, of an adapter."""
        return self.root if self.base is None else self.base.root

    @property
    def tokenizer_root(self) -> Path:
        """Where the tokenizer lies: with the adapter if it brings one, else with its base."""
        own = any((self.root / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
        return self.root if own or self.base is None else self.base.tokenizer_root

    def has_tokenizer(self) -> bool:
        """Is there a file with the tokenizer's vocabulary?"""
        return any(path.is_file() for pattern in VOCABULARIES for path in self.tokenizer_root.glob(pattern))

    def tokenizer_config(self) -> dict[str, Any]:
        """The tokenizer's config, empty where there is none."""
        path = self.tokenizer_root / "tokenizer_config.json"
        return read_json(path) if path.is_file() else {}

    def has_chat_template(self) -> bool:
        """Does the tokenizer bring a chat template?"""
        places = (self.tokenizer_root / name for name in ("chat_template.jinja", "chat_template.json"))
        beside = any(path.is_file() for path in places)
        return beside or bool(self.tokenizer_config().get("chat_template"))

    def safetensors(self) -> list[Path]:
        """The safetensors files that are here."""
        return [path for path in self._glob((*self._main[0], *HEADS)) if path.suffix == ".safetensors"]

    def weights(self) -> list[Path]:
        """Files with weights: safetensors, or pickled ones where those were allowed and there is nothing else; an adapter's before its base's.

        Raises InputError where there are no weights, or only pickled ones that were not allowed.
        """
        safe, pickled = ([p for p in self._glob(main) if p.suffix != ".json"] for main in self._main)
        if not safe and pickled and not self.allow_pickle:
            raise InputError(
                f"{self.root} has only pickled weights ({pickled[0].name}); add --allow-pickle if you trust them, "
                "or save the model as safetensors"
            )
        if not safe and not pickled:
            raise InputError(
                f"{self.root} has a config but no weights; expected {self._main[0][0].replace('*', '')} beside it"
            )
        heads = self._glob((*HEADS, *(PICKLED_HEADS if self.allow_pickle else ())))
        return [*(safe or pickled), *heads, *(self.base.weights() if self.base else [])]

    @property
    def _main(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Patterns of what there must be, as safetensors and pickled."""
        return (WEIGHTS, PICKLES) if self.base is None else ((peft_adapter.WEIGHTS,), (peft_adapter.PICKLED,))

    def content(self, hash_file: Callable[[Path], str]) -> str:
        """Sha256 over names and bytes of all that can change a score; on the Hub the commit stands for the bytes."""
        if self.base is not None:
            both = [self._own_content(hash_file), self.base.content(hash_file)]
            return hashlib.sha256(canonical_json(both).encode()).hexdigest()
        return self._own_content(hash_file)

    def _own_content(self, hash_file: Callable[[Path], str]) -> str:
        if self.commit is not None:
            return hashlib.sha256(canonical_json([self.name, self.commit]).encode()).hexdigest()
        indices = ("model.safetensors.index.json", "pytorch_model.bin.index.json", peft_adapter.CONFIG)
        patterns = (*CONFIGS, *indices, *(CODE if self.trust_remote_code else ()))
        own = {path for path in self.weights() if path.parent == self.root}
        rows = [[path.name, hash_file(path)] for path in sorted({*self._glob(patterns), *own})]
        return hashlib.sha256(canonical_json(rows).encode()).hexdigest()
