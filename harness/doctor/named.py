"""From what a user typed to an examination: is there no such model, or is there one that cannot score?"""

from __future__ import annotations

from pathlib import Path

from harness.config import LoadOptions, resolve_model
from harness.doctor.examine import examine, failed_to_load
from harness.doctor.finding import Examination
from harness.engine.store import ScoreStore
from harness.errors import InputError
from harness.models import hub
from harness.models.resolve import HUB_ID, SCHEMES, pick_device
from harness.models.spec import ModelSpec

CONFIGS = ("config.json", "adapter_config.json")


def examine_named(model: str, options: LoadOptions, store: ScoreStore, full: bool = True) -> Examination:
    """Examine what a user calls `model`.

    A model that is there and cannot be resolved, such as a language model without a reward head, has failed the check
    `load`. Raises InputError where the command is wrong: no such model, device or spec.
    """
    if options.spec is not None:
        ModelSpec.read(options.spec)
    pick_device(options.device)
    try:
        resolved = resolve_model(model, options, store)
    except InputError as error:
        if not _is_there(model, options):
            raise
        return failed_to_load(model, error)
    return examine(resolved, full)


def _is_there(model: str, options: LoadOptions) -> bool:
    """Whether it is a folder with a model's config, or a repository that can be read."""
    if any(model.startswith(scheme) for scheme in SCHEMES):
        return False
    path = Path(model).expanduser()
    if path.exists():
        return options.revision is None and any((path / name).is_file() for name in CONFIGS)
    if not HUB_ID.fullmatch(model):
        return False
    try:
        hub.find(model, options.revision, options.trust_remote_code, options.allow_pickle)
    except InputError:
        return False
    return True
