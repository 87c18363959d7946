"""From what a user typed to a model that is found, named and hashed, but not loaded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness.errors import InputError
from harness.models import catalogue, hub, peft_adapter, sniff
from harness.models.adapters.null import NAMES, find_null
from harness.models.adapters.scores_file import find_scores
from harness.models.base import ADAPTERS, Adapter, Resolved
from harness.models.files import SPEC_FILE, ModelFiles, sha256_file
from harness.models.quantised import require_consent, require_mergeable
from harness.models.recognise import adapter_name
from harness.models.remote import find_endpoint
from harness.models.spec import ModelSpec
from harness.preference import canonical_json

HashFile = Callable[[Path], str]
SCHEMES: dict[str, Callable[[str, HashFile], Resolved]] = {
    "null/": find_null,
    "scores:": find_scores,
    "endpoint:": find_endpoint,
}
"""Sources that are neither folder nor repository, by how they begin."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve(
    model: str | Path | ModelSpec,
    *,
    revision: str | None = None,
    spec: Path | None = None,
    adapter: type[Adapter] | str | None = None,
    device: str = "cpu",
    dtype: str = "auto",
    max_length: int | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    hash_file: HashFile = sha256_file,
) -> Resolved:
    """Find a model: a folder, a Hub id, `null/NAME`, `scores:FILE`, `endpoint:FILE`, or the source a `ModelSpec` names.

    How to score comes from the first of: a `ModelSpec` or the file `spec`; `reward_model.yaml` beside
    the weights; the catalogue, for a Hub id it knows; the model's own config. `revision`, `adapter` (a registered
    name, or a class, which need not be registered), `dtype` and `max_length` given here beat the spec. `device` is `cpu`, `cuda`, `cuda:N` or `auto`;
    `hash_file` gives a file's sha256 (pass a memoised one). Reads configs and the headers of weights;
    imports torch only to see whether there is a GPU for `auto`. Raises InputError with the cure where
    nothing is found or where what is found cannot score.
    """
    source = model.model if isinstance(model, ModelSpec) else str(model)
    for scheme, find in SCHEMES.items():
        if source.startswith(scheme):
            _require_free(source, adapter)
            return find(source.removeprefix(scheme), hash_file)
    given = model if isinstance(model, ModelSpec) else ModelSpec.read(spec) if spec is not None else None
    files = _find_files(source, revision, given, trust_remote_code, allow_pickle)
    config = files.config()
    given = given or _own_spec(files, source)
    _require_packages(given)
    (require_mergeable if files.base else require_consent)(given, config)
    name, kind = _kind(adapter or given.adapter or _recognised(files, config, source), source, trust_remote_code)
    tensors = _tensors(files)
    device = pick_device(device)
    decided = {
        **_decided(given, config, files, kind, device=device, dtype=dtype, max_length=max_length),
        "model": source,
        "revision": files.commit,
        "adapter": name,
    }
    prepared = kind.prepare(given.model_copy(update=decided), config, tensors)
    beside = _companions(kind, prepared, files)
    content = _content([files, *beside.values()], hash_file)
    return Resolved(
        name=files.name,
        spec=prepared,
        adapter=kind,
        revision=files.commit or f"local-{content[:12]}",
        content=content,
        device=device,
        path=files.checkpoint,
        patch=files.root if files.base else None,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        companions={part: one.root for part, one in beside.items()},
    )


def pick_device(device: str) -> str:
    """`cuda` or `cpu` for `auto`, others as they are; raises InputError for a device that is none or not there."""
    if device == "cpu":
        return device
    if not re.fullmatch(r"auto|cuda(:\d+)?", device):
        raise InputError(f"unknown device {device!r}; expected auto, cpu, cuda or cuda:N")
    # A build without CUDA says so in its version, which spares a cached run the import of torch.
    if "+cpu" in metadata.version("torch"):
        n = 0
    else:
        import torch

        n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if n else "cpu"
    if int(device.partition(":")[2] or 0) >= n:
        raise InputError(f"--device {device}: torch sees {n} CUDA devices; use --device cpu or install torch with CUDA")
    return device


def _require_free(source: str, adapter: type[Adapter] | str | None) -> None:
    if isinstance(adapter, str):
        raise InputError(
            f"{source} is no transformer and cannot be loaded as {adapter}; expected an existing folder or a Hub id such as org/name"
        )


