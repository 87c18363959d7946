"""The options of a spec, checked: what one kind of model asks for beyond what all kinds have."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from harness.errors import InputError
from harness.models.spec import Frozen, ModelSpec

T = TypeVar("T", bound=Frozen)


def parse_options(kind: type[T], spec: ModelSpec) -> T:
    """The spec's options as `kind`. Raises InputError naming the first that is wrong and those there are, and no value."""
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("options", *first["loc"])))
        known = ", ".join(kind.model_fields)
        raise InputError(f"{spec.model}: {where}: {first['msg']}; its options are {known}") from None
