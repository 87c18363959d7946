"""Models on the Hugging Face Hub: configs first, weights once it is clear that they can score, never a pickle unasked."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.models import peft_adapter, sniff
from harness.models.files import CODE, CONFIGS, HEADS, PICKLED_HEADS, PICKLES, SPEC_FILE, WEIGHTS, ModelFiles


def find(repo: str, revision: str | None, trust_remote_code: bool, allow_pickle: bool) -> ModelFiles:
    """A repository's configs and heads beside the weights at a revision (default: newest), downloaded or from the cache.

    Raises InputError where the repository or revision does not exist, is gated, or cannot be reached.
    """
    wanted = [*CONFIGS, *HEADS, SPEC_FILE, peft_adapter.CONFIG, *(CODE if trust_remote_code else ())]
    root = _snapshot(repo, revision, wanted)
    return ModelFiles(root, repo, root.name, trust_remote_code, allow_pickle)


def fetch_weights(files: ModelFiles) -> None:
    """Download the weights beside the configs: safetensors, pickles only if allowed and there is nothing else."""
    heads = (*HEADS, *(PICKLED_HEADS if files.allow_pickle else ()))
    _snapshot(files.name, files.commit, [*WEIGHTS, peft_adapter.WEIGHTS, *heads])
    if files.allow_pickle and not any(files.root.glob("*model*.safetensors")):
        _snapshot(files.name, files.commit, [*PICKLES, peft_adapter.PICKLED])


def tensor_names(files: ModelFiles) -> set[str] | None:
    """Names of a repository's tensors, from the headers of its safetensors files; None where it has none or they cannot be read.

    A head in a file of its own is in no index: it is small, and was downloaded with the configs.
    """
    from huggingface_hub import get_safetensors_metadata

    try:
        stored = set(get_safetensors_metadata(files.name, revision=files.commit).weight_map)
    except Exception:  # noqa: BLE001 - whatever stands in the way: the config may show the kind alone, and weights are asked for later
        stored = set()
    return stored | sniff.tensor_names(files.safetensors()) or None


def _snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise InputError(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then run 'hf auth login'"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"no model {repo}: neither a folder here nor a repository on the Hub; check the name"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{repo} has no revision {revision}; give a commit, tag or branch of it") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise InputError(
            f"{repo} is no folder here, and the Hub cannot be reached nor is the model in its cache; "
            "connect once to download it, or give the path of a folder"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise HarnessError(f"downloading {repo} failed: {error}; run the same command again to go on") from error
