"""What goes wrong with a model is one line that names the cure, exit code 2, and says so before weights are read where it can."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.testing.tiny import tiny_language_model, tiny_model
from tests.models.checkpoints import own_code

Build = Callable[[Path], Path]


def configure(folder: Path, **changes: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def without_head(folder: Path) -> Path:
    path = tiny_model(folder, "llama")
    tensors = {name: t for name, t in load_file(path / "model.safetensors").items() if "score" not in name}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path


def pickled(folder: Path) -> Path:
    path = tiny_model(folder, "llama")
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    return path


def adapter_alone(folder: Path) -> Path:
    base = tiny_language_model(folder / "base", "llama")
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(base), "task_type": "SEQ_CLS"})
    )
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    save_file({name: torch.zeros(2, 48)}, folder / "adapter_model.safetensors")
    return folder


def twice_bos(folder: Path) -> Path:
    path = tiny_model(folder, "llama")
    (path / "reward_model.yaml").write_text('model: .\ntemplate: {jinja: "<s>{{ prompt }} {{ response }}"}\n')
    return path


def pad_is_end(folder: Path) -> Path:
    path = tiny_model(folder, "llama", pad_token_id=4)
    (path / "reward_model.yaml").write_text('model: .\ntemplate: {jinja: "{{ prompt }} {{ response }}<|end|>"}\n')
    return path


BEFORE_WEIGHTS: dict[str, tuple[Build, str]] = {
    "a language model": (lambda f: tiny_language_model(f, "llama"), "a language model, which has no reward head.*--spec FILE"),
    "a random head": (without_head, "no head: .*its scores would be random.*saved with its reward head"),
    "no template": (lambda f: tiny_model(f, "bert"), "no chat template.*'template: hh'"),
    "two BOS tokens": (twice_bos, "begin with 2 BOS tokens.*'bos: auto'.*'bos: double'"),
    "pad is the end token": (pad_is_end, "also its pad token.*'pooling: native'.*'pooling: last_attended'"),
    "labels without weights": (lambda f: tiny_model(f, "llama", num_labels=2), "2 outputs .*heads: {weights:"),
    "an adapter without its head": (adapter_alone, r"without its head.*modules_to_save"),
    "a pickled checkpoint": (pickled, "only pickled weights.*--allow-pickle"),
    "code of its own": (own_code, "code of its own.*--trust-remote-code"),
    "a tokenizer of another model": (lambda f: configure(tiny_model(f, "llama"), vocab_size=9), "9 embeddings.*same repository"),
    "quantised weights": (
        lambda f: configure(tiny_model(f, "llama"), quantization_config={"quant_method": "gptq"}),
        "quantised by gptq.*'quantization: {quant_method: gptq}'",
    ),
}  # fmt: skip


@pytest.fixture
def run(cli: Any, tmp_path: Path) -> Callable[[Path], tuple[int, str]]:
    """Exit code and standard error of a run of this model on one pair."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}))

    def call(model: Path | str) -> tuple[int, str]:
        code, _, err = cli(
            "run", "--model", model, "--tasks", "alignment_resistance", "--data", pairs, "--results", tmp_path / "r"
        )
        return code, err

    return call


@pytest.mark.parametrize("mistake", list(BEFORE_WEIGHTS))
def test_a_mistake_is_one_line_with_its_cure_before_weights_are_read(
    mistake: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, message = BEFORE_WEIGHTS[mistake]

    def loads(*_: Any, **__: Any) -> Any:
        raise AssertionError("weights were read")

    model = build(tmp_path / "model")
    monkeypatch.setattr("harness.models.loading._load", loads)
    code, err = run(model)
    said = [line for line in err.splitlines() if line.strip() and "Writing model shards" not in line]
    assert (code, len(said)) == (2, 1), said  # that one is the test's own doing
    assert said[0].startswith("reward-harness: ")
    assert re.search(message, said[0]), said[0]


def test_a_model_larger_than_memory(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.placement.available", lambda: 1000, raising=True)
    code, err = run(tiny_model(tmp_path / "m", "llama"))
    assert code == 2
    assert "of memory are free; use --dtype bfloat16" in err


def test_a_repository_that_cannot_be_had(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    for kind, words in (
        (errors.GatedRepoError, "is gated: accept its terms"),
        (errors.RepositoryNotFoundError, "neither a folder here nor a repository on the Hub"),
        (errors.LocalEntryNotFoundError, "the Hub cannot be reached"),
    ):

        def download(*_: Any, kind: Any = kind, **__: Any) -> str:
            raise kind.__new__(kind, "no")

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        code, err = run("org/name")
        assert code == 2
        assert words in err


def test_a_copy_of_a_good_model_runs(run: Any, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_model(tmp_path / "m", "llama"), tmp_path / "copy"))
    assert run(model)[0] == 0, "or the tests above show nothing"
