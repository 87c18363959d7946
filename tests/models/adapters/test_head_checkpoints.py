"""Heads as real checkpoints hold them: in shards, in other number formats, normalised, unusable; and what their texts end in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from harness.condition import Ablation, Condition
from harness.errors import InputError
from harness.models.accumulate import Attribution
from harness.models.resolve import resolve
from harness.models.spec import Heads, ModelSpec
from harness.models.tree import grow, single
from harness.reading import Reading
from tests.models.adapters.plain import TEXTS, TIGHT, chats, ids_of, last_states, plain, random, scores
from tests.models.conftest import Tiny, unit

Write = Callable[..., Path]


@pytest.fixture
def write(tiny: Tiny, tmp_path: Path) -> Write:
    """`write(heads, cls, shards, dtype, **config)`: the tiny Llama's body with these heads, in so many files of this format."""

    def make(
        heads: dict[str, torch.Tensor], *, cls: str = "", shards: int = 1, dtype: str = "float32", **config: Any
    ) -> Path:
        source, folder = tiny("llama"), tmp_path / "model"
        tokenizer = AutoTokenizer.from_pretrained(source)
        if cls:
            tokenizer.cls_token = cls
        tokenizer.save_pretrained(folder)
        settings = json.loads((source / "config.json").read_text()) | {"dtype": dtype}
        (folder / "config.json").write_text(json.dumps(settings | config))
        body = {n: t for n, t in load_file(source / "model.safetensors").items() if n.startswith("model.")}
        tensors = {n: t.to(getattr(torch, dtype)).contiguous() for n, t in (body | heads).items()}
        names = ["model.safetensors"]
        if shards > 1:
            names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
            places = {n: names[i % shards] for i, n in enumerate(sorted(tensors))}
            (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
        for i, name in enumerate(names):
            mine = {n: tensors[n] for n in sorted(tensors)[i::shards]}
            save_file(mine, folder / name, metadata={"format": "pt"})
        return folder

    return make


# --- what is stored, and how ------------------------------------------------------------------------


def test_a_head_in_two_shards_of_bfloat16_is_read_in_float32(write: Write) -> None:
    heads = {"v_head.summary.0.weight": random(7, 32), "v_head.summary.0.bias": random(7), "v_head.summary.2.weight": random(1, 7)}  # fmt: skip
    folder = write(heads, shards=2, dtype="bfloat16", architectures=["LlamaForCausalLM"])
    assert len(list(folder.glob("model-*.safetensors"))) == 2
    spec = ModelSpec(model=str(folder), dtype="float32")
    rounded = {n: t.bfloat16().float() for n, t in heads.items()}
    hidden = last_states(plain(folder), ids_of(folder, chats(folder))) @ rounded["v_head.summary.0.weight"].T
    hidden = (hidden + rounded["v_head.summary.0.bias"]).relu()
    expected = hidden @ rounded["v_head.summary.2.weight"].T
    np.testing.assert_allclose(scores(resolve(spec).load()), expected[:, 0].numpy(), **TIGHT)


def test_which_heads_there_are_is_said_where_the_kind_has_none(write: Write) -> None:
    folder = write({"score.weight": random(1, 32)}, architectures=["LlamaForCausalLM"])
    with pytest.raises(InputError, match=r"nothing below v_head\.summary .*it has score \(a classifier's"):
        resolve(ModelSpec(model=str(folder), adapter="value-head"))
    with pytest.raises(InputError, match=r"it has regression_head \(.*ultra-rm"):
        resolve(ModelSpec(model=str(write({"regression_head.weight": random(1, 32)})), adapter="beaver"))


def test_a_head_with_several_outputs_is_no_score(write: Write) -> None:
    with pytest.raises(InputError, match="its head has 2 outputs; expected one score"):
        resolve(write({"score_head.weight": random(2, 32)}, architectures=["LlamaForScore"])).load()


# --- OpenRLHF ---------------------------------------------------------------------------------------


def test_openrlhf_texts_end_in_the_end_token_in_place_of_line_feeds(write: Write) -> None:
    folder = write({"value_head.weight": random(1, 32)}, architectures=["LlamaModel"])
    texts = chats(folder)
    assert all(text.endswith("<|end|>\n") for text in texts), "or this test shows nothing"
    expected = ids_of(folder, [text.rstrip("\n") + "</s>" for text in texts])
    adapter = resolve(folder).load()
    assert [e.ids.tolist() for e in adapter.encode(TEXTS)] == expected
    np.testing.assert_allclose(
        scores(adapter), (last_states(plain(folder), expected) @ random(1, 32).T)[:, 0].numpy(), **TIGHT
    )


def test_a_reply_that_ends_in_the_words_of_the_end_token_still_gets_one(write: Write) -> None:
    folder = write({"value_head.weight": random(1, 32)}, architectures=["LlamaModel"])
    adapter = resolve(ModelSpec(model=str(folder), template="raw")).load()
    (text,) = adapter.encode([unit("Hello", "Yes.\n</s>")])
    end = adapter.tokenizer.eos_token_id
    assert [int(i) for i in text.ids].count(end) == 1
    assert int(text.ids[-1]) == end
    assert adapter.tokenizer.decode(text.ids[:-1]).endswith("Yes.\n</s>")


@pytest.mark.parametrize("asked", [True, False])
def test_openrlhf_is_normalised_as_its_config_says(asked: bool, write: Write) -> None:
    config = {"architectures": ["LlamaModel"], "normalize_reward": asked, "mean": 0.7, "std": 2.0}
    folder = write({"value_head.weight": random(1, 32)}, **config)
    adapter = resolve(folder).load()
    ids = [e.ids.tolist() for e in adapter.encode(TEXTS)]
    raw = (last_states(plain(folder), ids) @ random(1, 32).T)[:, 0].numpy()
    np.testing.assert_allclose(scores(adapter), (raw - 0.7) / 2 if asked else raw, **TIGHT)


# --- Athene -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AtheneForSequenceClassification", "CustomAutoModelForSequenceClassification"])
def test_athene_is_known_by_both_its_names_and_read_at_its_token(name: str, write: Write) -> None:
    folder = write({"v_head.weight": random(1, 32)}, cls="<|start|>", architectures=[name])
    resolved = resolve(folder)
    assert resolved.spec.adapter == "athene"
    expected = ids_of(folder, [text + "<|start|>" for text in chats(folder)])
    adapter = resolved.load()
    assert [e.ids.tolist() for e in adapter.encode(TEXTS)] == expected
    np.testing.assert_allclose(
        scores(adapter), (last_states(plain(folder), expected) @ random(1, 32).T)[:, 0].numpy(), **TIGHT
    )


# --- Beaver -----------------------------------------------------------------------------------------

MOMENTS = {"normalizer.mean": torch.tensor([0.7]), "normalizer.var": torch.tensor([4.0])}


@pytest.mark.parametrize(
    ("kind", "stored", "shift", "scale"),
    [("reward", MOMENTS, 0.7, 2.0), ("reward", {}, -3.0, 0.5), ("cost", {}, 0.0, 0.5), ("critic", MOMENTS, 0.0, 1.0)],
)
def test_beaver_takes_moments_from_the_checkpoint_or_else_the_config(
    kind: str, stored: dict[str, torch.Tensor], shift: float, scale: float, write: Write
) -> None:
    heads = {"score_head.weight": random(1, 32), "score_head.bias": random(1, seed=1)}
    config = {"do_normalize": True, "score_type": kind, "mean": [-3.0], "var": [0.25]}
    folder = write(heads | stored, architectures=["LlamaModelForScore"], **config)
    adapter = resolve(folder).load()
    ids = [e.ids.tolist() for e in adapter.encode(TEXTS)]
    raw = last_states(plain(folder), ids) @ heads["score_head.weight"].T + heads["score_head.bias"]
    np.testing.assert_allclose(scores(adapter), ((raw[:, 0] - shift) / scale).numpy(), **TIGHT)


def test_beaver_without_moments_is_an_error_and_a_cost_model_is_known_by_its_name(write: Write) -> None:
    folder = write({"score_head.weight": random(1, 32)}, architectures=["LlamaForScore"], do_normalize=True)
    with pytest.raises(InputError, match=r"neither normalizer\.mean in its checkpoint nor mean in its config"):
        resolve(folder).load()
    assert resolve(folder).spec.direction == "higher_is_better"
    renamed = folder.rename(folder.with_name("beaver-7b-cost"))
    assert resolve(renamed).spec.direction == "lower_is_better"
    said = ModelSpec(model=str(renamed), direction="higher_is_better")
    assert resolve(said).spec.direction == "higher_is_better"


# --- neurons ----------------------------------------------------------------------------------------


def test_a_neuron_held_at_zero_is_one_less_in_the_transformer(write: Write) -> None:
    folder = write({"value_head.weight": random(1, 32)}, architectures=["LlamaModel"])
    adapter, model = resolve(folder).load(), plain(folder)
    texts = adapter.encode(TEXTS)
    before = adapter.forward(texts).outputs

    def silence(_: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].index_fill(-1, torch.tensor([3]), 0.0),)

    model.layers[0].mlp.down_proj.register_forward_pre_hook(silence)
    expected = last_states(model, [t.ids.tolist() for t in texts]) @ random(1, 32).T
    with adapter.under(Condition("zero", (Ablation(layers=[0], neurons=[3], values=[0.0]),))):
        found = adapter.forward(texts).outputs
    np.testing.assert_allclose(found, expected.numpy(), **TIGHT)
    assert np.abs(found - before).max() > 1e-4
    np.testing.assert_array_equal(adapter.forward(texts).outputs, before)


