"""A model with code of its own in its folder: run only where that is allowed, and never with padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import InputError
from harness.models.base import Encoded
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.testing.conformance import check_adapter
from tests.models.checkpoints import CODE, own_code
from tests.models.conftest import Tiny, unit

TEXTS = [
    unit("How do I bake bread at home?", "Mix flour, water, yeast and salt."),
    unit("Hello", "No."),
    unit("What is a star?", "I do not know.", "Please tell me more!", "Sorry, I can not help with that."),
    unit("Hello", "Yes."),
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return own_code(tmp_path / "own")


@pytest.fixture
def spec(model: Path) -> Callable[..., ModelSpec]:
    def make(output: Any, **others: Any) -> ModelSpec:
        return ModelSpec(model=str(model), adapter="remote-code", options={"output": output}, **others)

    return make


@pytest.mark.parametrize("output", ["score", 0])
def test_the_named_output_is_the_score(output: Any, spec: Callable[..., ModelSpec], load: Callable[..., Any]) -> None:
    adapter = resolve(spec(output), trust_remote_code=True).load()
    check_adapter(adapter, TEXTS)
    plain = load("llama", num_labels=2)
    encoded = [e for e in adapter.encode(TEXTS) if isinstance(e, Encoded)]
    with torch.no_grad():
        states = [plain.model(torch.tensor(e.ids, dtype=torch.long)[None]).last_hidden_state.mean(1) for e in encoded]
        expected = torch.cat([plain.score(s).sum(1) for s in states]).numpy()
    np.testing.assert_allclose(adapter.forward(encoded).outputs[:, 0], expected, atol=1e-5)


def test_texts_of_one_length_share_a_pass_and_no_pass_has_padding(
    spec: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = resolve(spec("score"), trust_remote_code=True).load()
    shapes: list[tuple[int, ...]] = []
    real = type(adapter.model).forward

    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        shapes.append(tuple(input_ids.shape))
        assert attention_mask.all()
        return real(self, input_ids, attention_mask)

    monkeypatch.setattr(type(adapter.model), "forward", forward)
    encoded = adapter.encode(TEXTS)
    adapter.forward([*encoded, *encoded])
    assert sorted(n for n, _ in shapes) == [2, 2, 4], "two of the four texts are equally long"


def test_several_outputs_are_weighed_by_the_spec(spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(InputError, match=r"has 2 columns and the spec weighs none; put 'heads: \{weights: \[…, …\]\}'"):
        resolve(spec("parts"), trust_remote_code=True).load()
    adapter = resolve(spec("parts", heads={"weights": (1, 1)}), trust_remote_code=True).load()
    whole = resolve(spec("score"), trust_remote_code=True).load()
    encoded = adapter.encode(TEXTS)
    scores = adapter.raw_score(adapter.spec, adapter.forward(encoded).outputs)
    np.testing.assert_allclose(scores, whole.forward(encoded).outputs[:, 0], atol=1e-5)


@pytest.mark.parametrize("output", ["reward", "states", 7])
def test_an_output_that_is_no_number_a_text_is_named(output: Any, spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(InputError, match=rf"output: {output}.*What the model returns: score, parts, states"):
        resolve(spec(output), trust_remote_code=True).load()


def test_nothing_runs_without_leave(model: Path, spec: Callable[..., ModelSpec], tmp_path: Path) -> None:
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{CODE}")
    with pytest.raises(InputError, match=r"code of its own.*--trust-remote-code"):
        resolve(model)
    (model / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="runs code of its repository: read it, then add --trust-remote-code"):
        resolve(spec("score"))
    assert not (tmp_path / "ran").exists()


def test_its_code_is_part_of_the_fingerprint(model: Path, spec: Callable[..., ModelSpec]) -> None:
    before = resolve(spec("score"), trust_remote_code=True).fingerprint
    (model / "own.py").write_text(CODE + "# changed\n")
    assert resolve(spec("score"), trust_remote_code=True).fingerprint != before


def test_code_that_wants_something_else_is_no_crash(model: Path, spec: Callable[..., ModelSpec]) -> None:
    (model / "own.py").write_text(CODE.replace("attention_mask", "attn_mask"))
    with pytest.raises(InputError, match=r"cannot be called with input_ids and attention_mask: TypeError"):
        resolve(spec("score"), trust_remote_code=True).load()


def test_a_plain_tuple_is_picked_by_place(model: Path, spec: Callable[..., ModelSpec]) -> None:
    whole = resolve(spec("score"), trust_remote_code=True).load()
    returned = "return OwnOutput(score=parts.sum(1), parts=parts, states=states)"
    (model / "own.py").write_text(CODE.replace(returned, "return states, parts.sum(1)"))
    adapter = resolve(spec(1), trust_remote_code=True).load()
    encoded = adapter.encode(TEXTS)
    np.testing.assert_array_equal(adapter.forward(encoded).outputs, whole.forward(encoded).outputs)
    with pytest.raises(InputError, match=r"output: 2.*is NoneType.*returns: tuple of 2"):
        resolve(spec(2), trust_remote_code=True).load()


def test_options_and_code_must_be_there(model: Path, tiny: Tiny) -> None:
    with pytest.raises(InputError, match=r"options\.output: Field required"):
        resolve(ModelSpec(model=str(model), adapter="remote-code"), trust_remote_code=True)
    plain = ModelSpec(model=str(tiny("llama")), adapter="remote-code", options={"output": "logits"})
    with pytest.raises(InputError, match="auto_map of its config names nothing; expected AutoModelForSequence"):
        resolve(plain, trust_remote_code=True)
