"""An OpenAI-compatible endpoint as data: a YAML file of a few lines."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from harness.errors import InputError
from harness.llm.ask import Mode
from harness.models.spec import Frozen


class Endpoint(Frozen):
    """Which model answers where, how it samples, what it may cost, and how hard it may be pressed.

    The key itself is never here: `api_key_env` names the environment variable that holds it. Prices are dollars per
    million tokens; without them a cost is unknown, and `--max-cost` refuses to start.
    """

    model: str
    base_url: str | None = None
    """None: OpenAI's own."""
    api_key_env: str = "OPENAI_API_KEY"
    structured: Literal["auto", Mode] = "auto"
    """How JSON is asked for; `auto` tries the strict schema once and goes down until the server follows."""
    temperature: float = Field(0.0, ge=0, le=2)
    seed: int | None = 0
    max_tokens: int = Field(800, ge=1)
    timeout_s: float = Field(120.0, gt=0)
    max_retries: int = Field(6, ge=0)
    concurrency: int = Field(16, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    price_in: float | None = Field(None, ge=0)
    price_out: float | None = Field(None, ge=0)
    batch_factor: float = Field(0.5, ge=0)
    """What a batch costs of the full price."""

    @property
    def name(self) -> str:
        """The model as files that may be published name it: of a path on this machine only the last part, behind `…/`."""
        paths = (PurePosixPath(self.model), PureWindowsPath(self.model))
        local = [path for path in paths if path.is_absolute() or path.parts[:1] == ("~",)]
        return f"…/{local[0].name}" if local else self.model


def read_endpoint(path: Path) -> Endpoint:
    """The endpoint of a YAML file. Raises InputError where it cannot be read or does not say one.

    No value of the file is quoted: a key may stand in it by mistake.
    """
    try:
        return parse_endpoint(read_yaml(path))
    except ValueError as error:
        raise InputError(
            f"cannot read the endpoint {path}: {error}. Expected YAML such as {{model: NAME, base_url: "
            f"http://localhost:8000/v1, api_key_env: MY_KEY}}; its fields are {', '.join(Endpoint.model_fields)}, and the "
            "key itself stands in the environment variable that api_key_env names"
        ) from None


def parse_endpoint(data: object) -> Endpoint:
    """The endpoint in parsed data. Raises ValueError with the fields that are wrong, and no value of them."""
    try:
        return Endpoint.model_validate(data)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(wrong)) from None


def read_yaml(path: Path) -> Any:
    """What a YAML file says. Raises ValueError with why it cannot be read, and nothing that stands in it."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        why = "it is no UTF-8"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = "it is no YAML" + (f" from line {mark.line + 1} on" if mark else "")
    raise ValueError(why)
