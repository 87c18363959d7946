"""An OpenAI-compatible endpoint as data: a YAML file of a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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
    structured: Literal["auto"] | Mode = "auto"
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


def read_endpoint(path: Path) -> Endpoint:
    """The endpoint of a YAML file. Raises InputError where it cannot be read or does not say one."""
    try:
        return Endpoint.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        said = str(error).splitlines()
        raise InputError(
            f"cannot read the endpoint {path}: {' '.join(line.strip() for line in said[:3])}; expected YAML such as "
            "{model: NAME, base_url: http://localhost:8000/v1, api_key_env: MY_KEY}"
        ) from error
