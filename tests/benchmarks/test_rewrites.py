"""The row of rewrites: its arithmetic on planted seconds, what it counts as new, and the whole of it on tiny models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.preference import Message, Unit
from tests.benchmarks import folders, rewrites
from tests.benchmarks.__main__ import ROWS
from tests.benchmarks.contest import Rounds
from tests.benchmarks.record import Setting

TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": 2048,
}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def unit(name: str, reply: str, variant: str = "original") -> Unit:
    talk = (Message("user", "Say it."), Message("assistant", reply))
    return Unit(f"{name}@{variant}", name, "c", "d", "s", "helpful", "chosen", talk, variant)


def test_a_cost_is_the_ratio_of_the_minima_with_the_rounds_beside_it():
    rounds = Rounds({"rewrites": (6.0, 8.0), "originals": (2.0, 1.0)})
    found = rewrites._over(rounds, "x", 0.5, under=3.1)
    assert (found.measured, found.rounds, found.met) == (3.0, (1.5, 4.0), True)
    assert rewrites._over(rounds, "x", 1.0, "originals", "rewrites").measured == 1 / 6


def test_new_is_every_different_text_that_is_no_original():
    originals = unit("a", "one"), unit("b", "two")
    made = unit("a", "ONE", "v"), unit("b", "two", "v"), unit("a", "ONE", "w"), unit("b", "TWO", "w")
    texts = rewrites.Texts(originals, made, 5, 1.0)
    assert texts.new == 2
    assert [[u.unit_id for u in part] for part in texts.by_variant()] == [
        ["a@original", "b@original"], ["a@v", "b@v"], ["a@w", "b@w"],
    ]  # fmt: skip


def test_ways_of_scoring_that_differ_stop_the_row():
    rewrites._require_same({"a": 1.0}, {"a": 1.0001})
    with pytest.raises(AssertionError, match=r"differ by up to 0\.5"):
        rewrites._require_same({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.5})
    with pytest.raises(AssertionError, match="not the same units"):
        rewrites._require_same({"a": 1.0}, {"b": 1.0})


def test_the_row_measures_both_models(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LLAMA", TINY)
    monkeypatch.setattr(folders, "encoder", lambda shared, scratch: folders.tiny_encoder(scratch / "e", 512, **SHAPE))
    monkeypatch.setattr(rewrites, "DECODED", 4)
    found = ROWS["rewrites"].measure(Setting(2, 16, Path(tmp_path / "absent"), tmp_path))
    by_name = {f.what: f for f in found.findings}
    assert {name: f.under for name, f in by_name.items()} == {
        "encoder: time / predicted from tokens": 1.1,
        "encoder: time / predicted from texts": None,
        "encoder: making the rewrites / scoring them": None,
        "decoder: together / variant by variant, time": 1.0,
        "decoder: together / variant by variant, tokens": 1.0,
        "decoder: together / nothing shared, time": 1.0,
        "decoder: together / nothing shared, tokens": 1.0,
    }
    apart, alone = (by_name[f"decoder: together / {name}, tokens"] for name in ("variant by variant", "nothing shared"))
    assert alone.measured < apart.measured < 1
    encoder, decoder = found.conditions["encoder"], found.conditions["decoder"]
    assert encoder["originals"]["texts"] == 16
    assert encoder["tried"] == 16 * len(rewrites.NAMES) >= encoder["rewritten"] >= encoder["new"]
    assert encoder["new"] >= encoder["computed"]["texts"] > 16
    assert decoder["originals"] == 4
    assert decoder["computed"]["packed"] < decoder["computed"]["tokens"]
    assert {name: len(seconds) for name, seconds in found.seconds.items()} == dict.fromkeys(
        [f"encoder: {name}" for name in ("originals", "rewrites")]
        + [f"decoder: {name}" for name in ("together", "variant by variant", "nothing shared")],
        2,
    )


def test_what_was_scored_is_computed_once(tmp_path, monkeypatch):
    folder = folders.tiny_encoder(tmp_path / "e", 512, **SHAPE)
    resolved = rewrites.resolve(folder, device="cpu", dtype="float32")
    pool = rewrites.Replica.load(resolved)
    first = [unit("a", "the cat"), unit("b", "a dog")]
    second = [replace(first[0], unit_id="again"), unit("b", "a dog sat", "v")]
    timing, scores = rewrites._score(resolved, pool, tmp_path / "s.sqlite", [first])
    assert timing.texts == 2
    timing, more = rewrites._score(resolved, pool, tmp_path / "s.sqlite", [[*first, *second]])
    assert timing.texts == 1
    assert more["again"] == scores["a@original"]