def _find_files(
    source: str, revision: str | None, given: ModelSpec | None, trust_remote_code: bool, allow_pickle: bool
) -> ModelFiles:
    """The folder or repository called `source`; raises InputError with the nearest thing that exists."""
    path = Path(source).expanduser()
    if path.exists():
        if revision is not None:
            raise InputError(f"--revision names a version on the Hub, but {source} is a folder here; leave it out")
        return _with_base(ModelFiles.local(path, trust_remote_code, allow_pickle))
    if HUB_ID.fullmatch(source):
        wanted = revision or (given.revision if given else None)
        return _with_base(hub.find(source, wanted, trust_remote_code, allow_pickle))
    near = difflib.get_close_matches(source, [f"null/{n}" for n in NAMES], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(
        f"no model {source!r}{hint or ':'} expected an existing folder, a Hub id such as org/name, "
        f"null/{{{','.join(NAMES)}}}, or scores:FILE"
    )


def _with_base(files: ModelFiles) -> ModelFiles:
    """The same files; of a PEFT adapter, which is small and says what it needs, all of them, and those of its base."""
    if not peft_adapter.is_adapter(files.root):
        return files
    if files.commit is not None:
        hub.fetch_weights(files)
    source, revision = peft_adapter.base_of(files.root)
    try:
        base = _find_files(source, revision, None, files.trust_remote_code, files.allow_pickle)
    except InputError as error:
        raise InputError(
            f"{files.root} is an adapter of {source}, which is not to be had: {error}. Where the base has another name here, "
            f"write that as base_model_name_or_path into a copy's {peft_adapter.CONFIG}"
        ) from error
    if base.base is not None:
        raise InputError(f"{files.root} is an adapter of {source}, which is one itself; merge that into its base first")
    return replace(files, base=base)


def _kind(chosen: type[Adapter] | str, source: str, trust_remote_code: bool) -> tuple[str, type[Adapter]]:
    """Name and class of a kind of model, given by either; raises InputError where it runs code that was not allowed."""
    name, kind = (chosen, ADAPTERS.get(chosen)) if isinstance(chosen, str) else (chosen.__qualname__, chosen)
    if kind.runs_code and not trust_remote_code:
        raise InputError(f"{source} runs code of its repository: read it, then add --trust-remote-code if you trust it")
    return name, kind


def _recognised(files: ModelFiles, config: Mapping[str, Any], source: str) -> str:
    """The kind of model that config and names of tensors show."""
    try:
        return adapter_name(config, _stored_names(files), source)
    except InputError as error:
        raise InputError(f"{error}{peft_adapter.hint(files.root) if files.base else ''}") from error


def _stored_names(files: ModelFiles) -> set[str] | None:
    """Names of the tensors before any weight is downloaded, but an adapter's; None where they are not known."""
    if files.base is not None:
        return _names(files, files.safetensors()) | (_stored_names(files.base) or set())
    if files.commit is not None:
        return hub.tensor_names(files)
    return _names(files, files.safetensors()) or None


def _tensors(files: ModelFiles) -> set[str] | None:
    """Names of the stored tensors, after seeing to it that they are on disk; None where some are pickled."""
    for each in filter(None, (files, files.base)):
        if each.commit is not None:
            hub.fetch_weights(each)
    weights = files.weights()
    return _names(files, weights) if all(path.suffix == ".safetensors" for path in weights) else None


def _names(files: ModelFiles, weights: Sequence[Path]) -> set[str]:
    """Names of the tensors in some safetensors files; of an adapter's, those it brings whole."""
    own = set(peft_adapter.whole_shapes(files.root)) if files.base else set()
    return own | sniff.tensor_names([path for path in weights if path.name != peft_adapter.WEIGHTS])


def _companions(kind: type[Adapter], spec: ModelSpec, files: ModelFiles) -> dict[str, ModelFiles]:
    """The files of the models that a kind loads beside its own; a relative folder lies beside the model's, or where the run is."""
    found = {}
    for part, where in kind.companions(spec).items():
        near = files.root / where
        one = _find_files(str(near) if near.is_dir() else where, None, None, False, files.allow_pickle)
        if one.base is not None:
            raise InputError(
                f"{files.name}: its {part} {where} is a PEFT adapter; merge it into its base, and name the merged folder"
            )
        _tensors(one)
        found[part] = one
    return found


def _content(all_files: Sequence[ModelFiles], hash_file: HashFile) -> str:
    """The content of a model, or of one and its companions together."""
    first, *others = (files.content(hash_file) for files in all_files)
    return sha256(canonical_json([first, *others]).encode()).hexdigest() if others else first


def _own_spec(files: ModelFiles, source: str) -> ModelSpec:
    """The spec the model ships, else the catalogue's for its Hub id, else an empty one."""
    shipped = files.root / SPEC_FILE
    if shipped.is_file():
        return ModelSpec.read(shipped)
    known = catalogue.find(source) if files.commit is not None else None
    return known or ModelSpec(model=source)


def _require_packages(spec: ModelSpec) -> None:
    """Raise InputError, naming what to install, where a package the spec requires is absent or of another version."""
    for text in spec.requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise InputError(f"{spec.model}: requires: {text!r} is no requirement such as 'transformers<6'") from error
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found = None
        if found is None or not wanted.specifier.contains(found, prereleases=True):
            here = f"{wanted.name} {found}" if found else "it is not installed"
            raise InputError(f"{spec.model} requires {text}, here {here}; type: pip install '{text}'")


def _decided(
    spec: ModelSpec,
    config: Mapping[str, Any],
    files: ModelFiles,
    kind: type[Adapter],
    *,
    device: str,
    dtype: str,
    max_length: int | None,
) -> dict[str, Any]:
    """What a spec leaves open, decided: dtype, attention, template, longest input. A flag beats the spec, the spec beats auto."""
    wanted = dtype if dtype != "auto" else spec.dtype
    if wanted == "auto":
        half = device.startswith("cuda") and sniff.stored_dtype(config) in ("float16", "bfloat16")
        wanted = "bfloat16" if half else "float32"
    own = "tokenizer" if files.has_chat_template() else None
    limits = (max_length or spec.max_length, kind.longest(config, files.tokenizer_config()))
    return {
        "dtype": wanted,
        "attn_implementation": spec.attn_implementation or sniff.default_attention(config),
        "template": spec.template if spec.template is not None else own,
        "max_length": min((n for n in limits if n is not None), default=None),
    }
