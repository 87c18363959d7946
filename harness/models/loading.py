"""Weights into memory through transformers, with every tensor accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.models import sniff
from harness.models.base import Resolved
from harness.models.files import ModelFiles
from harness.models.peft_adapter import TOLD, merged, plain_name
from harness.models.placement import places, require_resident
from harness.models.quantised import arguments, require_plain_head

if TYPE_CHECKING:
    import torch

SAVE_THE_HEAD = "Use the checkpoint that was saved with its reward head, or an adapter of its kind"


def load_tokenizer(resolved: Resolved) -> Any:
    """The model's tokenizer; raises InputError where its files are absent or broken, or those of another model."""
    from transformers import AutoTokenizer

    files = ModelFiles.of(resolved)
    if not files.has_tokenizer():  # transformers would make one up that knows no word.
        raise InputError(
            f"{resolved.name}: no tokenizer in {files.tokenizer_root}; expected tokenizer.json: copy the tokenizer of the model "
            "that it was trained from beside the weights"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.tokenizer_root, trust_remote_code=resolved.trust_remote_code)
    except Exception as error:  # Many kinds, from three libraries: all mean that the files are no tokenizer.
        raise InputError(f"{resolved.name}: its tokenizer cannot be loaded: {_reason(resolved, error)}") from error
    if (files.checkpoint / "config.json").is_file():
        require_embedded(resolved, int(tokenizer.vocab_size) - 1)
    return tokenizer


def require_embedded(resolved: Resolved, largest: int) -> None:
    """Raise InputError where a tokenizer or a template makes ids up to `largest`, and the model has no embedding for that."""
    size = checkpoint_config(resolved).get("vocab_size")
    if isinstance(size, int) and largest >= size:
        raise InputError(
            f"{resolved.name}: its tokenizer makes ids up to {largest} and its model has {size} embeddings; "
            "they do not belong together: take both from the same repository"
        )


def load_classifier(resolved: Resolved) -> Any:
    """The model as a sequence classifier in evaluation mode, in the resolved dtype, where `places` says.

    Raises InputError where tensors are missing or have another shape (a head that would be random),
    where the files cannot be read, where the attention implementation does not exist for it, or where the
    GPUs cannot hold it.
    """
    from transformers import AutoModelForSequenceClassification

    return load_model(resolved, AutoModelForSequenceClassification)


def load_model(resolved: Resolved, architecture: Any) -> Any:
    """The same, of any class with `from_pretrained`: an Auto class, a model class of transformers, or one of ours.

    Raises what `load_classifier` raises.
    """
    model, info = _load(resolved, architecture)
    _require_whole(resolved.name, info)
    return model


def load_body(resolved: Resolved) -> Any:
    """The transformer alone, as `AutoModel` has it: heads in the checkpoint are left for `load_tensors`.

    A pooler that the checkpoint lacks is random, and nobody may read it. Raises what `load_classifier` raises.
    """
    from transformers import AutoModel, AutoModelForCausalLM

    if resolved.patch is not None:  # Its names are those of the language model it was trained on.
        return load_model(resolved, AutoModelForCausalLM).base_model
    model, info = _load(resolved, AutoModel)
    read = {name: [key for key in found if "pooler" not in str(key).split(".")] for name, found in info.items()}
    _require_whole(resolved.name, read)
    return model


