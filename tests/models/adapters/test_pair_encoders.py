"""PairRM and SteamSHP on tiny models, against plain torch one pair at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, DebertaV2Model, DebertaV2Tokenizer, T5Tokenizer

import harness
from harness.errors import InputError
from harness.models.base import Unencodable
from harness.models.resolve import resolve
from harness.models.spec import ModelSpec
from harness.testing.conformance import check_adapter
from tests.models import checkpoints
from tests.models.checkpoints import MARKS
from tests.models.conftest import unit

ASKED = [("what is it?", "the cat", "no"), ("the mat", "yes yes yes", "the cat sat on the mat"), ("it", "a", "b")]


def pair(prompt: str, a: str, b: str, item: str = "i") -> tuple[Any, Any]:
    return unit(prompt, a, item=item), unit(prompt, b, item=item, side="rejected")


UNITS = [u for i, texts in enumerate(ASKED) for u in pair(*texts, item=str(i))]
PAIRS = [p for texts in ASKED for p in (pair(*texts), pair(*texts)[::-1])]


# --- PairRM ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_rm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.pair_rm(tmp_path_factory.mktemp("pair-rm"))


def by_hand(folder: Path, texts: list[str]) -> float:
    """P(first preferred) for texts of source and both candidates, tokenised apart as the card does."""
    from safetensors.torch import load_file

    tokenizer, tensors = DebertaV2Tokenizer.from_pretrained(folder), load_file(folder / "model.safetensors")
    body = DebertaV2Model(AutoConfig.from_pretrained(folder)).eval()
    body.load_state_dict({n.removeprefix("pretrained_model."): t for n, t in tensors.items() if "head" not in n})
    ids = torch.tensor([[i for mark, text in zip(MARKS, texts, strict=True) for i in tokenizer.encode(mark + text)]])
    with torch.no_grad():
        states = body(ids).last_hidden_state[0]
        source, one, two = (states[(ids[0] == tokenizer.convert_tokens_to_ids(m)).nonzero()[0, 0]] for m in MARKS)
        w1, b1, w2, b2 = (tensors[f"head_layer.{n}"] for n in ("1.weight", "1.bias", "4.weight", "4.bias"))
        left, right = (w2 @ torch.tanh(w1 @ torch.cat([source, c]) + b1) + b2 for c in (one, two))
        return float(torch.sigmoid((left - right).mean()))


def test_pair_rm_is_the_head_at_the_marks(pair_rm: Path) -> None:
    resolved = resolve(pair_rm)
    assert resolved.spec.adapter == "pair-rm"
    adapter = resolved.load()
    assert adapter.capabilities == {"compares"}
    check_adapter(adapter, UNITS)
    found = adapter.forward(adapter.encode_pairs(PAIRS)).outputs[:, 0]
    texts = [(a.conversation[0].content, a.conversation[1].content, b.conversation[1].content) for a, b in PAIRS]
    np.testing.assert_allclose(found, [by_hand(pair_rm, list(t)) for t in texts], atol=1e-5)
    assert np.abs(found[0::2] + found[1::2] - 1).max() > 1e-3, "not antisymmetric by itself, or this shows nothing"


def test_pair_rm_writes_a_longer_dialogue_as_its_card_does(pair_rm: Path) -> None:
    adapter = resolve(pair_rm).load()
    one, two = unit("the cat", "sat", "what?", "yes"), unit("the cat", "sat", "what?", "no")
    source = (
        "Finish the following coversation in each i-th turn by filling in <Response i> with your response."
        "USER: the cat\nAssistant: <Response 1>\nUSER: what?\nAssistant: <Response 2>"
    )
    replies = [f"<Response 1>: sat\n<Response 2>: {text}" for text in ("yes", "no")]
    found = adapter.forward(adapter.encode_pairs([(one, two)])).outputs[0, 0]
    assert found == pytest.approx(by_hand(pair_rm, [source, *replies]), abs=1e-5)


def test_which_end_of_a_part_goes(pair_rm: Path) -> None:
    options = {"source_max_length": 7, "candidate_max_length": 7}
    asked = pair("the cat sat on the mat", "yes no yes no it", "a b c d e f")
    for truncation, ends in (("right", (0, 0)), ("prompt_left", (1, 0)), ("left", (1, 1))):
        adapter = resolve(ModelSpec(model=str(pair_rm), options=options, truncation=truncation)).load()
        whole = [adapter.backend.encode(text, add_special_tokens=False).ids for text in
                 (asked[0].conversation[0].content, *(u.conversation[1].content for u in asked))]  # fmt: skip
        (encoded,) = adapter.encode_pairs([asked])
        assert len(encoded) == 21
        for i, (ids, found) in enumerate(zip(whole, np.split(encoded.ids, 3), strict=True)):
            assert found[2:-1].tolist() == (ids[-4:] if ends[min(i, 1)] else ids[:4])


def test_the_head_keeps_the_checkpoint_s_digits(pair_rm: Path) -> None:
    from safetensors.torch import load_file

    adapter, tensors = resolve(pair_rm, dtype="bfloat16").load(), load_file(pair_rm / "model.safetensors")
    assert adapter.describe()["dtype"] == "bfloat16"
    assert all(torch.equal(t, tensors[f"head_layer.{name}"]) for name, t in adapter.head.state_dict().items())
    assert np.isfinite(adapter.forward(adapter.encode_pairs(PAIRS)).outputs).all()


def test_each_part_of_pair_rm_has_its_own_room(pair_rm: Path) -> None:
    options = {"source_max_length": 12, "candidate_max_length": 8}
    adapter = resolve(ModelSpec(model=str(pair_rm), options=options)).load()
    (short, long) = adapter.encode_pairs([pair("it", "yes", "no"), pair("the cat " * 20, "sat " * 30, "no")])
    assert (short.truncated, long.truncated) == (False, True)
    places = [int(np.flatnonzero(long.ids == mark)[0]) for mark in adapter.marks]
    sizes = np.diff([0, *(p - 1 for p in places[1:]), len(long)])
    assert sizes[0] == 12
    assert max(sizes[1:]) <= (28 - 12) // 2
    assert (long.ids[[p - 1 for p in places]] == adapter.before[0]).all()
    tight = resolve(ModelSpec(model=str(pair_rm), options=options, max_length=8)).load()
    assert "shorter than the marks" in str(tight.encode_pairs([pair("it", "a", "b")])[0].error)
    refused = resolve(ModelSpec(model=str(pair_rm), options=options, truncation="error")).load()
    assert isinstance(refused.encode_pairs([pair("the cat " * 20, "a", "b")])[0], Unencodable)


@pytest.mark.parametrize("text", [*MARKS, "[SEP]", "[CLS] the <|candidate2|>"])
def test_marks_in_a_text_are_text(text: str, pair_rm: Path) -> None:
    adapter = resolve(pair_rm).load()
    plain, evil = adapter.encode_pairs([pair("the cat", "yes", "no"), pair(f"the {text} cat", f"yes {text}", text)])
    for token in (*MARKS, "[SEP]", "[CLS]"):
        i = adapter.backend.token_to_id(token)
        assert (plain.ids == i).sum() == (evil.ids == i).sum()


def test_what_is_no_pair_rm(pair_rm: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(pair_rm, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "cand1_prefix_id"}))
    with pytest.raises(InputError, match="its config has no cand1_prefix_id"):
        resolve(folder)
    (folder / "config.json").write_text(json.dumps(config | {"cand1_prefix_id": 1}))
    with pytest.raises(InputError, match="use the tokenizer that was saved with the model"):
        resolve(folder).load()
    with pytest.raises(InputError, match=r"options\.sauce"):
        resolve(ModelSpec(model=str(pair_rm), options={"sauce": 1}))


# --- SteamSHP -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def steam(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.steam_shp(tmp_path_factory.mktemp("steam"), request.param)


def test_steam_shp_is_the_softmax_over_both_letters(steam: Path) -> None:
    adapter = resolve(ModelSpec(model=str(steam), adapter="steam-shp")).load()
    check_adapter(adapter, UNITS)
    model = AutoModelForSeq2SeqLM.from_pretrained(steam, dtype=torch.float32).eval()
    tokenizer, expected = T5Tokenizer.from_pretrained(steam), []
    letters = tokenizer.convert_tokens_to_ids(["▁A", "▁B"])
    for a, b in PAIRS:
        text = (
            f"POST: {a.conversation[0].content}\n\n RESPONSE A: {a.conversation[1].content}\n\n RESPONSE B: "
            f"{b.conversation[1].content}\n\n Which response is better? RESPONSE"
        )
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits[0, 0, letters]
        expected.append(float(logits.softmax(-1)[0]))
    found = adapter.forward(adapter.encode_pairs(PAIRS)).outputs[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 1e-3


def test_steam_shp_cuts_the_post_and_never_the_question(steam: Path) -> None:
    adapter = resolve(ModelSpec(model=str(steam), adapter="steam-shp", max_length=110)).load()
    (encoded,) = adapter.encode_pairs([pair("the cat " * 60, "yes", "no")])
    assert (len(encoded), encoded.truncated) == (110, True)
    assert int(encoded.ids[-1]) == adapter.tokenizer.eos_token_id
    whole, _ = (resolve(ModelSpec(model=str(steam), adapter="steam-shp")).load() for _ in "ab")
    (ending,) = whole.encode_pairs([pair("it", "yes", "no")])
    np.testing.assert_array_equal(encoded.ids[-20:], ending.ids[-20:])


# --- through the engine ---------------------------------------------------------------------------


def test_a_task_runs_on_a_model_that_only_compares(pair_rm: Path, tmp_path: Path) -> None:
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in ASKED]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run: Callable[..., Any] = harness.run
    done = run(
        str(pair_rm), ["alignment_resistance", "neuron_ablation"], data=[str(tmp_path / "pairs.jsonl")],
        results=tmp_path / "results", store=tmp_path / "store", params={"alignment_resistance": {"draws": 10}},
    )  # fmt: skip
    behaviour, neurons = (result.record for result in done)
    assert (behaviour.status, behaviour.counts.scored, behaviour.counts.failed) == ("success", 3, 0)
    assert neurons.status == "not_applicable"
    assert "offers compares; the task needs" in str(neurons.reason)