# --- ArmoRM -----------------------------------------------------------------------------------------

ARMO = {
    "regression_layer.weight": random(3, 32), "reward_transform_matrix": random(3, 3, seed=1),
    "gating.layers.0.weight": random(3, 32, seed=2), "gating.logit_scale": torch.tensor([1.5]),
}  # fmt: skip


@pytest.fixture
def armo(write: Write) -> ModelSpec:
    folder = write(ARMO, architectures=["LlamaForRewardModelWithGating"], num_objectives=3, gating_temperature=2)
    (pattern,) = ids_of(folder, ["<|end|>\n<|start|>assistant\n"])
    return ModelSpec(model=str(folder), options={"gate_pattern": pattern})


def test_armo_shares_prefixes_and_has_neurons_although_it_reads_two_places(armo: ModelSpec) -> None:
    adapter = resolve(armo).load()
    assert adapter.shares > 0
    assert adapter.capabilities == {"scores", "neurons", "objectives"}
    assert adapter.describe()["neurons_missing"] is None
    texts = adapter.encode([TEXTS[1], TEXTS[3], TEXTS[0]])
    sums = Attribution()
    rows = [grow(texts[:2]), single(texts[2])]
    adapter.accumulate(rows, [0.5, -1.0, 2.0], Reading("attribution", span="text"), sums)
    order = [next(i for i, t in enumerate(texts) if t is text) for row in rows for text in row.texts]
    weights = dict(zip(order, [0.5, -1.0, 2.0], strict=True))

    model, gradient, pattern = plain(Path(armo.model)), torch.zeros(48), armo.options["gate_pattern"]
    for i, text in enumerate(texts):
        seen: list[torch.Tensor] = []

        def catch(_: Any, inputs: tuple[torch.Tensor], seen: list[torch.Tensor] = seen) -> tuple[torch.Tensor]:
            seen.append(inputs[0].detach().requires_grad_())
            return (seen[0],)

        hook = model.layers[0].mlp.down_proj.register_forward_pre_hook(catch)
        ids = text.ids.tolist()
        states = model(torch.tensor([ids])).last_hidden_state[0]
        hook.remove()
        at = max(j for j in range(len(ids)) if ids[j : j + len(pattern)] == pattern)
        gates = torch.softmax(ARMO["gating.layers.0.weight"] @ states[at] / 2, 0) * 1.5
        rewards = ARMO["regression_layer.weight"] @ states[-1]
        score = gates @ (rewards @ ARMO["reward_transform_matrix"])
        gradient += weights[i] * torch.autograd.grad(score, seen[0])[0][0].sum(0)
    np.testing.assert_allclose(sums.result()["gradient"][0], gradient.numpy(), atol=1e-5)


def test_armo_is_refused_before_weights_where_a_part_is_missing_or_other_outputs_are_weighed(
    armo: ModelSpec, write: Write
) -> None:
    with pytest.raises(InputError, match=r"heads has 2 weights; expected 4, of the score and 3 rewards"):
        resolve(armo.model_copy(update={"heads": Heads(weights=(1.0, 2.0))}))
    by_attribute = armo.model_copy(update={"heads": Heads(weights=(0.0, 1.0, 0.0, 0.0))})
    adapter = resolve(by_attribute).load()
    found = adapter.forward(adapter.encode(TEXTS)).outputs
    np.testing.assert_array_equal(adapter.raw_score(adapter.spec, found), found[:, 1])
    rest = {n: t for n, t in ARMO.items() if not n.startswith("gating.layers")}
    with pytest.raises(InputError, match=r"nothing below gating\.layers is in the checkpoint"):
        resolve(write(rest, architectures=["LlamaForRewardModelWithGating"], num_objectives=3))
