"""`ModelSpec`: how to score with a model, as data. The file form is `reward_model.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError


class Frozen(BaseModel):
    """Base of everything that is read from or written to a file: immutable, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ProbeMessage(Frozen):
    """One turn of a probe."""

    role: Literal["system", "user", "assistant"]
    content: str


class Probe(Frozen):
    """A conversation with the score the model's author states for it."""

    messages: tuple[ProbeMessage, ...]
    expected: float | None = None
    atol: float = 1e-3


class Heads(Frozen):
    """Names and weights of a head with several outputs: score = sum of weight x output."""

    names: tuple[str, ...] = ()
    weights: tuple[float, ...]


Template = str | dict[str, str]
"""`tokenizer`, `hh`, `raw`, `{pair: hh}`, `{pair: plain}` or `{jinja: TEXT}`."""


class ModelSpec(Frozen):
    """Everything that decides a score besides the weights. `None` means: decided at load time, and recorded then."""

    model: str
    revision: str | None = None
    adapter: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    template: Template | None = None
    bos: Literal["auto", "none", "single", "double"] = "auto"
    max_length: int | None = Field(default=None, gt=0)
    truncation: Literal["prompt_left", "left", "right", "error"] = "prompt_left"
    pooling: str = "native"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attn_implementation: str | None = None
    quantization: dict[str, Any] | None = None
    """Settings with `quant_method`, as transformers takes them; of a quantised checkpoint its own method, as a sign of consent."""
    heads: Heads | None = None
    direction: Literal["higher_is_better", "lower_is_better"] = "higher_is_better"
    license: str | None = None
    training_datasets: tuple[str, ...] | None = None
    probe: tuple[Probe, ...] = ()
    requires: tuple[str, ...] = ()
    notes: str | None = None

    def identity(self) -> dict[str, Any]:
        """The fields that can change a score, without the prose about the model."""
        prose = {"model", "revision", "license", "training_datasets", "probe", "requires", "notes"}
        unsaid = {"quantization"} if self.quantization is None else set()
        return self.model_dump(mode="json", exclude=prose | unsaid)

    @classmethod
    def read(cls, path: Path) -> ModelSpec:
        """The spec in a YAML file; raises InputError naming the file, the key and what it expects."""
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"cannot read the model spec {path}: {error}") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: object, source: str) -> ModelSpec:
        """The spec in parsed data; `source` names it in errors."""
        if not isinstance(data, dict):
            raise InputError(
                f"{source}: expected a mapping of spec keys such as 'model: .', found {type(data).__name__}"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"]) or "the file"
            known = ", ".join(cls.model_fields)
            raise InputError(f"{source}: {where}: {first['msg']}; a spec's keys are {known}") from error
