"""The drawn token of every text against single texts run one by one; whatever the batches, the draw is the same."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.engine.engine import Engine
from harness.engine.store import ScoreStore
from harness.errors import HarnessError
from harness.models.base import Encoded
from harness.models.resolve import resolve
from harness.models.sample import Sample
from harness.models.sites import Site
from harness.models.spec import ModelSpec
from harness.models.tree import grow, single
from harness.reading import Reading
from tests.models.conftest import Tiny, unit

START = "how do i bake bread at home mix flour water yeast and salt"
TEXTS = [f"{START} let the dough rise", f"{START} for an hour then bake it", "no", "yes please tell me more", "no"]
UNITS = [unit("hello", text, item=str(i)) for i, text in enumerate(TEXTS)]
TEMPLATES: dict[str, Any] = {
    "llama": "tokenizer",
    "gpt2": "tokenizer",
    "xlnet": {"pair": "plain"},
    "bert": {"pair": "plain"},
}
HOOKED = {"mlp": ("down_proj", "mlp.c_proj", "layer_2", "output.dense"), "attention": ("o_proj", "attn.c_proj")}


@pytest.fixture
def engine(tmp_path: Any) -> Any:
    def make(path: Any, family: str, **options: Any) -> Engine:
        found = resolve(ModelSpec(model=str(path), template=TEMPLATES[family]), device="cpu")
        return Engine(found, ScoreStore(tmp_path / f"{options.get('budget')}.sqlite"), **options)

    return make


def drawn(engine: Engine, units: Any, reading: Reading) -> np.ndarray:
    found = engine.accumulate(units, [1.0] * len(units), reading)
    assert found["tokens"] == len(found["sample"])
    return found["sample"]


def reference(adapter: Any, reading: Reading) -> np.ndarray:
    """Text by text with hooks of our own, in the order of the digests."""
    rows = []
    for one in adapter.encode(UNITS):
        start = max(reading.skip, one.response_start if reading.span == "response" else 0)
        if start >= len(one):
            continue
        place, seen = start + int.from_bytes(one.digest()[:8], "big") % (len(one) - start), []
        hooks = [
            m.register_forward_pre_hook(lambda m, args, seen=seen: seen.append(args[0]))
            for n, m in adapter.model.named_modules()
            if n.endswith(HOOKED[reading.site]) and "attention.output" not in n
        ]
        with torch.inference_mode():
            adapter.model(torch.as_tensor(one.ids, dtype=torch.long)[None], **types(adapter, one))
        for hook in hooks:
            hook.remove()
        first = adapter.model.config.model_type == "xlnet"
        rows.append((one.digest(), [a[place, 0] if first else a[0, place] for a in seen]))
    return np.stack([[a.numpy() for a in layers] for _, layers in sorted(rows, key=lambda row: row[0])])


def types(adapter: Any, one: Encoded) -> dict[str, torch.Tensor]:
    if one.type_ids is None or not adapter.layout.types:
        return {}
    return {"token_type_ids": torch.as_tensor(one.type_ids, dtype=torch.long)[None]}


@pytest.mark.parametrize("budget", [30, 4000])
@pytest.mark.parametrize(
    ("family", "reading"),
    [
        ("llama", Reading("sample")),
        ("llama", Reading("sample", "attention", "text", 3)),
        ("gpt2", Reading("sample", "attention")),
        ("bert", Reading("sample", span="text")),
        ("xlnet", Reading("sample")),
    ],
)
def test_is_what_a_text_alone_shows(tiny: Tiny, engine: Any, family: str, reading: Reading, budget: int) -> None:
    one = engine(tiny(family), family, budget=budget)
    adapter = one.pool.adapter
    found = drawn(one, UNITS, reading)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(adapter, reading), atol=1e-5)
    assert (adapter.shares > 0) == (family in ("llama", "gpt2"))
    again = Engine(one.resolved, one.store, open_pool=None)  # type: ignore[arg-type]
    assert np.array_equal(drawn(again, UNITS[::-1], reading), found)


def test_a_draw_depends_on_its_text_alone(tiny: Tiny, engine: Any) -> None:
    one, reading = engine(tiny("llama"), "llama"), Reading("sample")
    digests = [e.digest() for e in one.pool.encode([(u, None) for u in UNITS])]
    whole = dict(zip(sorted(digests), drawn(one, UNITS, reading), strict=True))
    for some in ([0], [3, 1], [4, 2]):
        kept = sorted(digests[i] for i in some)
        np.testing.assert_allclose(
            drawn(one, [UNITS[i] for i in some], reading), np.stack([whole[d] for d in kept]), atol=1e-5
        )


def text(*ids: int, start: int = 0) -> Encoded:
    return Encoded(np.array(ids), response_start=start)


def test_every_counted_token_is_drawn_by_some_text() -> None:
    texts = [text(1, 2, 3, 4, n) for n in range(300)]
    counts = Sample().count([single(t) for t in texts], lambda t: np.arange(2, len(t)))
    assert counts.sum(1).tolist() == [1.0] * 300
    assert (np.abs(counts.mean(0)[2:] - 1 / 3) < 0.1).all()
    assert counts[:, :2].sum() == 0


def test_a_text_without_a_counted_token_is_left_out() -> None:
    assert Sample().count([single(text(1, 2)), single(text(1, 2, 3, 4))], lambda t: np.arange(2, len(t))).sum(
        1
    ).tolist() == [0, 1]


def test_texts_that_share_a_row_and_a_token() -> None:
    """Two equal texts draw the same token of their common row, which counts twice."""
    tree = grow([text(5, 6, 7), text(5, 6, 7), text(5, 8)])
    counts = Sample().count([tree], lambda t: np.arange(len(t)))
    assert counts.sum() == 3
    assert counts.max() >= 2


def passed(into: Sample, texts: list[Encoded], *widths: int, tokens_first: bool = False, bad: bool = False) -> None:
    """Activations that say which token they are of: its id, at every neuron; the second layer's are ten times that."""
    sites = [Site(f"layers.{i}", nn.Identity(), w, tokens_first) for i, w in enumerate(widths)]
    batch = [single(t) for t in texts]
    weights = torch.from_numpy(into.count(batch, lambda t: np.arange(t.response_start, len(t))))
    ids = torch.zeros(weights.shape)
    for row, t in zip(ids, texts, strict=True):
        row[: len(t)] = torch.as_tensor(t.ids)
    with into.watching(sites, weights):
        for i, site in enumerate(sites):
            seen = (ids.T if tokens_first else ids)[..., None].repeat(1, 1, site.width) * 10**i
            site.module(seen / (0 if bad else 1))


