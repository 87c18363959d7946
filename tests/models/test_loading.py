"""Loading: tokenizers that belong to a model, checkpoints in shards, heads beside a transformer, code that may not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.errors import InputError
from harness.models.base import Resolved
from harness.models.loading import load_body, load_tensors
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from tests.models.conftest import Tiny, unit

UNITS = [unit("How do I bake bread?", f"Mix flour and water. {end}") for end in ("No", "Yes, at home", "I do not know")]


@pytest.fixture
def copy(tiny: Tiny, tmp_path: Path) -> Any:
    """`copy(family)`: a tiny model a test may write into."""
    return lambda family="llama": Path(shutil.copytree(tiny(family), tmp_path / family))


def configure(folder: Path, file: str = "config.json", **changes: Any) -> Path:
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | changes))
    return folder


def found(folder: Path, **spec: Any) -> Resolved:
    return resolve(ModelSpec(model=str(folder), **{"template": "hh", **spec}))


# --- tokenizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "bert", "gpt2", "roberta"])
def test_a_model_without_a_tokenizer_gets_none_made_up(family: str, copy: Any) -> None:
    folder = copy(family)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(InputError, match=r"no tokenizer in .*expected tokenizer\.json: copy the tokenizer"):
        found(folder).load()


def without_weights(folder: Path) -> Path:
    """What is wrong with a tokenizer is said before these are looked at."""
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_tokenizer_of_another_model_is_refused(copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = configure(copy(), vocab_size=400)
    resolved = found(folder)
    without_weights(folder)
    with pytest.raises(
        InputError, match=r"ids up to \d+ and its model has 400 embeddings; they do not belong together"
    ):
        resolved.load()


def test_an_added_token_matters_where_the_template_writes_it(copy: Any) -> None:
    folder = copy()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|more|>"]})
    tokenizer.save_pretrained(folder)
    assert found(folder).load().forward(found(folder).load().encode(UNITS)).outputs.shape == (3, 1)
    with pytest.raises(InputError, match=rf"ids up to {len(tokenizer) - 1} .*do not belong together"):
        found(folder, template={"jinja": "{{ prompt }}<|more|>{{ response }}"}).load()


# --- checkpoints ----------------------------------------------------------------------------------


def test_two_shards_score_as_one_file(copy: Any, load: Any) -> None:
    folder = copy()
    whole = found(folder, template="tokenizer")
    expected = whole.load().forward(whole.load().encode(UNITS)).outputs
    size = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").unlink()
    AutoModelForSequenceClassification.from_pretrained(load("llama").config._name_or_path).save_pretrained(
        folder, max_shard_size=int(0.6 * size)
    )
    assert len(list(folder.glob("model-0000?-of-00002.safetensors"))) == 2
    parts = found(folder, template="tokenizer")
    assert parts.content != whole.content
    np.testing.assert_array_equal(parts.load().forward(parts.load().encode(UNITS)).outputs, expected)
    state = load("llama").state_dict()
    names = ["score.weight", "model.embed_tokens.weight", "model.norm.weight"]
    for name, tensor in load_tensors(parts, names).items():
        assert torch.equal(tensor, state[name])
    body = load_body(parts).state_dict()
    assert all(torch.equal(tensor, state[f"model.{name}"]) for name, tensor in body.items())
    next(folder.glob("*00002-of*")).unlink()
    with pytest.raises(InputError, match=r"no head|missing|cannot be loaded"):
        found(folder, template="tokenizer").load()


def test_tensors_that_are_not_there_are_named(tiny: Tiny) -> None:
    with pytest.raises(InputError, match=r"v_head\.weight missing, so scores would come from random weights"):
        load_tensors(resolve(tiny("llama")), ["v_head.weight", "score.weight"])


def test_a_pooler_that_is_not_there_is_read_by_nobody(tiny: Tiny) -> None:
    body = load_body(resolve(ModelSpec(model=str(tiny("roberta")), template="hh")))
    assert body.pooler is not None


# --- code of a repository -------------------------------------------------------------------------


def test_code_that_may_not_run_is_said_with_the_flag_that_lets_it(copy: Any) -> None:
    folder = copy()
    own = {"AutoTokenizer": ["own.Tok", None]}
    configure(folder, "tokenizer_config.json", auto_map=own, tokenizer_class="Tok")
    with pytest.raises(InputError, match=r"its tokenizer cannot be loaded: it needs code .*--trust-remote-code"):
        found(folder).load()
    configure(folder, "tokenizer_config.json", auto_map={}, tokenizer_class="PreTrainedTokenizerFast")
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}
    configure(folder, model_type="own", auto_map=auto, architectures=["OwnForSequenceClassification"])
    with pytest.raises(InputError, match=r"local/llama cannot be loaded: it needs code .*--trust-remote-code"):
        found(folder).load()
