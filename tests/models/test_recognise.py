"""Which kind a model is: one kind says so, or an error says what each would need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.errors import InputError
from harness.models.adapters.null import NullModel
from harness.models.base import ADAPTERS
from harness.models.recognise import adapter_name

CLASSIFIER = {"architectures": ["LlamaForSequenceClassification"]}


@pytest.fixture
def kinds() -> Iterator[Any]:
    """`kinds(name, architecture)`: registers, for one test, a kind that recognises an architecture."""
    entered: list[str] = []

    def enter(name: str, architecture: str) -> None:
        class Kind(NullModel):
            asks = f"{architecture} in the config"

            @classmethod
            def recognises(cls, config: Any, tensors: Any) -> bool:
                return architecture in config.get("architectures", ())

        ADAPTERS.register(name)(Kind)
        entered.append(name)

    yield enter
    for name in entered:
        del ADAPTERS._objects[name]


def test_a_registered_kind_is_recognised_as_built_in_ones_are(kinds: Any) -> None:
    kinds("third-party", "TheirModel")
    assert adapter_name({"architectures": ["TheirModel"]}, None, "m") == "third-party"
    assert adapter_name(CLASSIFIER, {"score.weight"}, "m") == "sequence-classification"


def test_two_kinds_that_recognise_a_model_leave_the_choice_to_the_spec(kinds: Any) -> None:
    kinds("second", "LlamaForSequenceClassification")
    with pytest.raises(
        InputError, match=r"m looks like .* several kinds.*--spec FILE .* second, sequence-classification"
    ):
        adapter_name(CLASSIFIER, {"score.weight"}, "m")


def test_an_unknown_model_is_told_what_every_kind_needs(kinds: Any) -> None:
    kinds("third-party", "TheirModel")
    with pytest.raises(InputError, match=r"GPT9: not a reward model we know.*third-party \(TheirModel in the config\)"):
        adapter_name({"architectures": ["GPT9"]}, None, "m")
    with pytest.raises(InputError, match=r"no architecture: not a reward model"):
        adapter_name({}, set(), "m")


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "GPT2LMHeadModel"])
def test_a_language_model_is_no_reward_model(architecture: str) -> None:
    with pytest.raises(InputError, match=f"{architecture}: a language model, which has no reward head"):
        adapter_name({"architectures": [architecture]}, {"lm_head.weight"}, "m")


def test_code_of_its_own_needs_leave() -> None:
    config = {"architectures": ["OwnModel"], "auto_map": {"AutoModel": "own.OwnModel"}}
    with pytest.raises(InputError, match=r"code of its own.*--trust-remote-code"):
        adapter_name(config, None, "m")


def test_a_classifier_by_name_with_another_kinds_head_is_none() -> None:
    assert adapter_name(CLASSIFIER, {"model.norm.weight"}, "m") == "sequence-classification"
    with pytest.raises(InputError, match="not a reward model we know"):
        adapter_name(CLASSIFIER, {"odd.score_head.weight"}, "m")


def test_a_plugin_that_cannot_be_loaded_hurts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ADAPTERS.get

    def get(name: str) -> Any:
        if name == "broken/kind":
            raise ImportError("no module named broken")
        return real(name)

    monkeypatch.setattr(ADAPTERS, "names", lambda: ["broken/kind", "sequence-classification"])
    monkeypatch.setattr(ADAPTERS, "get", get)
    assert adapter_name(CLASSIFIER, {"score.weight"}, "m") == "sequence-classification"
