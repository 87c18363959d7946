"""Finding a model: order of the specs, what is hashed, and every way to be told that it cannot be used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save
from transformers import AutoTokenizer

from harness.errors import InputError
from harness.models import hub
from harness.models.adapters.sequence_classification import SequenceClassifier
from harness.models.files import sha256_file
from harness.models.resolve import pick_device, resolve
from harness.models.spec import ModelSpec
from tests.models.conftest import Tiny


@pytest.fixture
def model(tiny: Tiny, tmp_path: Path) -> Path:
    """A tiny Llama a test may write into."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "my model"))


def configure(path: Path, **changes: Any) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# --- whose word counts ----------------------------------------------------------------------------


def test_explicit_spec_beats_the_shipped_one_beats_sniffing(model: Path, tmp_path: Path) -> None:
    assert resolve(model).spec.template == "tokenizer"
    (model / "reward_model.yaml").write_text("model: .\ntemplate: hh\nmax_length: 50\n")
    assert resolve(model).spec.template == "hh"
    (tmp_path / "mine.yaml").write_text("model: .\ntemplate: raw\n")
    explicit = resolve(model, spec=tmp_path / "mine.yaml")
    assert (explicit.spec.template, explicit.spec.max_length) == ("raw", 128)
    assert resolve(ModelSpec(model=str(model), template={"pair": "hh"})).spec.template == {"pair": "hh"}


def test_flags_beat_the_spec_and_the_models_limit_beats_both(model: Path) -> None:
    (model / "reward_model.yaml").write_text(yaml.safe_dump({"model": ".", "dtype": "bfloat16", "max_length": 50}))
    assert (resolve(model).spec.dtype, resolve(model).spec.max_length) == ("bfloat16", 50)
    flagged = resolve(model, dtype="float32", max_length=40).spec
    assert (flagged.dtype, flagged.max_length) == ("float32", 40)
    assert resolve(model, max_length=9999).spec.max_length == 128


@pytest.mark.parametrize(
    ("stored", "device", "dtype"),
    [
        ("float16", "cpu", "float32"),
        ("bfloat16", "cuda", "bfloat16"),
        ("float16", "cuda:1", "bfloat16"),
        ("float32", "cuda", "float32"),
    ],
)
def test_automatic_dtype(stored: str, device: str, dtype: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.resolve.pick_device", lambda d: d)
    configure(model, dtype=stored)
    assert resolve(model, device=device).spec.dtype == dtype


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.resolve.metadata.version", lambda _: "2.13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(d) for d in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(InputError, match="torch sees 2 CUDA devices"):
        pick_device("cuda:2")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        pick_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"


# --- identity -------------------------------------------------------------------------------------


def test_name_revision_and_fingerprint_of_a_folder(model: Path, tmp_path: Path) -> None:
    first = resolve(model)
    assert first.name == "local/my-model"
    assert re.fullmatch("local-[0-9a-f]{12}", first.revision)
    moved = Path(shutil.copytree(model, tmp_path / "other" / "name"))
    assert resolve(moved).fingerprint == first.fingerprint
    (moved / "README.md").write_text("prose")
    assert resolve(moved).fingerprint == first.fingerprint


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_any_byte_that_can_change_a_score_changes_the_fingerprint(file: str, model: Path) -> None:
    before = resolve(model)
    data = bytearray((model / file).read_bytes())
    data[-1] ^= 1
    (model / file).write_bytes(data)
    assert resolve(model).fingerprint != before.fingerprint
    assert resolve(model).revision != before.revision


def test_what_decides_a_score_is_in_the_fingerprint_and_prose_is_not(model: Path) -> None:
    def fingerprint(**spec: Any) -> str:
        return resolve(ModelSpec(model=str(model), **spec)).fingerprint

    base = fingerprint()
    assert fingerprint(notes="x", license="mit") == base
    assert fingerprint(max_length=128, template="tokenizer", dtype="float32") == base
    others = [
        {"template": "hh"},
        {"bos": "none"},
        {"max_length": 9},
        {"truncation": "left"},
        {"pooling": "last_attended"},
    ]
    assert len({base, *(fingerprint(**o) for o in others)}) == 6


def test_hashes_come_from_the_caller(model: Path) -> None:
    seen: list[str] = []

    def hash_file(path: Path) -> str:
        seen.append(path.name)
        return sha256_file(path)

    assert resolve(model, hash_file=hash_file).content == resolve(model).content
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(seen)
    assert len(seen) == len(set(seen))


def test_resolving_on_cpu_loads_neither_torch_nor_transformers(model: Path) -> None:
    code = (
        "import sys; from harness.models.resolve import resolve; resolve(sys.argv[1]);"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(model)], check=True)


# --- models that cannot be used -------------------------------------------------------------------


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"no model 'null-random'; did you mean null/random\?"):
        resolve("null-random")
    with pytest.raises(InputError, match=r"no model '/nowhere/at all': expected an existing folder"):
        resolve("/nowhere/at all")


def test_a_file_is_no_model(model: Path) -> None:
    with pytest.raises(InputError, match="is a file; expected the folder of a model"):
        resolve(model / "config.json")


def test_folder_without_config_weights_or_both(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        resolve(tmp_path)
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has a config but no weights"):
        resolve(model)


def test_pickled_weights_need_leave(model: Path) -> None:
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    assert resolve(model).load() is not None
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match="--allow-pickle"):
        resolve(model)
    allowed = resolve(model, allow_pickle=True)
    before = allowed.fingerprint
    assert isinstance(allowed.load(), SequenceClassifier)
    torch.save({"score.weight": torch.zeros(1, 32)}, model / "pytorch_model.bin")
    assert resolve(model, allow_pickle=True).fingerprint != before