@pytest.mark.parametrize("tokens_first", [False, True])
def test_layers_of_different_width_and_several_batches(tokens_first: bool) -> None:
    texts = [text(n, n + 100, n + 200, n + 300, start=n % 3) for n in range(1, 8)]
    into = Sample()
    passed(into, texts[:5], 3, 1, tokens_first=tokens_first)
    passed(into, texts[5:], 3, 1, tokens_first=tokens_first)
    found = into.result()["sample"]
    assert found.shape == (7, 2, 3)
    assert np.isnan(found).tolist() == [[[False] * 3, [False, True, True]]] * 7
    by_digest = sorted(texts, key=Encoded.digest)
    assert [v % 100 for v in found[:, 0, 0]] == [t.ids[0] for t in by_digest]
    assert all(v // 100 >= t.response_start for v, t in zip(found[:, 0, 0], by_digest, strict=True))
    assert np.array_equal(found[:, 1, 0], found[:, 0, 2] * 10)


def test_a_copy_goes_on_by_itself() -> None:
    into = Sample()
    passed(into, [text(1, 2)], 3)
    other = copy.deepcopy(into)
    passed(other, [text(3, 4)], 3)
    assert (len(into.result()["sample"]), len(other.result()["sample"])) == (1, 2)
    assert other._parts[0][1][0] is into._parts[0][1][0]


def test_nothing_counted_and_nothing_finite() -> None:
    with pytest.raises(HarnessError, match="no token was counted"):
        Sample().result()
    into = Sample()
    passed(into, [text(1, 2, start=2)], 3)
    with pytest.raises(HarnessError, match="no token was counted"):
        into.result()
    passed(into, [text(1, 2)], 3, bad=True)
    with pytest.raises(HarnessError, match=r"layer 0 are not finite.*float32"):
        into.result()