def load_tensors(resolved: Resolved, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Some of the checkpoint's tensors by name, float32, on the CPU; from pickled files only where those were allowed.

    Raises InputError naming those that are not there.
    """
    wanted = list(names)
    found = stored_tensors(resolved, set(wanted).__contains__)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{resolved.name}: {', '.join(missing)} missing, so scores would come from random weights. {SAVE_THE_HEAD}"
        )
    return {name: tensor.float() for name, tensor in found.items()}


def load_below(resolved: Resolved, *prefixes: str) -> dict[str, torch.Tensor]:
    """All of the checkpoint's tensors below a name, by what follows it and a dot: below the first of the names that has any.

    Float32, on the CPU, as `load_tensors`. Raises InputError where none has.
    """
    stored = stored_tensors(resolved, lambda name: name.startswith(tuple(f"{prefix}." for prefix in prefixes)))
    for prefix in prefixes:
        found = {n.removeprefix(f"{prefix}."): t.float() for n, t in stored.items() if n.startswith(f"{prefix}.")}
        if found:
            return found
    raise InputError(f"{resolved.name}: no tensor below {' or '.join(prefixes)} in its checkpoint. {SAVE_THE_HEAD}")


def stored_tensors(resolved: Resolved, wanted: Callable[[str], bool]) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors whose names are wanted, as they are stored, on the CPU; pickled files only where allowed."""
    import torch
    from safetensors import safe_open

    found: dict[str, torch.Tensor] = {}
    for path in reversed(ModelFiles.of(resolved).weights()):  # An adapter's come last, so that they count.
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = {plain_name(name): name for name in file.keys()}  # noqa: SIM118
                found |= {name: file.get_tensor(names[name]) for name in filter(wanted, names)}
        else:
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found |= {name: stored[name] for name in filter(wanted, stored)}
    return found


def checkpoint_config(resolved: Resolved) -> dict[str, Any]:
    """The part of a model's config that describes its language model, as an adapter changes it."""
    return dict(sniff.text_config(ModelFiles.of(resolved).config()))


def load_backbone(resolved: Resolved) -> Any:
    """The same, of a checkpoint that need have no head: the one it gets here is random, and nobody may read its scores.

    Raises what `load_classifier` raises, but not for what lies behind the last layer.
    """
    from transformers import AutoModelForSequenceClassification

    model, info = _load(resolved, AutoModelForSequenceClassification)
    inside = {name: [key for key in found if _is_inside(model, key)] for name, found in info.items()}
    _require_whole(resolved.name, inside, "activations", "Use a checkpoint of the whole transformer")
    return model


def _load(resolved: Resolved, architecture: Any) -> tuple[Any, dict[str, Any]]:
    """The model as this class, and transformers' account of which tensors came from the checkpoint."""
    import torch

    spec, where = resolved.spec, places(resolved)
    try:
        with _quiet():
            model, info = architecture.from_pretrained(
                str(resolved.path),
                dtype=getattr(torch, spec.dtype),
                attn_implementation=spec.attn_implementation,
                trust_remote_code=resolved.trust_remote_code,
                use_safetensors=None if resolved.allow_pickle else True,
                weights_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **_told(resolved),
                **arguments(spec, ModelFiles.of(resolved).config()),
                **where,
            )
            brought = set() if resolved.patch is None else merged(model, resolved.patch, resolved.name)
    except (ValueError, ImportError, OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{resolved.name} cannot be loaded: {_reason(resolved, error)}") from error
    require_resident(resolved, model)
    model = model.eval().requires_grad_(False)
    # Nothing is generated: keys and values of all layers would only be copied, and held until the pass is over.
    model.config.get_text_config().use_cache = False
    require_plain_head(spec, model)
    exact = spec.quantization is not None or model.dtype == getattr(torch, spec.dtype)
    assert exact, f"asked for {spec.dtype}, loaded {model.dtype}"
    return model, {name: [key for key in found if _name(key) not in brought] for name, found in info.items()}


def _told(resolved: Resolved) -> dict[str, Any]:
    """What an adapter makes of its base's config, as arguments of `from_pretrained`."""
    config = {} if resolved.patch is None else ModelFiles.of(resolved).config()
    return {key: config[key] for key in TOLD if key in config}


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor reports of transformers: which tensors were not used or are missing is looked at here."""
    from transformers.utils import logging

    bar, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(told)
        if bar:
            logging.enable_progress_bar()


def _require_whole(name: str, info: dict[str, Any], numbers: str = "scores", cure: str = SAVE_THE_HEAD) -> None:
    """Every tensor of the model must come from the checkpoint: what does not would be random."""
    missing = sorted(info["missing_keys"])
    odd = sorted(map(_name, info["mismatched_keys"]))
    if not missing and not odd:
        return
    unused = sorted(info["unexpected_keys"])
    found = f"{', '.join(missing[:3])} missing" if missing else f"{', '.join(odd[:3])} of another shape"
    hint = f"; unused in the checkpoint: {', '.join(unused[:3])}" if unused else ""
    raise InputError(f"{name}: {found}, so {numbers} would come from random weights{hint}. {cure}")


def _is_inside(model: Any, key: Any) -> bool:
    """Whether a tensor, as the account of loading lists it, is part of what comes before the head and the pooler."""
    name = _name(key)
    return name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name.split(".")


def _name(key: Any) -> str:
    """A tensor's name, as the account of loading lists it: alone, or in front of its two shapes."""
    return str(key[0] if isinstance(key, tuple) else key)


def _reason(resolved: Resolved, error: Exception) -> str:
    """What stood in the way of loading; of code that was not allowed, how to allow it."""
    if "trust_remote_code" in str(error) and not resolved.trust_remote_code:
        return "it needs code of its repository: read that, then add --trust-remote-code if you trust it"
    return first_line(error)


def first_line(error: Exception) -> str:
    """What an error says, without what it says after that; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