def test_language_model_is_refused_before_its_weights_are_touched(model: Path) -> None:
    configure(model, architectures=["LlamaForCausalLM"])
    (model / "model.safetensors").unlink()
    with pytest.raises(InputError, match="LlamaForCausalLM: a language model, which has no reward head"):
        resolve(model)


def test_no_template_lists_the_known_ones(tiny: Tiny) -> None:
    with pytest.raises(InputError, match=r"no chat template.*reward_model\.yaml.*\{pair: hh\}"):
        resolve(tiny("bert"))
    with pytest.raises(InputError, match="the tokenizer has no chat template"):
        resolve(ModelSpec(model=str(tiny("bert")), template="tokenizer")).load()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model: .\ntemplte: hh\n", "templte"),
        ("- a\n", "expected a mapping"),
        ("model: .\ntemplate: chatml\n", "unknown template"),
    ],
)
def test_bad_specs(text: str, reason: str, model: Path) -> None:
    (model / "reward_model.yaml").write_text(text)
    with pytest.raises(InputError, match=reason):
        resolve(model)


def test_unknown_adapter_and_pooling(model: Path) -> None:
    with pytest.raises(InputError, match="unknown adapter 'sequence-classifier'; did you mean sequence-classification"):
        resolve(ModelSpec(model=str(model), adapter="sequence-classifier"))
    with pytest.raises(InputError, match="unknown pooling"):
        resolve(ModelSpec(model=str(model), pooling="mean")).load()


def test_required_packages_are_checked(model: Path) -> None:
    def need(text: str) -> ModelSpec:
        return ModelSpec(model=str(model), requires=(text,))

    assert resolve(need("numpy>=1")).name == "local/my-model"
    for text, reason in [
        ("numpy<1", r"requires numpy<1, here numpy \d.*pip install 'numpy<1'"),
        ("no-such-thing", "it is not installed"),
        ("numpy 5 or so", "is no requirement"),
    ]:
        with pytest.raises(InputError, match=reason):
            resolve(need(text))


def test_revision_of_a_folder_makes_no_sense(model: Path) -> None:
    with pytest.raises(InputError, match="--revision names a version on the Hub"):
        resolve(model, revision="main")


def test_an_adapter_need_not_be_registered(model: Path) -> None:
    class Mine(SequenceClassifier):
        """A kind of one's own."""

    resolved = resolve(model, adapter=Mine)
    assert resolved.adapter is Mine
    assert resolved.fingerprint != resolve(model).fingerprint
    assert isinstance(resolved.load(), Mine)


def test_broken_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="its tokenizer cannot be loaded"):
        resolve(model).load()


# --- the Hub --------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def fake_hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A Hub with one repository, `org/name`; gives the calls it saw."""
    calls: list[dict[str, Any]] = []
    snapshot = tmp_path / "snapshots" / COMMIT

    def download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert repo == "org/name"
        calls.append({"revision": revision, "patterns": allow_patterns})
        snapshot.mkdir(parents=True, exist_ok=True)
        for file in model.iterdir():
            if any(file.match(p) for p in allow_patterns):
                shutil.copy(file, snapshot)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return calls


def test_a_repository_is_its_commit(fake_hub: list[dict[str, Any]]) -> None:
    resolved = resolve("org/name", revision="v1")
    assert (resolved.name, resolved.revision, resolved.spec.revision) == ("org/name", COMMIT, COMMIT)
    assert [c["revision"] for c in fake_hub] == ["v1", COMMIT]
    assert not any(p.endswith((".bin", ".py", ".pt")) for c in fake_hub for p in c["patterns"])
    assert isinstance(resolved.load(), SequenceClassifier)


def test_weights_of_a_language_model_are_not_downloaded(fake_hub: list[dict[str, Any]], model: Path) -> None:
    configure(model, architectures=["LlamaForCausalLM"])
    with pytest.raises(InputError, match="language model"):
        resolve("org/name")
    assert len(fake_hub) == 1


def test_a_head_beside_the_weights_shows_the_kind(
    fake_hub: list[dict[str, Any]], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(model, architectures=["LlamaForCausalLM"])
    (model / "value_head.safetensors").write_bytes(save({"v_head.summary.weight": torch.ones(1, 32)}))
    for known in ({"model.norm.weight": "model.safetensors"}, None):
        stored = SimpleNamespace(weight_map=known) if known else None
        monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda *_, stored=stored, **__: stored)
        assert resolve("org/name").spec.adapter == "value-head"


def test_pickles_and_code_are_downloaded_only_when_asked(fake_hub: list[dict[str, Any]], model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    resolve("org/name", allow_pickle=True, trust_remote_code=True)
    patterns = [p for c in fake_hub for p in c["patterns"]]
    assert "*.py" in patterns
    assert "pytorch_model*.bin" in patterns


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("GatedRepoError", "is gated: accept its terms"),
        ("RepositoryNotFoundError", "neither a folder here nor a repository on the Hub"),
        ("RevisionNotFoundError", "has no revision v9"),
        ("LocalEntryNotFoundError", "Hub cannot be reached"),
    ],
)
def test_what_can_go_wrong_on_the_hub(error: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    kind = getattr(errors, error)
    instance = kind.__new__(kind, "the server says no")

    def download(*_: object, **__: object) -> str:
        raise instance

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(InputError, match=reason):
        hub.find("org/name", "v9", False, False)


def test_tokenizer_of_the_fixture_has_a_template(model: Path) -> None:
    assert AutoTokenizer.from_pretrained(model).chat_template
